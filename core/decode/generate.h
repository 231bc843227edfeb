/* Generation: any number of prompts through one decoder, joining and leaving between steps. A
 * prompt's tokens depend on its own text, rule and seed alone, not on its neighbours. */
#ifndef CAMBIUM_CORE_DECODE_GENERATE_H
#define CAMBIUM_CORE_DECODE_GENERATE_H

#include "core/decode/decoder.h"
#include "core/decode/sampler.h"

typedef struct Generation {
    const int32_t *prompt; /* host, borrowed; at least one token */
    int64_t n_prompt;
    int64_t max_tokens;
    /* `sequence` is open already, holds the prompt's first tokens and stays open; else it gets one.
     */
    bool is_open;
    int64_t sequence;
    const IdList *ends; /* tokens that end the text (not reported); borrowed; NULL: none */
    IdList output;
    bool ended; /* by the end token, not by max_tokens or by the callback */
} Generation;

/* Told of every new token; returns false to end this generation. `weights` (n_experts): what each
 * expert counted for it. */
typedef bool GenerationToken(void *context, int64_t index, int32_t id, float logprob,
                             const float *weights);

/* Runs all generations to their ends. Outputs are appended; the caller clears them.
 * STATUS_STOPPED when the user asks to stop (and sampling->finish does not say to wait). */
Status generate(Decoder *decoder, int64_t max_sequences, const Sampling *sampling,
                Generation *generations, int64_t n, GenerationToken *token, void *context,
                Err *err);

#endif
