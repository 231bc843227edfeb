/* Requests in OpenAI's JSON, as jobs for the scheduler. What the server does not do is refused by
 * name, and so are members that nobody knows: a mistyped option must not pass in silence. */
#ifndef CAMBIUM_INFER_SERVE_REQUEST_H
#define CAMBIUM_INFER_SERVE_REQUEST_H

#include "core/io/picture_basis.h"
#include "infer/serve/api_error.h"
#include "core/text/chat_prompt.h"
#include "infer/serve/job.h"

/* What the requests are made for; borrowed from the server. Read by many threads. */
typedef struct Protocol {
    const Tokenizer *tokenizer;
    const char *model; /* the name it is served by */
    int64_t context;
    int64_t vocab_size; /* of the logits */
    int64_t n_experts;
    char *const *experts;          /* their names */
    const char *rule;              /* how they are merged */
    const ChatTemplate *chat;      /* NULL: plain lines */
    const TokenPictures *pictures; /* NULL: the model has none */
    double timeout;                /* seconds of one request */
    const char *json_problem;      /* why JSON cannot be promised, or NULL */
} Protocol;

enum { REQUEST_CHOICES = 128, REQUEST_TOP = 20, REQUEST_STOPS = 16 };

typedef enum RequestKind { REQUEST_COMPLETION = 1, REQUEST_CHAT = 2 } RequestKind;

typedef struct Request {
    RequestKind kind;
    bool stream, include_usage, echo;
    bool logprobs;      /* report them, with n_top alternatives */
    bool show_specials; /* names of special tokens are part of the text */
    bool return_tokens; /* an extension: ids, alternatives and expert weights of all tokens */
    int64_t n_top;
    int64_t n;     /* choices per prompt */
    JobSpec *jobs; /* (n_jobs): n of the first prompt, n of the second ... */
    int64_t n_jobs;
    IdList *prompts; /* (n_jobs / n) */
    int64_t prompt_tokens;
    char ignored[256]; /* names of members that are not known, with commas */
    char id[40];
    int64_t created; /* seconds since 1970 */
} Request;

/* On failure `request` is empty. */
Status request_parse(Request *request, RequestKind kind, const Protocol *protocol, const char *body,
                     int64_t bytes, ApiError *error);
void request_clear(Request *request);

/* The body as a JSON object that the caller owns. */
Status request_json(const char *body, int64_t bytes, json_t **out, ApiError *error);

/* POST /tokenize and /detokenize: whole answers, which the caller owns. */
Status request_tokenize(const Protocol *protocol, const char *body, int64_t bytes, json_t **out,
                        ApiError *error);
Status request_detokenize(const Protocol *protocol, const char *body, int64_t bytes, json_t **out,
                          ApiError *error);

#endif
