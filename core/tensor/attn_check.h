/* The shapes and types that the attention family demands, checked in one place for every backend.
 * A violation is a bug of the caller and aborts. */
#ifndef CAMBIUM_CORE_TENSOR_ATTN_CHECK_H
#define CAMBIUM_CORE_TENSOR_ATTN_CHECK_H

#include "core/tensor/ops.h"

typedef struct AttnShape {
    int64_t B, T, H, K, D;
} AttnShape;

AttnShape attn_check(const AttnArgs *args);
AttnShape attn_backward_check(const AttnBackwardArgs *args);
void kv_write_check(const KvWriteArgs *args);
void attn_decode_check(const AttnDecodeArgs *args);
void attn_merge_check(const AttnMergeArgs *args);
void attn_pack_check(const AttnPackArgs *args);
void attn_unpack_check(const AttnUnpackArgs *args);
/* Elements of `type` that a log-sum-exp takes in a packed row. */
int64_t attn_pack_pad(DType type);
void rope_check(const RopeArgs *args);

#endif
