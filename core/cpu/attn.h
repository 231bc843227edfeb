/* Fast attention for training: the CPU's versions of attn and attn_backward. */
#ifndef CAMBIUM_CORE_CPU_ATTN_H
#define CAMBIUM_CORE_CPU_ATTN_H

#include "core/tensor/ops.h"

void cpu_attn(Queue *queue, const AttnArgs *args);
void cpu_attn_backward(Queue *queue, const AttnBackwardArgs *args);

#endif
