/* Attention of whole sequences through cuDNN. */
#ifndef CAMBIUM_CORE_CUDA_ATTN_FUSED_H
#define CAMBIUM_CORE_CUDA_ATTN_FUSED_H

#include "core/cuda/cuda.h"

/* Frees what a queue keeps of it (handle, plans); NULL is allowed. */
void attn_fused_free(FusedCache *cache);

/* Enqueue attention forward and backward; false, with nothing enqueued, where cuDNN is absent or
 * refuses the shape or type (always so under emulation): our own kernels do it then. */
bool attn_fused_forward(Queue *queue, const AttnArgs *args);
bool attn_fused_backward(Queue *queue, const AttnBackwardArgs *args);

#endif
