/* Bodies of HTTP requests from arbitrary bytes; what is accepted is answered as by jobs. */
#include <stdint.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "infer/serve/response.h"
#include "tests/support/byte_vocabulary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a model might think of a prompt: any ids, also ones beyond the vocabulary. */
static void score(const Request *request, const Protocol *protocol, int64_t job, TokenLog *log)
{
    int64_t n = request->prompts[job / request->n].count, n_top = request->n_top;
    float *logprobs = xcalloc((size_t)n, sizeof *logprobs);
    TopToken *top = xcalloc((size_t)(n * n_top) + 1, sizeof *top);
    for (int64_t i = 0; i < n * n_top; i++)
        top[i] = (TopToken){(int32_t)(i % protocol->vocab_size), -(float)i};
    token_log_scores(log, job,
                     &(PromptScores){.n = n, .n_top = n_top, .logprobs = logprobs, .top = top});
    free(logprobs);
    free(top);
}

static void answer(const Request *request, const Protocol *protocol)
{
    Response *response = response_new(request, protocol);
    TokenLog log = {0};
    StrBuf out = {0};
    for (int64_t job = 0; job < request->n_jobs; job++) {
        TopToken top[REQUEST_TOP] = {{0, -1.0f}};
        JobToken token = {.id = 0xE4, .text = "x", .bytes = 1, .top = top, .n_top = request->n_top};
        if (request->echo && request->logprobs)
            score(request, protocol, job, &log);
        token_log_token(&log, job, &token, 1);
        token.ends = true;
        token_log_token(&log, job, &token, 1);
        token_log_end(&log, job, JOB_STOP, "", 0);
    }
    response_take(response, &log);
    json_t *whole = response_whole(response);
    if (!whole)
        __builtin_trap();
    json_decref(whole);
    response_events(response, &out);
    if (!response_closed(response))
        __builtin_trap();
    response_free(response);
    token_log_clear(&log);
    strbuf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Tokenizer *tokenizer;
    if (!tokenizer)
        tokenizer = byte_vocabulary();
    Protocol protocol = {.tokenizer = tokenizer,
                         .model = "m",
                         .context = 64,
                         .vocab_size = tokenizer_size(tokenizer) + 3,
                         .n_experts = 1,
                         .timeout = 1.0};
    const char *body = (const char *)data;
    log_set_level(LOG_QUIET);
    for (int kind = REQUEST_COMPLETION; kind <= REQUEST_CHAT; kind++) {
        Request request;
        ApiError error;
        if (request_parse(&request, (RequestKind)kind, &protocol, body, (int64_t)size, &error) ==
            STATUS_OK) {
            answer(&request, &protocol);
            request_clear(&request);
        } else {
            json_decref(api_error_json(&error));
        }
    }
    json_t *object;
    ApiError error;
    if (request_tokenize(&protocol, body, (int64_t)size, &object, &error) == STATUS_OK)
        json_decref(object);
    if (request_detokenize(&protocol, body, (int64_t)size, &object, &error) == STATUS_OK)
        json_decref(object);
    return 0;
}
