/* Matrix products through cuBLASLt. */
#ifndef CAMBIUM_CORE_CUDA_PRODUCTS_H
#define CAMBIUM_CORE_CUDA_PRODUCTS_H

#include "core/cuda/cuda.h"

size_t products_workspace(); /* bytes that each queue keeps for them */

/* Frees what a queue keeps for its products (handle, descriptors, workspace); NULL is allowed. */
void products_free(LtCache *cache);

/* Enqueues c (+)= op(a) op(b) + bias; a bias only with c float32, no activation. False, with
 * nothing enqueued, where cuBLASLt has no way to do it. */
bool products_run(Queue *queue, const GemmArgs *args);

#endif
