/* One text to write: what a client asked for, how it hears of the tokens, and the state of its
 * sequence between two steps. A request with several prompts or choices is several jobs. */
#ifndef CAMBIUM_INFER_SERVE_JOB_H
#define CAMBIUM_INFER_SERVE_JOB_H

#include <stdatomic.h>

#include "core/decode/decoder.h"
#include "core/decode/sampler.h"
#include "core/text/stream.h"
#include "infer/serve/json_mask.h"

typedef struct LogitBias {
    int32_t id;
    float bias;
} LogitBias;

typedef struct JobSpec {
    IdList prompt; /* at least one token */
    Sampling sampling;
    int64_t index; /* among the choices of one seed */
    double presence_penalty, frequency_penalty;
    LogitBias *bias;
    int64_t n_bias;
    int64_t max_tokens; /* 0: only read (and score) the prompt */
    int64_t min_tokens; /* no end token before */
    StringList stops;
    IdList ends;        /* tokens that end the text (not reported) */
    bool at_start;      /* the text begins with what is written, not with a prompt */
    bool json;          /* the text is one JSON object */
    bool show_specials; /* names of special tokens are part of the text */
    bool score_prompt;
    int64_t n_top;   /* alternatives reported with each token */
    double deadline; /* clock_seconds() at which it ends unfinished */
} JobSpec;

void job_spec_clear(JobSpec *spec);

typedef struct JobToken {
    int32_t id;
    float logprob;
    const char *text; /* characters that this token released */
    int64_t bytes;
    int64_t characters;  /* that it completed, released or still held back (a stop string's?) */
    bool ends;           /* the text before it: it is an end token and no part of the text */
    const TopToken *top; /* (n_top), falling */
    int64_t n_top;
    const float *weights; /* (n_experts): what each expert counted for it */
} JobToken;

/* What the model thought of a prompt; score_prompt only. */
typedef struct PromptScores {
    int64_t n, n_top;
    const float *logprobs; /* (n): 0 for the first */
    const TopToken *top;   /* (n, n_top), falling; nothing before the first token */
} PromptScores;

typedef enum JobEnd {
    JOB_STOP,      /* an end token, a stop string, or the end of the JSON object */
    JOB_LENGTH,    /* max_tokens */
    JOB_CANCELLED, /* nobody listens any more */
    JOB_TIMEOUT,
    JOB_FAILED,
} JobEnd;

/* Called by the scheduler's thread; must not block. After `end` the job is gone. */
typedef struct JobSink {
    void *context;
    const atomic_bool *cancelled; /* read between steps */
    void (*scored)(void *context, int64_t job, const PromptScores *scores);
    void (*token)(void *context, int64_t job, const JobToken *token);
    /* `text`: characters that were held back; `why` of JOB_FAILED. */
    void (*end)(void *context, int64_t job, JobEnd end, const char *text, int64_t bytes,
                const char *why);
} JobSink;

typedef struct Job {
    JobSpec spec;
    JobSink sink;
    int64_t number; /* of the sink's jobs */
    struct Job *next;
    double submitted, last_token; /* last_token 0: none yet */
    int64_t sequence;             /* of the decoder; -1: waits */
    IdList seen;                  /* prompt and output */
    Rng rng;
    TokenText text;
    JsonState json;
    float *scores;        /* score_prompt: (spec.prompt.count + 1), entry t of token t */
    TopToken *prompt_top; /* the same, (spec.prompt.count + 1, spec.n_top) */
} Job;

/* Takes the content of `spec`. */
Job *job_new(JobSpec *spec, const JobSink *sink, int64_t number, const Tokenizer *tokenizer);
void job_free(Job *job);

int64_t job_written(const Job *job); /* tokens of output */
bool job_ends_with(const Job *job, int32_t id);

#endif
