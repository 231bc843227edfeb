/* Plain-C references of the embedding gather and its gradient: the definition of correct. */
#ifndef CAMBIUM_CORE_CPU_REF_EMBED_H
#define CAMBIUM_CORE_CPU_REF_EMBED_H

#include "core/tensor/ops.h"

void ref_embed(Queue *queue, const EmbedArgs *args);
void ref_embed_backward(Queue *queue, const EmbedBackwardArgs *args);

/* Abort when shapes, types or ids are wrong. */
void embed_check(const EmbedArgs *args);
void embed_backward_check(const EmbedBackwardArgs *args);

#endif
