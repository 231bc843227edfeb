#include "infer/serve/request.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/json_put.h"
#include "infer/serve/request_fields.h"

void request_clear(Request *r)
{
    for (int64_t i = 0; i < r->n_jobs; i++)
        job_spec_clear(&r->jobs[i]);
    for (int64_t i = 0; r->prompts && i < r->n_jobs / r->n; i++)
        id_list_clear(&r->prompts[i]);
    free(r->jobs);
    free(r->prompts);
    *r = (Request){0};
}

Status request_json(const char *body, int64_t bytes, json_t **out, ApiError *error)
{
    json_error_t why;
    *out = json_loadb(body ? body : "", (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
    if (!*out)
        return api_error(error, 400, "invalid_json",
                         "the body is not JSON: %s (line %d, column %d)", why.text, why.line,
                         why.column);
    if (json_is_object(*out))
        return STATUS_OK;
    json_decref(*out);
    *out = NULL;
    return api_error(error, 400, "invalid_json", "the body is not a JSON object");
}

/* ---- prompts --------------------------------------------------------------------------------- */

/* One prompt of a completion: text, or token ids. */
static Status read_prompt(const json_t *value, const Protocol *p, IdList *ids, bool *at_start,
                          ApiError *error)
{
    if (json_is_string(value)) {
        int64_t bytes = (int64_t)json_string_length(value);
        *at_start = bytes == 0;
        tokenizer_encode_prompt(p->tokenizer, json_string_value(value), bytes, false, ids);
        if (ids->count > 0)
            return STATUS_OK;
        return api_error_param(error, "prompt",
                               "'prompt' is empty, and the tokenizer has no token to begin with");
    }
    *at_start = false;
    if (!json_is_array(value) || json_array_size(value) == 0)
        return api_error_param(error, "prompt",
                               "'prompt' is a string, an array of token ids, or an array of those");
    return field_ids(value, "prompt", p->vocab_size, ids, error);
}

/* Makes the jobs of `n_prompts` prompts. */
static void make_jobs(Request *r, int64_t n_prompts)
{
    r->n_jobs = n_prompts * r->n;
    r->jobs = xcalloc((size_t)r->n_jobs, sizeof *r->jobs);
    r->prompts = xcalloc((size_t)n_prompts, sizeof *r->prompts);
}

static Status read_completion(Request *r, const json_t *object, const Protocol *p, ApiError *error)
{
    const json_t *prompt = field_get(object, "prompt");
    if (!prompt)
        return api_error_param(error, "prompt", "'prompt' is missing");
    const json_t *first = json_array_get(prompt, 0);
    bool several = first && !json_is_integer(first);
    int64_t n_prompts = several ? (int64_t)json_array_size(prompt) : 1;
    if (n_prompts * r->n > REQUEST_CHOICES)
        return api_error_param(error, "prompt", "prompts times 'n' are at most %d",
                               REQUEST_CHOICES);
    make_jobs(r, n_prompts);
    for (int64_t i = 0; i < n_prompts; i++) {
        const json_t *one = several ? json_array_get(prompt, (size_t)i) : prompt;
        bool at_start = false;
        TRY(read_prompt(one, p, &r->prompts[i], &at_start, error));
        for (int64_t c = 0; c < r->n; c++)
            r->jobs[i * r->n + c].at_start = at_start;
    }
    return STATUS_OK;
}

/* The text of a message: a string, or parts that are all text. The caller frees it. */
static Status read_content(const json_t *message, const char *where, char **out, ApiError *error)
{
    const json_t *content = field_get(message, "content");
    *out = NULL;
    if (json_is_string(content)) {
        *out = xstrdup(json_string_value(content));
        return STATUS_OK;
    }
    if (!json_is_array(content))
        return api_error_param(error, where, "%s: 'content' is a string or an array of parts",
                               where);
    StrBuf text = {0};
    size_t i;
    json_t *part;
    json_array_foreach(content, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        const char *words = json_string_value(json_object_get(part, "text"));
        if (!type || strcmp(type, "text") != 0 || !words) {
            strbuf_clear(&text);
            return api_error_param(error, where, "%s: the model reads parts of type 'text' alone",
                                   where);
        }
        strbuf_puts(&text, words);
    }
    *out = strbuf_detach(&text);
    return STATUS_OK;
}

static Status read_role(const json_t *message, const char *where, const char **out, ApiError *error)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    const char *role = json_string_value(json_object_get(message, "role"));
    if (role && strcmp(role, "developer") == 0)
        role = "system"; /* its newer name */
    for (int i = 0; role && i < 3; i++)
        if (strcmp(role, roles[i]) == 0) {
            *out = roles[i];
            return STATUS_OK;
        }
    return api_error_param(error, where, "%s: 'role' is system, developer, user or assistant",
                           where);
}

/* The ids of `messages`; what ends the answer goes to `end` and `stops`. */
static Status read_messages(const json_t *object, const Protocol *p, IdList *ids, int32_t *end,
                            StringList *stops, ApiError *error)
{
    const json_t *array = field_get(object, "messages");
    int64_t n = (int64_t)json_array_size(array);
    if (!json_is_array(array) || n == 0)
        return api_error_param(error, "messages", "'messages' is an array of at least one message");
    ChatMessage *messages = xcalloc((size_t)n, sizeof *messages);
    char **contents = xcalloc((size_t)n, sizeof *contents);
    Status status = STATUS_OK;
    for (int64_t i = 0; i < n && status == STATUS_OK; i++) {
        char where[48];
        snprintf(where, sizeof where, "messages[%" PRId64 "]", i);
        const json_t *message = json_array_get(array, (size_t)i);
        status = read_role(message, where, &messages[i].role, error);
        if (status == STATUS_OK)
            status = read_content(message, where, &contents[i], error);
        messages[i].content = contents[i];
    }
    Err why;
    if (status == STATUS_OK &&
        chat_prompt(p->chat, p->tokenizer, messages, n, ids, end, stops, &why) != STATUS_OK)
        status = api_error_param(error, "messages", "%s", why.text);
    for (int64_t i = 0; i < n; i++)
        free(contents[i]);
    free(contents);
    free(messages);
    return status;
}

/* ---- what holds for all choices -------------------------------------------------------------- */

static Status read_stops(const json_t *object, StringList *stops, ApiError *error)
{
    const json_t *stop = field_get(object, "stop");
    if (!stop)
        return STATUS_OK;
    bool one = json_is_string(stop);
    if (!one && (!json_is_array(stop) || json_array_size(stop) > REQUEST_STOPS))
        return api_error_param(error, "stop", "'stop' is a string or an array of at most %d",
                               REQUEST_STOPS);
    for (size_t i = 0; i < (one ? 1 : json_array_size(stop)); i++) {
        const char *text = json_string_value(one ? stop : json_array_get(stop, i));
        if (!text || !*text)
            return api_error_param(error, "stop", "'stop' holds a string that is empty or none");
        string_list_add(stops, text);
    }
    return STATUS_OK;
}

static Status read_bias(const json_t *object, const Protocol *p, JobSpec *spec, ApiError *error)
{
    const json_t *biases = field_get(object, "logit_bias");
    if (!biases)
        return STATUS_OK;
    if (!json_is_object(biases) || json_object_size(biases) > 1024)
        return api_error_param(error, "logit_bias",
                               "'logit_bias' is an object of at most 1024 token ids");
    spec->bias = xcalloc(json_object_size(biases) + 1, sizeof *spec->bias);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)biases, key, value)
    {
        char *rest;
        long id = strtol(key, &rest, 10);
        double bias = json_number_value(value);
        if (!*key || *rest || id < 0 || id >= p->vocab_size || !json_is_number(value) ||
            !(fabs(bias) <= 100.0))
            return api_error_param(error, "logit_bias",
                                   "'logit_bias' maps token ids below %" PRId64
                                   " to numbers from -100 to 100",
                                   p->vocab_size);
        spec->bias[spec->n_bias++] = (LogitBias){(int32_t)id, (float)bias};
    }
    return STATUS_OK;
}

static Status read_format(const json_t *object, const Protocol *p, JobSpec *spec, ApiError *error)
{
    const json_t *format = field_get(object, "response_format");
    if (!format)
        return STATUS_OK;
    const char *type = json_string_value(json_object_get(format, "type"));
    if (type && strcmp(type, "text") == 0)
        return STATUS_OK;
    if (!type || strcmp(type, "json_object") != 0)
        return api_error_param(error, "response_format",
                               "'response_format' has the type text or json_object; json_schema is "
                               "not supported by this server");
    if (p->json_problem)
        return api_error_param(error, "response_format", "json_object: %s", p->json_problem);
    spec->json = true;
    return STATUS_OK;
}

static Status read_sampling(const json_t *object, Sampling *s, ApiError *error)
{
    *s = sampling_default();
    s->temperature = 1.0;
    s->top_p = 1.0;
    TRY(field_real(object, "temperature", 0.0, 2.0, &s->temperature, error));
    TRY(field_real(object, "top_p", 0.0, 1.0, &s->top_p, error));
    TRY(field_real(object, "min_p", 0.0, 0.999, &s->min_p, error));
    TRY(field_real(object, "repetition_penalty", 0.01, 10.0, &s->repetition_penalty, error));
    TRY(field_int(object, "top_k", 0, INT32_MAX, &s->top_k, error));
    if (s->top_p == 0.0)
        s->top_p = 1e-6; /* the most probable token alone */
    int64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (int64_t)(clock_seconds() * 1e9);
    TRY(field_int(object, "seed", INT64_MIN, INT64_MAX, &seed, error));
    s->seed = (uint64_t)seed;
    return STATUS_OK;
}

static Status read_logprobs(Request *r, const json_t *object, ApiError *error)
{
    if (r->kind == REQUEST_COMPLETION) {
        r->logprobs = field_given(object, "logprobs");
        return field_int(object, "logprobs", 0, REQUEST_TOP, &r->n_top, error);
    }
    TRY(field_bool(object, "logprobs", &r->logprobs, error));
    if (field_given(object, "top_logprobs") && !r->logprobs)
        return api_error_param(error, "top_logprobs", "'top_logprobs' wants 'logprobs': true");
    return field_int(object, "top_logprobs", 0, REQUEST_TOP, &r->n_top, error);
}

static Status read_streaming(Request *r, const json_t *object, ApiError *error)
{
    TRY(field_bool(object, "stream", &r->stream, error));
    const json_t *options = field_get(object, "stream_options");
    if (!options)
        return STATUS_OK;
    if (!json_is_object(options) || !r->stream)
        return api_error_param(error, "stream_options",
                               "'stream_options' is an object, for 'stream': true");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)options, name, value)
    {
        if (strcmp(name, "include_usage") != 0 && strcmp(name, "include_obfuscation") != 0)
            return api_error_param(error, "stream_options", "unknown member '%.64s'", name);
    }
    return field_bool(options, "include_usage", &r->include_usage, error);
}

static Status check_model(const json_t *object, const Protocol *p, ApiError *error)
{
    const json_t *model = field_get(object, "model");
    const char *name = json_string_value(model);
    if (!model || (name && strcmp(name, p->model) == 0))
        return STATUS_OK;
    api_error(error, 404, "model_not_found", "there is no model '%.64s' here; it is '%s'",
              name ? name : "(not a string)", p->model);
    snprintf(error->param, sizeof error->param, "model");
    return STATUS_FAIL;
}

/* How many tokens each text may have: what was asked for, as far as the context goes. */
static Status read_max_tokens(Request *r, const json_t *object, const Protocol *p, bool json,
                              ApiError *error)
{
    bool chat = r->kind == REQUEST_CHAT;
    int64_t most = chat ? INT32_MAX : 16; /* OpenAI's defaults */
    int64_t least = r->echo ? 0 : 1;      /* 0: only the prompt, with its log-probabilities */
    TRY(field_int(object, "max_tokens", least, INT32_MAX, &most, error));
    if (chat)
        TRY(field_int(object, "max_completion_tokens", 1, INT32_MAX, &most, error));
    for (int64_t i = 0; i < r->n_jobs; i++) {
        int64_t prompt = r->prompts[i / r->n].count, room = p->context - prompt;
        if (room < least) {
            api_error(error, 400, "context_length_exceeded",
                      "the context is %" PRId64 " tokens, and the prompt has %" PRId64, p->context,
                      prompt);
            snprintf(error->param, sizeof error->param, "%s", chat ? "messages" : "prompt");
            return STATUS_FAIL;
        }
        r->jobs[i].max_tokens = most < room ? most : room;
        if (json && r->jobs[i].max_tokens < 2)
            return api_error_param(error, "max_tokens", "a JSON object has at least 2 tokens");
    }
    return STATUS_OK;
}

/* Every job gets its own copy of what `common` and its prompt say. */
static void share_out(Request *r, const JobSpec *common)
{
    for (int64_t i = 0; i < r->n_jobs; i++) {
        JobSpec *job = &r->jobs[i];
        bool at_start = job->at_start;
        int64_t max_tokens = job->max_tokens;
        *job = *common;
        job->at_start = at_start;
        job->max_tokens = max_tokens;
        job->index = i % r->n;
        job->ends = (IdList){0};
        for (int64_t t = 0; t < common->ends.count; t++)
            id_list_add(&job->ends, common->ends.items[t]);
        job->stops = (StringList){0};
        for (int64_t s = 0; s < common->stops.count; s++)
            string_list_add(&job->stops, common->stops.items[s]);
        size_t bias_bytes = (size_t)common->n_bias * sizeof *common->bias;
        job->bias = NULL;
        if (common->n_bias) {
            job->bias = xmalloc(bias_bytes);
            memcpy(job->bias, common->bias, bias_bytes);
        }
        const IdList *prompt = &r->prompts[i / r->n];
        job->prompt = (IdList){0};
        for (int64_t t = 0; t < prompt->count; t++)
            id_list_add(&job->prompt, prompt->items[t]);
    }
}

/* What ends a text: what the model's files say, bos (which begins another), and the end of the
 * template's turns. */
static void name_ends(const Tokenizer *tokenizer, int32_t turn_end, IdList *out)
{
    const int32_t more[] = {tokenizer_spec(tokenizer)->bos, turn_end};
    tokenizer_ends(tokenizer, out);
    for (int i = 0; i < 2; i++)
        if (more[i] >= 0 && !id_list_has(out, more[i]))
            id_list_add(out, more[i]);
}

static Status parse(Request *r, const json_t *object, const Protocol *p, JobSpec *common,
                    ApiError *error)
{
    TRY(fields_check(object, r->kind, error));
    TRY(check_model(object, p, error));
    r->n = 1;
    TRY(field_int(object, "n", 1, REQUEST_CHOICES, &r->n, error));
    int64_t best_of = r->n;
    TRY(field_int(object, "best_of", 1, REQUEST_CHOICES, &best_of, error));
    if (best_of != r->n)
        return api_error_param(error, "best_of", "'best_of' other than 'n' is not supported");
    TRY(read_streaming(r, object, error));
    TRY(read_logprobs(r, object, error));
    TRY(field_bool(object, "echo", &r->echo, error));
    TRY(field_bool(object, "return_tokens", &r->return_tokens, error));
    bool ignore_end = false;
    TRY(field_bool(object, "ignore_eos", &ignore_end, error));
    TRY(read_sampling(object, &common->sampling, error));
    TRY(field_real(object, "presence_penalty", -2.0, 2.0, &common->presence_penalty, error));
    TRY(field_real(object, "frequency_penalty", -2.0, 2.0, &common->frequency_penalty, error));
    TRY(read_bias(object, p, common, error));
    TRY(read_format(object, p, common, error));
    TRY(read_stops(object, &common->stops, error));
    int32_t end = -1;
    if (r->kind == REQUEST_COMPLETION) {
        TRY(read_completion(r, object, p, error));
    } else {
        make_jobs(r, 1);
        TRY(read_messages(object, p, &r->prompts[0], &end, &common->stops, error));
    }
    if (!ignore_end)
        name_ends(p->tokenizer, end, &common->ends);
    common->n_top = r->n_top;
    common->score_prompt = r->echo && r->logprobs;
    common->deadline = clock_seconds() + p->timeout;
    TRY(read_max_tokens(r, object, p, common->json, error));
    share_out(r, common);
    for (int64_t i = 0; i < r->n_jobs / r->n; i++)
        r->prompt_tokens += r->prompts[i].count;
    return STATUS_OK;
}

static void name_request(Request *r)
{
    uint8_t random[12];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        memset(random, 0, sizeof random);
    int at = snprintf(r->id, sizeof r->id, r->kind == REQUEST_CHAT ? "chatcmpl-" : "cmpl-");
    for (size_t i = 0; i < sizeof random; i++)
        at += snprintf(r->id + at, sizeof r->id - (size_t)at, "%02x", random[i]);
    r->created = (int64_t)time(NULL);
}

Status request_parse(Request *r, RequestKind kind, const Protocol *p, const char *body,
                     int64_t bytes, ApiError *error)
{
    *r = (Request){.kind = kind, .n = 1};
    json_t *object;
    TRY(request_json(body, bytes, &object, error));
    JobSpec common = {0};
    name_request(r);
    Status status = parse(r, object, p, &common, error);
    job_spec_clear(&common);
    json_decref(object);
    if (status != STATUS_OK)
        request_clear(r);
    return status;
}

/* ---- the tokenizer alone --------------------------------------------------------------------- */

Status request_tokenize(const Protocol *p, const char *body, int64_t bytes, json_t **out,
                        ApiError *error)
{
    json_t *object;
    *out = NULL;
    TRY(request_json(body, bytes, &object, error));
    const char *text = json_string_value(json_object_get(object, "prompt"));
    int64_t length = (int64_t)json_string_length(json_object_get(object, "prompt"));
    bool specials = true;
    IdList ids = {0};
    StringList stops = {0};
    int32_t end;
    Status status = field_bool(object, "add_special_tokens", &specials, error);
    if (status == STATUS_OK && field_given(object, "messages"))
        status = read_messages(object, p, &ids, &end, &stops, error);
    else if (status == STATUS_OK && !text)
        status = api_error_param(error, "prompt", "'prompt' is a string");
    else if (status == STATUS_OK && specials)
        tokenizer_encode_prompt(p->tokenizer, text, length, false, &ids);
    else if (status == STATUS_OK)
        tokenizer_encode(p->tokenizer, text, length, &ids);
    if (status == STATUS_OK) {
        json_t *tokens = json_array(), *pieces = json_array();
        for (int64_t i = 0; i < ids.count; i++) {
            int64_t size;
            const char *piece = tokenizer_token(p->tokenizer, ids.items[i], &size);
            json_array_append_new(tokens, json_integer(ids.items[i]));
            json_array_append_new(pieces, json_text(piece, size));
        }
        *out = json_pack("{s:I, s:I, s:o, s:o}", "count", (json_int_t)ids.count, "max_model_len",
                         (json_int_t)p->context, "tokens", tokens, "pieces", pieces);
    }
    id_list_clear(&ids);
    string_list_clear(&stops);
    json_decref(object);
    return status;
}

Status request_detokenize(const Protocol *p, const char *body, int64_t bytes, json_t **out,
                          ApiError *error)
{
    json_t *object;
    *out = NULL;
    TRY(request_json(body, bytes, &object, error));
    const json_t *tokens = json_object_get(object, "tokens");
    IdList ids = {0};
    Status status = json_is_array(tokens)
                        ? field_ids(tokens, "tokens", p->vocab_size, &ids, error)
                        : api_error_param(error, "tokens", "'tokens' is an array of token ids");
    if (status == STATUS_OK) {
        StrBuf text = {0};
        tokenizer_decode(p->tokenizer, ids.items, ids.count, false, &text);
        *out = json_pack("{s:o}", "prompt", json_text(text.data ? text.data : "", text.size));
        strbuf_clear(&text);
    }
    id_list_clear(&ids);
    json_decref(object);
    return status;
}
