/* Completions of prompts as text: tokens become characters, stop strings end them. */
#ifndef CAMBIUM_INFER_COMPLETION_H
#define CAMBIUM_INFER_COMPLETION_H

#include "core/decode/budget.h"
#include "core/decode/generate.h"
#include "core/text/stream.h"

typedef enum Finish { FINISH_LENGTH, FINISH_END, FINISH_STOP } Finish;

typedef struct Completion {
    const char *prompt; /* borrowed */
    /* A chat's prompt as tokens, instead of text; borrowed. NULL: none. */
    const IdList *prompt_ids;
    int32_t turn_end; /* with prompt_ids: the token that ends the answer, or -1 */
    StrBuf text;      /* what the model wrote */
    IdList ids;
    float *logprobs; /* (ids.count) */
    float *weights;  /* (ids.count, n_experts): what each expert counted, merged models only */
    int64_t capacity;
    int64_t n_prompt; /* tokens */
    Finish finish;
} Completion;

void completion_clear(Completion *completion);

/* A CompletionOptions.write that prints at once. */
void completion_print(void *context, int64_t index, const char *text, int64_t bytes);
const char *finish_name(Finish finish); /* "length", "end", "stop" */

/* KV snapshots (infer/kv_snapshot.h) of the only completion. */
typedef struct CompletionKv {
    const char *model; /* its file */
    const char *load;  /* the prompt goes on from this one; NULL: none */
    const char *save;  /* NULL: none */
    bool at_end; /* saved with the text that was written; else as soon as the prompt is read */
} CompletionKv;

typedef struct CompletionOptions {
    Sampling sampling;
    int64_t max_tokens;    /* of each completion */
    int64_t max_sequences; /* decoded at a time */
    int64_t max_positions; /* of prompt and text, which ends there; 0: what they need */
    const StringList *stops;
    bool ignore_end; /* go on after an end token */
    bool specials;   /* prompts may name special tokens */
    DType kv_dtype;
    const CompletionKv *kv;     /* or NULL */
    const MemoryBudget *budget; /* as the decoder's; may be NULL */
    RunnerSource *source;       /* where layers run; NULL: in this process */
    /* Called with new whole characters as they come; may be NULL. */
    void (*write)(void *context, int64_t index, const char *text, int64_t bytes);
    void *write_context;
} CompletionOptions;

/* Completes all prompts. Outputs that were finished or begun stay valid when it fails or the user
 * stops. Rates (optional) receives tokens and seconds. */
typedef struct CompletionRates {
    int64_t prompt_tokens, new_tokens;
    double seconds;
} CompletionRates;
Status complete(const Ensemble *ensemble, const Tokenizer *tokenizer,
                const CompletionOptions *options, Completion *completions, int64_t n,
                CompletionRates *rates, Err *err);

#endif
