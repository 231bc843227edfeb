/* Fitting the free numbers of a merge rule to held-out text; the experts stay as they are. */
#ifndef CAMBIUM_MERGE_FIT_H
#define CAMBIUM_MERGE_FIT_H

#include "merge/observe.h"

/* Weights on logits (MERGE_WEIGHTED) that minimise the loss on the sample: each expert's weight in
 * turn by golden-section search, the others scaled so that all add up to 1. `weights` (n_experts):
 * in the start, out the result. `*before`, `*after`: nats per token. */
Status fit_weights(Ensemble *ensemble, const Sample *sample, float *weights, double *before,
                   double *after, Err *err);

/* The adapter (MERGE_ADAPTER) that minimises -log sum_e w_e(features) p_e(token) by Adam on the
 * observations. Overwrites `adapter` (top from the observations), whose arrays the caller owns.
 * `*before` is the loss of equal weights, `*after` that of the result, in nats per token. */
void fit_adapter(const Observations *data, int64_t hidden, uint64_t seed, MergeAdapter *adapter,
                 double *before, double *after);

#endif
