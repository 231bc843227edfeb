/* Fast attention over paged keys and values: the CPU's versions of attn_decode, attn_merge and
 * kv_write. */
#ifndef CAMBIUM_CORE_CPU_ATTN_DECODE_H
#define CAMBIUM_CORE_CPU_ATTN_DECODE_H

#include "core/tensor/ops.h"

void cpu_attn_decode(Queue *queue, const AttnDecodeArgs *args);
void cpu_attn_merge(Queue *queue, const AttnMergeArgs *args);
void cpu_kv_write(Queue *queue, const KvWriteArgs *args);

#endif
