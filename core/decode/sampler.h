/* Choosing tokens from the logits of a step: a sequence's rule, and the draw for all rows at once.
 * A Sampler belongs to one thread. */
#ifndef CAMBIUM_CORE_DECODE_SAMPLER_H
#define CAMBIUM_CORE_DECODE_SAMPLER_H

#include "core/base/rng.h"
#include "core/tensor/backend.h"
#include "core/text/tokenizer.h"

typedef struct Sampling {
    double temperature;        /* 0: always the most probable token */
    double top_p;              /* 1: off */
    double min_p;              /* 0: off */
    double repetition_penalty; /* 1: off */
    int64_t repetition_window; /* last tokens that the penalty looks at */
    int64_t top_k;             /* 0: off */
    uint64_t seed;             /* of the first of several sequences; the others count on from it */
    bool finish;               /* generate: a wish to stop waits for the end of all generations */
} Sampling;

Sampling sampling_default(void);
Status sampling_check(const Sampling *sampling, Err *err);

/* The random numbers of sequence `index`: they depend on the seed and the index alone. */
void sampling_start(const Sampling *sampling, int64_t index, Rng *rng);

/* The rule of a sequence's next token; takes one number from `rng`. `seen` (prompt and output) is
 * borrowed until the draw. */
SampleRule sampling_rule(const Sampling *sampling, Rng *rng, const IdList *seen);

typedef struct Sampler Sampler;

Status sampler_new(Sampler **out, const Device *device, int64_t max_rows, Err *err);
void sampler_free(Sampler *sampler);

/* ids[i] and logprobs[i] (host) for row i of logits (N, V), N <= max_rows, by rules[i]; logprobs
 * are those of softmax(logits), before any rule. */
Status sampler_draw(Sampler *sampler, const Tensor *logits, const SampleRule *rules, int32_t *ids,
                    float *logprobs, Err *err);

#endif
