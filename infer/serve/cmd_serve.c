/* `cambium serve`: a model behind OpenAI's HTTP interface. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "infer/helix/helix.h"
#include "infer/serve/http.h"

typedef struct ServeSettings {
    char *host, *api_key, *name, *chat_template;
    StringList hosts, origins;
    int64_t port, batch, queue, context, kv_tokens, prefill, parked;
    int64_t connections, max_body, max_header, stream_buffer;
    double timeout, read_timeout;
    LoadSettings load;
    HelixSettings helix;
} ServeSettings;

#define AT(field) offsetof(ServeSettings, field)

static const Option serve_options[] = {
    {"host", OPTION_TEXT, AT(host), "NAME", "127.0.0.1",
     "the address to listen on; 0.0.0.0: every one of this machine", NULL, 0, NULL},
    {"port", OPTION_INT, AT(port), "N", "8080", "the port (0: any that is free, printed)", NULL, 0,
     NULL},
    {"api-key", OPTION_TEXT, AT(api_key), "KEY", NULL,
     "what clients must send (Authorization: Bearer KEY); others cannot read a --config file", NULL,
     0, NULL},
    {"allow-host", OPTION_LIST, AT(hosts), "NAME", NULL,
     "a name that clients may know this server by, beside --host, localhost and the addresses that "
     "they reach; *: any",
     NULL, 0, NULL},
    {"allow-origin", OPTION_LIST, AT(origins), "ORIGIN", NULL,
     "pages that may ask beside the server's own: https://llm.example.org; *: all", NULL, 0, NULL},
    {"name", OPTION_TEXT, AT(name), "NAME", NULL,
     "what the model is called (default: its file's name)", NULL, 0, NULL},
    {"chat-template", OPTION_INPUT, AT(chat_template), "NAME", "auto",
     "how conversations become text: auto (the model's own, else none), none (lines of 'role: "
     "content'), a file with a Jinja template, or the name of a style (another name lists them)",
     NULL, 0, NULL},
    {"batch", OPTION_INT, AT(batch), "N", "32", "texts to work on at a time", NULL, 0,
     "Scheduling"},
    {"queue", OPTION_INT, AT(queue), "N", "256", "texts that may wait", NULL, 0, NULL},
    {"context", OPTION_INT, AT(context), "N", "0",
     "tokens of prompt and text together (0: what the model was trained on)", NULL, 0, NULL},
    {"kv-tokens", OPTION_INT, AT(kv_tokens), "N", "0",
     "tokens that the KV cache holds (0: --batch contexts, at most 4 GB of them, and what fits)",
     NULL, 0, NULL},
    {"prefill", OPTION_INT, AT(prefill), "N", "256",
     "prompt tokens per step, beside one token of each text under way", NULL, 0, NULL},
    {"keep", OPTION_INT, AT(parked), "N", "32",
     "ended texts whose KV is kept for prompts that begin alike", NULL, 0, NULL},
    {"timeout", OPTION_REAL, AT(timeout), "SECONDS", "600", "for an answer, waiting included", NULL,
     0, "Limits"},
    {"read-timeout", OPTION_REAL, AT(read_timeout), "SECONDS", "30",
     "for a request to come in, and for a connection without one", NULL, 0, NULL},
    {"connections", OPTION_INT, AT(connections), "N", "1024", "open at a time", NULL, 0, NULL},
    {"max-body", OPTION_INT, AT(max_body), "BYTES", "4Mi", "of a request", NULL, 0, NULL},
    {"max-header", OPTION_INT, AT(max_header), "BYTES", "16Ki", "of a request", NULL, 0, NULL},
    {"stream-buffer", OPTION_INT, AT(stream_buffer), "BYTES", "1Mi",
     "that a streaming client may leave unread before it is dropped", NULL, 0, NULL},
    LOAD_OPTIONS(ServeSettings, load),
    HELIX_OPTIONS(ServeSettings, helix),
    {0},
};

static Status check_settings(const ServeSettings *s, Err *err)
{
    if (s->port < 0 || s->port > 65535)
        return err_usage(err, "--port is between 0 and 65535");
    if (s->batch < 1 || s->batch > 4096 || s->queue < 1 || s->queue > 1000000)
        return err_usage(err, "--batch is 1 to 4096, --queue 1 to 1000000");
    if (s->context < 0 || s->context > INT32_MAX || s->kv_tokens < 0 || s->kv_tokens > INT32_MAX)
        return err_usage(err, "--context and --kv-tokens are 0 to %d", INT32_MAX);
    if (s->prefill < 1 || s->prefill > INT32_MAX || s->parked < 0 || s->parked > 4096)
        return err_usage(err, "--prefill is 1 or more, --keep 0 to 4096");
    if (!(s->timeout > 0.0) || !(s->read_timeout > 0.0))
        return err_usage(err, "--timeout and --read-timeout are more than 0");
    if (s->connections < 2 || s->connections > 1000000)
        return err_usage(err, "--connections is 2 to 1000000");
    if (s->max_body < 1024 || s->max_header < 1024 || s->stream_buffer < 1024 ||
        s->max_body > INT32_MAX || s->max_header > INT32_MAX)
        return err_usage(err,
                         "--max-body, --max-header and --stream-buffer are at least 1Ki, and the "
                         "first two below 2Gi");
    if (s->api_key && !*s->api_key)
        return err_usage(err, "--api-key is empty");
    return STATUS_OK;
}

enum { KV_PAGE = 64 };
static const double kv_budget = 4e9; /* bytes, where --kv-tokens does not say */

/* The scheduler's sizes, with what 0 means. */
static SchedulerOptions sizes_of(const ServeSettings *s, Helix *helix)
{
    const LoadedModel *model = helix_model(helix);
    SchedulerOptions o = {.batch = s->batch,
                          .parked = s->parked,
                          .queue = s->queue,
                          .context = s->context,
                          .kv_positions = s->kv_tokens,
                          .page_size = KV_PAGE,
                          .prefill = s->prefill,
                          .kv_dtype = model->kv_dtype,
                          .budget = helix_budget(helix),
                          .source = helix_source(helix)};
    if (!o.context)
        o.context = ensemble_context(model->ensemble);
    int64_t one = (o.context + KV_PAGE - 1) / KV_PAGE * KV_PAGE;
    if (!o.kv_positions) {
        SchedulerOptions little = o, more = o;
        little.kv_positions = one;
        more.kv_positions = 2 * one;
        double bytes = (double)(scheduler_bytes(model->ensemble, &more) -
                                scheduler_bytes(model->ensemble, &little));
        double room = budget_room(o.budget, scheduler_bytes(model->ensemble, &little)) + bytes;
        int64_t fit = (int64_t)((room < kv_budget ? room : kv_budget) / bytes);
        o.kv_positions = one * (fit < 1 ? 1 : fit < o.batch ? fit : o.batch);
    }
    if (o.kv_positions < one)
        o.kv_positions = one;
    return o;
}

/* The model's file name without its ending. */
static char *default_name(const char *path)
{
    const char *base = file_base_name(path);
    size_t length = strlen(base);
    if (file_has_suffix(base, ".h5"))
        length -= 3;
    return xstrndup(base, length);
}

/* Serves until a signal comes or the decoder fails; then finishes what was accepted. */
static Status serve_on(Http *http, Service *service, Err *err)
{
    Err why;
    while (!stop_requested() && !scheduler_failed(service->scheduler, &why))
        http_watch(http, 100);
    http_refuse(http);
    scheduler_close(service->scheduler);
    if (!scheduler_idle(service->scheduler))
        log_info("finishing %" PRId64 " requests; a second signal ends at once", http_busy(http));
    while (!scheduler_idle(service->scheduler))
        http_watch(http, 50);
    /* The last bytes go out; a client that does not read them is not waited for. */
    double until = clock_seconds() + 5.0;
    while (http_busy(http) > 0 && clock_seconds() < until)
        http_watch(http, 20);
    return scheduler_failed(service->scheduler, &why) ? err_set(err, "%s", why.text) : STATUS_OK;
}

static Status listen_and_serve(const ServeSettings *s, Service *service, Err *err)
{
    Http *http;
    HttpOptions options = {.host = s->host,
                           .port = s->port,
                           .connections = s->connections,
                           .body_bytes = s->max_body,
                           .header_bytes = s->max_header,
                           .read_seconds = s->read_timeout,
                           .answer_seconds = s->timeout + s->read_timeout};
    TRY(http_start(&http, &options, service, err));
    bool six = strchr(s->host, ':') != NULL;
    log_info("serving %s on http://%s%s%s:%d", service->protocol.model, six ? "[" : "", s->host,
             six ? "]" : "", http_port(http));
    Status status = serve_on(http, service, err);
    http_stop(http);
    return status;
}

static Status start_scheduler(const ServeSettings *s, Helix *helix, Service *service, Err *err)
{
    const LoadedModel *model = helix_model(helix);
    SchedulerOptions sizes = sizes_of(s, helix);
    int64_t trained = ensemble_context(model->ensemble);
    if (sizes.context > trained)
        log_warn("--context %" PRId64 ", but the model was trained on %" PRId64
                 ": what follows may be poor (--rope-scaling stretches a context)",
                 sizes.context, trained);
    service->protocol.context = sizes.context;
    const Model *first = model->ensemble->experts[0];
    metrics_device(service->metrics, first->device.ops, first->compute);
    return scheduler_new(&service->scheduler, model->ensemble, model->tokenizer, &sizes,
                         service->metrics, err);
}

static Status serve_model(const ServeSettings *s, Helix *helix, Service *service, Err *err)
{
    const LoadedModel *model = helix_model(helix);
    Protocol *p = &service->protocol;
    ChatTemplate *chat;
    TRY(chat_prompt_choose(&chat, s->chat_template, model->tokenizer, err));
    if (chat && chat_template_problem(chat))
        log_warn("conversations will be refused: %s", chat_template_problem(chat));
    p->chat = chat;
    p->tokenizer = model->tokenizer;
    p->vocab_size = model->ensemble->experts[0]->config.vocab_size;
    p->n_experts = model->ensemble->n_experts;
    p->experts = model->ensemble->names;
    p->rule = merge_rule_name(model->ensemble->rule);
    p->timeout = s->timeout;
    service->stream_bytes = s->stream_buffer;
    if (s->api_key) {
        service->has_key = true;
        service->key = hash_of(s->api_key, strlen(s->api_key));
    }
    Status status = start_scheduler(s, helix, service, err);
    if (status == STATUS_OK) {
        p->json_problem = scheduler_json_problem(service->scheduler);
        status = listen_and_serve(s, service, err);
    }
    scheduler_free(service->scheduler);
    chat_prompt_free(chat);
    return status;
}

typedef struct ServeWork {
    const ServeSettings *settings;
    const char *path;
} ServeWork;

static Status serve_with(void *context, Helix *helix, Err *err)
{
    const ServeWork *work = context;
    const ServeSettings *s = work->settings;
    TokenPictures *pictures;
    TRY(token_pictures_open(&pictures, work->path, err));
    char *name = s->name ? xstrdup(s->name) : default_name(work->path);
    Service service = {.protocol = {.model = name, .pictures = pictures}, .metrics = metrics_new()};
    Status status = access_init(&service.access, s->host, &s->hosts, &s->origins, err);
    if (status == STATUS_OK)
        status = serve_model(s, helix, &service, err);
    access_clear(&service.access);
    token_pictures_close(pictures);
    metrics_free(service.metrics);
    free(name);
    return status;
}

static Status serve_run(const void *settings, const StringList *positionals, Err *err)
{
    ServeWork work = {settings, positionals->items[0]};
    signal(SIGPIPE, SIG_IGN); /* a client that went away is an error of the write that meets it */
    TRY(check_settings(work.settings, err));
    HelixSettings helix = work.settings->helix;
    LoadSettings load = work.settings->load;
    load.rope.context = helix.grid_context = work.settings->context;
    helix.grid_batch = work.settings->batch;
    return helix_use(work.path, &load, &helix, serve_with, &work, err);
}

const Verb verb_serve = {
    .name = "serve",
    .summary = "answer over HTTP as OpenAI's interface does, with a web page",
    .positionals = "MODEL",
    .positionals_min = 1,
    .positionals_max = 1,
    .details = "GET /, /health, /metrics, /v1/models; POST /v1/completions, /v1/chat/completions, "
               "/tokenize, /detokenize. SIGINT or SIGTERM finishes what was accepted and leaves; a "
               "second one ends at once.",
    .examples =
        {
            "serve both.h5",
            "serve both.h5 --host 0.0.0.0 --port 8000 --api-key \"$KEY\" --batch 64",
            "serve long.h5 --ranks 4 --grid kvp=2,tpa=2 --context 32Ki",
        },
    .options = serve_options,
    .settings_size = sizeof(ServeSettings),
    .run = serve_run,
};
