/* A merged file checked against its parts (design section 8). */
#ifndef CAMBIUM_MERGE_VERIFY_H
#define CAMBIUM_MERGE_VERIFY_H

#include "core/model/ensemble.h"

/* Runs `n_tokens` tokens, token by token, through the merged ensemble and through each expert
 * alone, and compares the merged log-probabilities with the rule applied to the experts' in
 * float64.
 * `*worst` is the largest difference relative to the largest value. Fails when it is above 1e-4,
 * naming the token. */
Status verify_rule(const Ensemble *merged, const int32_t *tokens, int64_t n_tokens, double *worst,
                   Err *err);

#endif
