#include "infer/serve/response.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/json_put.h"
#include "core/text/stream.h"
#include "core/text/token_name.h"
#include "core/text/utf8.h"

/* One text: what has been taken and, of a stream, not yet sent. */
typedef struct Choice {
    StrBuf text;
    json_t *logprobs; /* array of entries (chat) or object of arrays (completion); NULL: none */
    json_t *tokens;   /* return_tokens */
    int64_t offset;   /* characters before the next token: text_offset */
    bool begun, ended;
    bool opened, told; /* the stream has begun it, has said that it ended */
    JobEnd end;
    char *why; /* JOB_FAILED */
} Choice;

struct Response {
    const Request *request;
    const Protocol *protocol;
    Choice *choices; /* (n_jobs) */
    int64_t n_ended, written;
    bool closed; /* the stream is over */
};

Response *response_new(const Request *request, const Protocol *protocol)
{
    Response *r = xcalloc(1, sizeof *r);
    r->request = request;
    r->protocol = protocol;
    r->choices = xcalloc((size_t)request->n_jobs, sizeof *r->choices);
    return r;
}

void response_free(Response *r)
{
    if (!r)
        return;
    for (int64_t i = 0; i < r->request->n_jobs; i++) {
        strbuf_clear(&r->choices[i].text);
        json_decref(r->choices[i].logprobs);
        json_decref(r->choices[i].tokens);
        free(r->choices[i].why);
    }
    free(r->choices);
    free(r);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* The number that has as few digits as say which float it is. */
static json_t *float_json(float value)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

static json_t *logprob_json(float logprob)
{
    return float_json(isfinite(logprob) ? logprob : -9999.0f); /* as OpenAI writes it */
}

static json_t *token_text(const Response *r, int32_t id)
{
    int64_t bytes;
    if (id >= tokenizer_size(r->protocol->tokenizer))
        return json_string(UTF8_REPLACEMENT);
    const char *text = tokenizer_token(r->protocol->tokenizer, id, &bytes);
    return json_text(text, bytes);
}

static json_t *token_bytes(const Response *r, int32_t id)
{
    json_t *list = json_array();
    if (id >= tokenizer_size(r->protocol->tokenizer))
        return list;
    int64_t bytes;
    const char *text = tokenizer_token(r->protocol->tokenizer, id, &bytes);
    for (int64_t i = 0; i < bytes; i++)
        json_array_append_new(list, json_integer((uint8_t)text[i]));
    return list;
}

/* {"token", "logprob", "bytes"} of chat. */
static json_t *chat_entry(const Response *r, int32_t id, float logprob)
{
    return json_pack("{s:o, s:o, s:o}", "token", token_text(r, id), "logprob",
                     logprob_json(logprob), "bytes", token_bytes(r, id));
}

static void add_chat_logprob(const Response *r, Choice *choice, const Record *record,
                             const TopToken *top)
{
    json_t *entry = chat_entry(r, record->id, record->logprob), *list = json_array();
    for (int64_t i = 0; i < record->n_top; i++)
        json_array_append_new(list, chat_entry(r, top[i].id, top[i].logprob));
    json_object_set_new(entry, "top_logprobs", list);
    if (!choice->logprobs)
        choice->logprobs = json_array();
    json_array_append_new(choice->logprobs, entry);
}

/* An alternative, by the name of its token; `name` is scratch. */
static void name_top(const Response *r, json_t *tops, int32_t id, float logprob, StrBuf *name)
{
    token_name(r->protocol->tokenizer, id, name);
    json_object_set_new(tops, name->data, logprob_json(logprob));
    strbuf_reset(name);
}

/* One token in the arrays of completions. */
typedef struct Scored {
    int32_t id;
    bool known; /* it has a log-probability: a text's first has not */
    float logprob;
    const TopToken *top;
    int64_t n_top;
} Scored;

static void add_completion_logprob(const Response *r, Choice *choice, const Scored *token)
{
    if (!choice->logprobs)
        choice->logprobs = json_pack("{s:[], s:[], s:[], s:[]}", "tokens", "token_logprobs",
                                     "top_logprobs", "text_offset");
    json_t *tops = r->request->n_top > 0 && token->known ? json_object() : json_null();
    StrBuf name = {0};
    bool among = false;
    for (int64_t i = 0; token->known && i < token->n_top; i++) {
        name_top(r, tops, token->top[i].id, token->top[i].logprob, &name);
        among |= token->top[i].id == token->id;
    }
    if (json_is_object(tops) && !among) /* the token itself is always there */
        name_top(r, tops, token->id, token->logprob, &name);
    token_name(r->protocol->tokenizer, token->id, &name);
    json_t *all = choice->logprobs;
    json_array_append_new(json_object_get(all, "tokens"), json_text(name.data, name.size));
    json_array_append_new(json_object_get(all, "token_logprobs"),
                          token->known ? logprob_json(token->logprob) : json_null());
    json_array_append_new(json_object_get(all, "top_logprobs"), tops);
    json_array_append_new(json_object_get(all, "text_offset"), json_integer(choice->offset));
    strbuf_clear(&name);
}

static json_t *extended_entry(const Response *r, int32_t id, float logprob)
{
    return json_pack("{s:i, s:o, s:o}", "id", (int)id, "text", token_text(r, id), "logprob",
                     logprob_json(logprob));
}

/* The extension: all that is known of a token. `adds`: the characters that it added to the text,
 * which are not its own where it ends within one, or where a stop string may have begun. */
static void add_extended(const Response *r, Choice *choice, const Record *record,
                         const TokenLog *log)
{
    json_t *entry = extended_entry(r, record->id, record->logprob), *list = json_array();
    for (int64_t i = 0; i < record->n_top; i++) {
        const TopToken *top = &log->tops[record->top + i];
        json_array_append_new(list, extended_entry(r, top->id, top->logprob));
    }
    json_object_set_new(entry, "top", list);
    json_object_set_new(
        entry, "adds",
        json_text(record->bytes ? log->text.data + record->text : "", record->bytes));
    if (record->n_floats > 0) {
        json_t *experts = json_array();
        for (int64_t e = 0; e < record->n_floats; e++)
            json_array_append_new(experts, float_json(log->floats[record->floats + e]));
        json_object_set_new(entry, "experts", experts);
    }
    if (!choice->tokens)
        choice->tokens = json_array();
    json_array_append_new(choice->tokens, entry);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* The prompt itself, before the first of the text; `record` of its scores may be NULL. */
static void take_echo(Response *r, int64_t job, const Record *record, const TokenLog *log)
{
    Choice *choice = &r->choices[job];
    const IdList *prompt = &r->request->prompts[job / r->request->n];
    StreamDecoder decoder;
    stream_decoder_init(&decoder, r->protocol->tokenizer, r->request->show_specials, true);
    for (int64_t t = 0; t < prompt->count; t++) {
        if (record)
            add_completion_logprob(r, choice,
                                   &(Scored){.id = prompt->items[t],
                                             .known = t > 0,
                                             .logprob = log->floats[record->floats + t],
                                             .top = log->tops + record->top + t * record->n_top,
                                             .n_top = record->n_top});
        int64_t before = choice->text.size;
        stream_decoder_feed(&decoder, prompt->items[t], &choice->text);
        choice->offset += utf8_characters(choice->text.data + before, choice->text.size - before);
    }
    int64_t before = choice->text.size;
    stream_decoder_flush(&decoder, &choice->text);
    choice->offset += utf8_characters(choice->text.data + before, choice->text.size - before);
    stream_decoder_clear(&decoder);
}

static void take_token(Response *r, const Record *record, const TokenLog *log)
{
    Choice *choice = &r->choices[record->job];
    const Request *request = r->request;
    const TopToken *top = log->tops + record->top;
    if (request->logprobs && request->kind == REQUEST_COMPLETION)
        add_completion_logprob(r, choice,
                               &(Scored){.id = record->id,
                                         .known = true,
                                         .logprob = record->logprob,
                                         .top = top,
                                         .n_top = record->n_top});
    if (record->ends)
        return;
    r->written++;
    if (request->logprobs && request->kind == REQUEST_CHAT)
        add_chat_logprob(r, choice, record, top);
    if (request->return_tokens)
        add_extended(r, choice, record, log);
    if (record->bytes > 0)
        strbuf_append(&choice->text, log->text.data + record->text, (size_t)record->bytes);
    choice->offset += record->characters;
}

static void take_end(Response *r, const Record *record, const TokenLog *log)
{
    Choice *choice = &r->choices[record->job];
    const char *text = record->bytes > 0 ? log->text.data + record->text : "";
    choice->ended = true;
    choice->end = record->end;
    r->n_ended++;
    if (record->end == JOB_FAILED)
        choice->why = xstrndup(text, (size_t)record->bytes);
    else if (record->bytes > 0)
        strbuf_append(&choice->text, text, (size_t)record->bytes);
}

void response_take(Response *r, const TokenLog *log)
{
    for (int64_t i = 0; i < log->count; i++) {
        const Record *record = &log->records[i];
        Choice *choice = &r->choices[record->job];
        bool scored = record->kind == RECORD_SCORES;
        if (!choice->begun && r->request->echo)
            take_echo(r, record->job, scored ? record : NULL, log);
        choice->begun = true;
        if (record->kind == RECORD_TOKEN)
            take_token(r, record, log);
        else if (record->kind == RECORD_END)
            take_end(r, record, log);
    }
}

bool response_ended(const Response *r)
{
    return r->n_ended == r->request->n_jobs;
}

int response_failure(const Response *r, ApiError *error)
{
    for (int64_t i = 0; i < r->request->n_jobs; i++) {
        const Choice *choice = &r->choices[i];
        if (!choice->ended || choice->end == JOB_STOP || choice->end == JOB_LENGTH)
            continue;
        if (choice->end == JOB_TIMEOUT)
            api_error(error, 504, "timeout", "the answer was not finished within %g seconds",
                      r->protocol->timeout);
        else if (choice->end == JOB_CANCELLED)
            api_error(error, 503, "cancelled", "the request was cancelled");
        else
            api_error(error, 500, NULL, "%s", choice->why);
        return error->status;
    }
    return 0;
}

bool response_closed(const Response *r)
{
    return r->closed;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *head(const Response *r, bool chunk)
{
    const Request *request = r->request;
    const char *object = request->kind == REQUEST_COMPLETION ? "text_completion"
                         : chunk                             ? "chat.completion.chunk"
                                                             : "chat.completion";
    return json_pack("{s:s, s:s, s:I, s:s, s:s}", "id", request->id, "object", object, "created",
                     (json_int_t)request->created, "model", r->protocol->model,
                     "system_fingerprint", "cambium");
}

static json_t *usage(const Response *r)
{
    return json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)r->request->prompt_tokens,
                     "completion_tokens", (json_int_t)r->written, "total_tokens",
                     (json_int_t)(r->request->prompt_tokens + r->written));
}

static json_t *finish_reason(const Choice *choice, bool known)
{
    return known ? json_string(choice->end == JOB_LENGTH ? "length" : "stop") : json_null();
}

/* What has been taken of a choice; `chunk`: since the last one. */
static json_t *choice_json(const Response *r, int64_t job, bool chunk)
{
    const Choice *choice = &r->choices[job];
    json_t *text = json_text(choice->text.data ? choice->text.data : "", choice->text.size);
    json_t *logprobs = choice->logprobs ? json_incref(choice->logprobs) : json_null();
    json_t *object = json_pack("{s:I, s:o}", "index", (json_int_t)job, "finish_reason",
                               finish_reason(choice, choice->ended));
    if (r->request->kind == REQUEST_CHAT) {
        json_t *message = json_pack("{s:o}", "content", text);
        if (!choice->opened)
            json_object_set_new(message, "role", json_string("assistant"));
        if (!chunk)
            json_object_set_new(message, "refusal", json_null());
        json_object_set_new(object, chunk ? "delta" : "message", message);
        if (choice->logprobs)
            logprobs = json_pack("{s:o, s:n}", "content", logprobs, "refusal");
    } else {
        json_object_set_new(object, "text", text);
    }
    json_object_set_new(object, "logprobs", logprobs);
    if (choice->tokens)
        json_object_set(object, "tokens", choice->tokens);
    return object;
}

json_t *response_whole(const Response *r)
{
    json_t *object = head(r, false), *choices = json_array();
    for (int64_t i = 0; i < r->request->n_jobs; i++)
        json_array_append_new(choices, choice_json(r, i, false));
    json_object_set_new(object, "choices", choices);
    json_object_set_new(object, "usage", usage(r));
    return object;
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Takes the object. */
static void event(json_t *object, StrBuf *out)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    strbuf_puts(out, "data: ");
    strbuf_puts(out, text);
    strbuf_puts(out, "\n\n");
    free(text);
    json_decref(object);
}

static void choice_event(Response *r, int64_t job, StrBuf *out)
{
    Choice *choice = &r->choices[job];
    json_t *object = head(r, true);
    json_object_set_new(object, "choices", json_pack("[o]", choice_json(r, job, true)));
    if (r->request->include_usage)
        json_object_set_new(object, "usage", json_null());
    event(object, out);
    strbuf_reset(&choice->text);
    json_decref(choice->logprobs);
    json_decref(choice->tokens);
    choice->logprobs = choice->tokens = NULL;
    choice->opened = true;
    choice->told |= choice->ended;
}

static void close_events(Response *r, StrBuf *out)
{
    r->closed = true;
    if (r->request->include_usage) {
        json_t *object = head(r, true);
        json_object_set_new(object, "choices", json_array());
        json_object_set_new(object, "usage", usage(r));
        event(object, out);
    }
    strbuf_puts(out, "data: [DONE]\n\n");
}

void response_events(Response *r, StrBuf *out)
{
    ApiError error;
    if (r->closed)
        return;
    bool failed = response_failure(r, &error) != 0;
    for (int64_t i = 0; i < r->request->n_jobs; i++) {
        Choice *choice = &r->choices[i];
        bool news = choice->text.size > 0 || choice->logprobs || choice->tokens;
        bool ends = choice->ended && !choice->told && !failed;
        if (!news && !ends)
            continue;
        choice_event(r, i, out);
    }
    if (failed) {
        r->closed = true;
        event(api_error_json(&error), out);
    } else if (response_ended(r)) {
        close_events(r, out);
    }
}
