/* What NVIDIA's libraries do, and what is left to our own kernels. Functions may be called from any
 * thread. */
#ifndef CAMBIUM_CORE_CUDA_LIBRARIES_H
#define CAMBIUM_CORE_CUDA_LIBRARIES_H

#include "core/cuda/cuda.h"

/* The library of this kind of work has enqueued an operation. */
void library_did(Work work);

/* It has not, because of `why`: our own, slower kernel does it, which is told once for each kind of
 * work. Where the library is required (--require) the queue has failed then. */
void library_refused(Queue *queue, Work work, const char *why);

void cuda_worker(Work work, DType type, Worker *out);
Status cuda_require(const char *library, Err *err);

/* ---- of each library --------------------------------------------------------------------------
 */

/* "cuBLASLt 13.1.0", or an empty text and why it cannot be used, in the worker's fields. */
void products_library(Worker *out);
void attn_fused_library(Worker *out);

#endif
