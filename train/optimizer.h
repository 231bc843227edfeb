/* AdamW over what trains. Moments exist for nothing else. Belongs to one rank. */
#ifndef CAMBIUM_TRAIN_OPTIMIZER_H
#define CAMBIUM_TRAIN_OPTIMIZER_H

#include "core/io/container.h"
#include "train/grads.h"

typedef struct AdamwConfig {
    double beta1, beta2, eps;
    double weight_decay; /* of matrices; vectors, LoRA pairs and the embedding have none */
    double clip;         /* largest norm of the gradient; 0: no clipping */
} AdamwConfig;

AdamwConfig adamw_default(void); /* 0.9, 0.95, 1e-8, 0.1, 1.0 */

typedef struct Optimizer Optimizer;

/* Moments start at zero. Model and grads are borrowed. */
Status optimizer_new(Optimizer **out, Model *model, const Grads *grads, const AdamwConfig *config,
                     Err *err);
void optimizer_free(Optimizer *optimizer);
size_t optimizer_bytes(const Grads *grads); /* device memory that optimizer_new takes */

/* One step with the gradients that `grads` holds; refreshes the weights. `norm` receives the norm
 * of the gradient before clipping; when it is not finite nothing is changed. */
Status optimizer_step(Optimizer *optimizer, double lr, double *norm, Err *err);

/* "gradient of blocks/3/attn_q" or "blocks/3/attn_q": the first that holds a NaN or an infinity;
 * NULL when all are finite. Borrowed. */
const char *optimizer_find_non_finite(Optimizer *optimizer, Err *err);

/* /optimizer/m/PATH and /optimizer/v/PATH, and the step count (which the caller keeps). */
Status optimizer_put(const Optimizer *optimizer, ContainerWriter *writer, Err *err);
Status optimizer_read(Optimizer *optimizer, const Container *container, int64_t step, Err *err);

#endif
