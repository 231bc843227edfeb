/* What the files of core/model share among themselves. */
#ifndef CAMBIUM_CORE_MODEL_MODEL_PARTS_H
#define CAMBIUM_CORE_MODEL_MODEL_PARTS_H

#include "core/model/model.h"

/* Shapes of a block's LoRA pairs from the configuration, without memory. */
void lora_shapes(const Model *model, Block *block);

/* Memory for the parameters of `n_groups` arrays of `n` that have none; `what` names it. */
Status params_allocate(const Model *model, Param *const groups[], int n_groups, int n,
                       ParamMemory *memory, const char *what, Err *err);
void params_release(const Model *model, ParamMemory *memory);
/* A normal, B zero; nothing without pairs. */
Status lora_start(Model *model, int64_t layer, uint64_t seed, Err *err);
Status block_allocate(Model *model, int64_t layer, Err *err);

/* Fills a parameter (absent: nothing) with a constant, or with normal numbers of a deviation above
 * 0 that depend on (seed, stream) alone. */
Status param_start(Model *model, Param *param, float constant, double deviation, uint64_t seed,
                   uint64_t stream, Err *err);

#endif
