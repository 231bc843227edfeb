/* Fast embedding gather and its gradient: the CPU's versions of embed and embed_backward. */
#ifndef CAMBIUM_CORE_CPU_EMBED_H
#define CAMBIUM_CORE_CPU_EMBED_H

#include "core/tensor/ops.h"

void cpu_embed(Queue *queue, const EmbedArgs *args);
void cpu_embed_backward(Queue *queue, const EmbedBackwardArgs *args);

#endif
