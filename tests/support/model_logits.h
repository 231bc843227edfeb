/* Logits of a model for tests that compare them with other programs'. */
#ifndef CAMBIUM_TESTS_SUPPORT_MODEL_LOGITS_H
#define CAMBIUM_TESTS_SUPPORT_MODEL_LOGITS_H

#include "core/io/npy.h"
#include "core/model/ensemble.h"

/* The logits after each of the n ids, as (n, V); the caller frees. Aborts on failure. */
float *model_logits_of(const Ensemble *ensemble, const int32_t *ids, int64_t n);

/* The same for the ids (37 i + 11) mod V. */
float *model_logits(const Ensemble *ensemble, int64_t n);

/* The largest difference of model_logits from golden ones, (n, V) float32, relative to the largest
 * of these. */
double model_logits_error(const Ensemble *ensemble, const NpyFile *want);

#endif
