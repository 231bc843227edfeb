/* Rotary frequencies, and how models stretch them to contexts longer than those they were first
 * trained on. */
#ifndef CAMBIUM_CORE_MODEL_ROPE_SCALING_H
#define CAMBIUM_CORE_MODEL_ROPE_SCALING_H

#include <stdint.h>

#include "core/base/err.h"

typedef enum RopeScalingKind {
    ROPE_UNSCALED = 0,
    ROPE_LINEAR, /* all frequencies are divided by the factor (Chen et al., 2023) */
    ROPE_LLAMA3, /* the low ones are, the high ones are not, those between in part (Llama 3.1) */
    ROPE_YARN,   /* likewise, and queries and keys are scaled (Peng et al., 2023) */
} RopeScalingKind;

typedef struct RopeScaling {
    RopeScalingKind kind;
    double factor;            /* above or equal to 1 */
    int64_t original_context; /* positions before the stretch; llama3 and yarn */
    /* llama3: waves that fit into the original context fewer than `low` times are divided, more
     * than `high` times are not (1 and 4). yarn: the same bounds for a ramp over the pairs (1 and
     * 32). */
    double low, high;
    double attention; /* yarn: what queries and keys are multiplied with; 0: 0.1 ln(factor) + 1 */
} RopeScaling;

/* "linear", "llama3", "yarn"; NULL for ROPE_UNSCALED. */
const char *rope_scaling_name(RopeScalingKind kind);
/* ROPE_UNSCALED: no such name. */
RopeScalingKind rope_scaling_parse(const char *name);

/* Fails with the first rule that it breaks. */
Status rope_scaling_check(const RopeScaling *scaling, Err *err);

/* inv_freq[i], i < half, of heads of 2 half values: base^(-i / half) (Su et al., 2021), scaled. */
void rope_frequencies(double base, int64_t half, const RopeScaling *scaling, float *inv_freq);

/* What queries and keys are multiplied with: 1 but for yarn. */
float rope_attention_factor(const RopeScaling *scaling);

#endif
