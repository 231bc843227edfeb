/* Plain-C references of the attention family: the definition of correct. Sums in float64. */
#ifndef CAMBIUM_CORE_CPU_REF_ATTN_H
#define CAMBIUM_CORE_CPU_REF_ATTN_H

#include "core/tensor/ops.h"

void ref_attn(Queue *queue, const AttnArgs *args);
void ref_attn_backward(Queue *queue, const AttnBackwardArgs *args);
void ref_kv_write(Queue *queue, const KvWriteArgs *args);
void ref_attn_decode(Queue *queue, const AttnDecodeArgs *args);
void ref_attn_merge(Queue *queue, const AttnMergeArgs *args);
void ref_rope(Queue *queue, const RopeArgs *args);

void ref_attn_pack(Queue *queue, const AttnPackArgs *args);
void ref_attn_unpack(Queue *queue, const AttnUnpackArgs *args);

#endif
