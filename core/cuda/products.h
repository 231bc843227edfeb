/* Matrix products through cuBLASLt. */
#ifndef CAMBIUM_CORE_CUDA_PRODUCTS_H
#define CAMBIUM_CORE_CUDA_PRODUCTS_H

#include "core/cuda/cuda.h"

/* Frees what a queue keeps for its products (handle, descriptors, workspace); NULL is allowed. */
void products_free(LtCache *cache);

/* Enqueues c (+)= op(a) op(b) + bias; a bias only with c float32, no activation. False, with
 * nothing enqueued, where cuBLASLt has no way to do it. */
bool products_run(Queue *queue, const GemmArgs *args);

#endif
