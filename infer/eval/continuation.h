/* Log-probabilities of texts that may follow a context: how multiple choice and last words are
 * scored. What the contexts of many prompts begin with is computed once, and so is what the texts
 * of one prompt share; texts of one token are all read from one row of logits. What is asked twice
 * is computed once (twins.h). */
#ifndef CAMBIUM_INFER_EVAL_CONTINUATION_H
#define CAMBIUM_INFER_EVAL_CONTINUATION_H

#include "core/decode/budget.h"
#include "core/decode/decoder.h"
#include "core/text/tokenizer.h"

/* Picks the token to write next from a row of log-probabilities (V) in host memory. */
typedef int32_t PickToken(void *context, const float *logprobs, int64_t V);

typedef struct Prompt {
    IdList context; /* at least one token */
    IdList *texts;  /* (n_texts), each at least one token */
    int64_t n_texts;
    bool cut;         /* the context lost its beginning */
    bool greedy;      /* asks whether the only text is what greedy decoding gives */
    int64_t generate; /* tokens that shall be written after the context, at most */
    PickToken *pick;  /* how; NULL: greedy decoding */
    void *pick_context;
    double *logprobs; /* out, (n_texts): sums over the texts' tokens of log p in nats */
    bool is_greedy;   /* out */
    IdList written;   /* out, the token that ended it included */
} Prompt;

typedef struct PromptRule {
    const Tokenizer *tokenizer;
    int64_t limit; /* tokens of context and text together; contexts lose their beginning */
} PromptRule;

/* Tokenizes a context and the texts that may follow it. A context's closing blanks belong to the
 * texts, since tokens begin with them. Context and text are encoded together; the text's tokens are
 * those behind as many as the context alone has, as lm-evaluation-harness cuts them. (Where that
 * would leave a text without tokens, its last token counts as its own.) Fails when a text alone is
 * over the limit, and for a tokenizer without a token to begin with. */
Status prompt_encode(Prompt *out, const PromptRule *rule, const char *context,
                     const char *const *texts, int64_t n_texts, Err *err);
void prompt_clear(Prompt *prompt);

typedef struct ScorerOptions {
    DType kv_dtype;
    const MemoryBudget *budget; /* as the decoder's; may be NULL */
    RunnerSource *source;       /* where layers run; NULL: in this process */
    int64_t ranks;              /* of the source; 1 without */
    int64_t page_size;          /* 0: small ones, which share more */
    const bool *ends;           /* (V): tokens that end what is written; borrowed. NULL: none */
} ScorerOptions;

typedef struct Scorer Scorer;

/* The ensemble and the source are borrowed. One thread at a time. */
Scorer *scorer_new(const Ensemble *ensemble, const ScorerOptions *options);
void scorer_free(Scorer *scorer);

/* Told in order of every batch: prompts [first, first + count) are scored. May be NULL. */
typedef Status ScorerBatch(void *context, int64_t first, int64_t count, Err *err);

/* Scores prompts `from` to the last. Batches are cut by the prompts alone and begin with the one
 * that holds `from`, so that going on gives the same bits as one whole run. STATUS_STOPPED when
 * the user asks to stop. */
Status scorer_run(Scorer *scorer, Prompt *prompts, int64_t n, int64_t from, ScorerBatch *done,
                  void *context, Err *err);

#endif
