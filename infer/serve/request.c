#include "infer/serve/request.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/text/json_read.h"
#include "infer/serve/request_chat.h"
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
    *out = json_read(body ? body : "", bytes, JSON_REJECT_DUPLICATES, &why);
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

void prompt_encode_text(const Tokenizer *tokenizer, const json_t *text, const PromptForm *form,
                        IdList *ids)
{
    const char *bytes = json_string_value(text);
    int64_t n = (int64_t)json_string_length(text);
    if (form->start)
        tokenizer_encode_prompt(tokenizer, bytes, n, form->specials, ids);
    else if (form->specials)
        tokenizer_encode_with_specials(tokenizer, bytes, n, ids);
    else
        tokenizer_encode(tokenizer, bytes, n, ids);
}

/* One prompt of a completion: text, or token ids. */
static Status read_prompt(const json_t *value, const Protocol *p, const PromptForm *form,
                          IdList *ids, bool *at_start, ApiError *error)
{
    if (json_is_string(value)) {
        *at_start = json_string_length(value) == 0;
        prompt_encode_text(p->tokenizer, value, form, ids);
        if (ids->count > 0)
            return STATUS_OK;
        return api_error_param(error, "prompt",
                               "'prompt' is empty, and the tokenizer has no token to begin with");
    }
    *at_start = false;
    if (json_unreadable(value))
        return api_error_param(error, "prompt", "'prompt' is %s", json_unreadable(value));
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
    PromptForm form = {.start = true};
    TRY(field_bool(object, "add_special_tokens", &form.start, error));
    TRY(field_bool(object, "parse_special", &form.specials, error));
    const json_t *first = json_array_get(prompt, 0);
    int64_t id;
    bool several = first && !field_whole(first, &id);
    int64_t n_prompts = several ? (int64_t)json_array_size(prompt) : 1;
    if (n_prompts * r->n > REQUEST_CHOICES)
        return api_error_param(error, "prompt", "prompts times 'n' are at most %d",
                               REQUEST_CHOICES);
    make_jobs(r, n_prompts);
    for (int64_t i = 0; i < n_prompts; i++) {
        const json_t *one = several ? json_array_get(prompt, (size_t)i) : prompt;
        bool at_start = false;
        TRY(read_prompt(one, p, &form, &r->prompts[i], &at_start, error));
        for (int64_t c = 0; c < r->n; c++)
            r->jobs[i * r->n + c].at_start = at_start;
    }
    return STATUS_OK;
}

/* The prompt of a conversation. */
static Status read_chat(Request *r, const json_t *object, const Protocol *p, int32_t *end,
                        StringList *stops, ApiError *error)
{
    make_jobs(r, 1);
    return request_conversation(object, p, &r->prompts[0], end, stops, error);
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

/* Any whole number, also one beyond 64 bits, which JSON readers hold as a real one. */
static Status read_seed(const json_t *object, uint64_t *out, ApiError *error)
{
    const json_t *seed = field_get(object, "seed");
    double real = json_real_value(seed);
    int64_t whole;
    if (!seed) {
        if (getrandom(out, sizeof *out, 0) != sizeof *out)
            *out = (uint64_t)(clock_seconds() * 1e9);
    } else if (field_whole(seed, &whole)) {
        *out = (uint64_t)whole;
    } else if (json_is_real(seed) && real == floor(real)) {
        *out = (uint64_t)fmod(fabs(real), 0x1p64);
    } else {
        return api_error_param(error, "seed", "'seed' is a whole number");
    }
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
    TRY(field_real(object, "repeat_penalty", 0.01, 10.0, &s->repetition_penalty, error));
    TRY(field_real(object, "repetition_penalty", 0.01, 10.0, &s->repetition_penalty, error));
    TRY(field_int(object, "top_k", -1, INT32_MAX, &s->top_k, error));
    if (s->top_k < 0)
        s->top_k = 0; /* all */
    if (s->top_p == 0.0)
        s->top_p = 1e-6; /* the most probable token alone */
    return read_seed(object, &s->seed, error);
}

/* How many alternatives; true is one, false none and no log-probabilities. */
static Status read_numbered_logprobs(Request *r, const json_t *object, ApiError *error)
{
    const json_t *given = field_get(object, "logprobs");
    r->logprobs = given && !json_is_false(given);
    if (json_is_boolean(given))
        r->n_top = json_is_true(given);
    else
        TRY(field_int(object, "logprobs", 0, REQUEST_TOP, &r->n_top, error));
    if (r->kind == REQUEST_CHAT)
        r->logprobs = r->n_top > 0;
    return STATUS_OK;
}

static Status read_logprobs(Request *r, const json_t *object, ApiError *error)
{
    if (r->kind == REQUEST_COMPLETION)
        return read_numbered_logprobs(r, object, error);
    const json_t *given = field_get(object, "logprobs");
    if (json_is_number(given))
        TRY(read_numbered_logprobs(r, object, error)); /* as completions have it */
    else
        TRY(field_bool(object, "logprobs", &r->logprobs, error));
    TRY(field_int(object, "top_logprobs", 0, REQUEST_TOP, &r->n_top, error));
    if (r->n_top > 0 && !r->logprobs)
        return api_error_param(error, "top_logprobs", "'top_logprobs' wants 'logprobs': true");
    return STATUS_OK;
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
        if (strcmp(name, "continuous_usage_stats") == 0 && json_is_true(value))
            return api_error_param(error, "stream_options",
                                   "'continuous_usage_stats' is not supported by this server");
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
    static const char *const names[] = {"n_predict", "max_tokens", "max_completion_tokens"};
    for (int i = 0; i < 3; i++) {
        TRY(field_int(object, names[i], -1, INT32_MAX, &most, error));
        if (most < 0)
            most = INT32_MAX; /* as many as there is room for */
        if (field_given(object, names[i]) && most < least)
            return api_error_param(error, names[i],
                                   "'%s' is a whole number from 1, or -1 for as many as there is "
                                   "room for",
                                   names[i]);
    }
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

static Status read_stop_ids(const json_t *object, const Protocol *p, IdList *ends, ApiError *error)
{
    const json_t *ids = field_get(object, "stop_token_ids");
    if (ids && !json_is_array(ids))
        return api_error_param(error, "stop_token_ids",
                               "'stop_token_ids' is an array of token ids");
    return field_ids(ids, "stop_token_ids", p->vocab_size, ends, error);
}

static Status parse(Request *r, const json_t *object, const Protocol *p, JobSpec *common,
                    ApiError *error)
{
    TRY(fields_check(object, r->kind, r->ignored, sizeof r->ignored, error));
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
    TRY(field_int(object, "min_tokens", 0, INT32_MAX, &common->min_tokens, error));
    bool skip_specials = true;
    TRY(field_bool(object, "skip_special_tokens", &skip_specials, error));
    r->show_specials = common->show_specials = !skip_specials;
    int32_t end = -1;
    if (r->kind == REQUEST_COMPLETION) {
        TRY(read_completion(r, object, p, error));
    } else {
        TRY(read_chat(r, object, p, &end, &common->stops, error));
    }
    if (!ignore_end)
        name_ends(p->tokenizer, end, &common->ends);
    TRY(read_stop_ids(object, p, &common->ends, error));
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
