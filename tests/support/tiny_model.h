/* Small models with random values, and ensembles of them, for tests. */
#ifndef CAMBIUM_TESTS_SUPPORT_TINY_MODEL_H
#define CAMBIUM_TESTS_SUPPORT_TINY_MODEL_H

#include "core/model/ensemble.h"

/* The CPU, opened once per test program. */
const Device *tiny_device(void);

/* A few blocks of odd sizes: GQA 3 to 1, head size 6, vocabulary 97. */
ModelConfig tiny_config(void);

/* All values random (also norms and biases), from `seed` alone; the table from `table_seed`.
 * Aborts on failure. */
Model *tiny_model(const ModelConfig *config, DType compute, uint64_t seed, uint64_t table_seed);

/* An ensemble that takes over the models. */
Ensemble *tiny_ensemble(Model **models, int64_t n, MergeRule rule);

#endif
