/* What the attention operations hand to the kernels of each instruction set. Kernels work on plain
 * pointers and on scratch memory given to them; they neither allocate nor check. */
#ifndef CAMBIUM_CORE_CPU_ATTN_KERNELS_H
#define CAMBIUM_CORE_CPU_ATTN_KERNELS_H

#include <stdbool.h>

#include "core/base/isa.h"
#include "core/tensor/dtype.h"

/* Rows of one head: strided, or in pages. Strides are in elements. */
typedef struct RowSource {
    const void *data; /* at the head's first row (of page 0) */
    DType type;
    int64_t row_stride;
    const int32_t *pages; /* NULL: row j is at j * row_stride */
    int64_t page_size, page_stride;
    int64_t head_stride; /* to the next head, whose scales are page_size further */
    const float *scales; /* int8: at the head's first row of page 0 */
    int64_t page_scales; /* scales between pages */
} RowSource;

/* Query rows of one KV head (or several, for flash_rows) of one sequence against its keys
 * [key_begin, key_end). Query i is `group` heads of D elements for every KV head, at q + i *
 * q_stride; it sees the first limits[i] keys. The result is normalised: out like q, and
 * lse[i * lse_stride + h * lse_head_stride] where lse is given. */
typedef struct FlashTask {
    const void *q;
    void *out;
    float *lse;
    DType q_type, out_type;
    int64_t q_stride, out_stride, lse_stride, lse_head_stride; /* elements */
    const int32_t *limits;
    int64_t n_queries, n_heads, group, D; /* n_heads: KV heads */
    int64_t key_begin, key_end;
    RowSource k, v;
    float scale;
} FlashTask;

/* Query heads [0, group) of one KV head of one sequence, backwards. Pointers are at the head's
 * first element of the first token; strides are elements between tokens. delta and lse are (T)
 * rows, T apart between heads. */
typedef struct FlashBackwardTask {
    const void *q, *k, *v, *out, *dout;
    void *dq, *dk, *dv;
    const float *lse;
    float *delta;
    DType type;
    int64_t T, D, group, q_stride, kv_stride;
    float scale;
} FlashBackwardTask;

/* Merges n_parts normalised partial results of n_rows rows into rows out_row .. of out (and of lse
 * where given); parts are part_stride rows apart. */
typedef struct MergeTask {
    const void *parts; /* (n_parts, part_stride, D), at the first row */
    const float *part_lse;
    void *out;
    float *lse;
    DType part_type, out_type;
    int64_t n_parts, n_rows, D, part_stride, out_row;
} MergeTask;

/* Writes rows [first, last) of from (N, K, D) into pages (pages, K, page_size, D). */
typedef struct WriteRowsTask {
    const void *from;
    void *to;
    float *scales; /* int8 */
    const int32_t *slots;
    DType from_type, to_type;
    int64_t first, last, K, D, page_size;
} WriteRowsTask;

typedef void MergeFn(const MergeTask *task);
typedef void WriteRowsFn(const WriteRowsTask *task);

/* flash takes any task; flash_rows is made for few query rows over many keys and wants D to be a
 * multiple of 16 floats.
 *
 * Bytes of scratch that one call needs; a multiple of MEM_ALIGN. */
typedef size_t FlashScratchFn(const FlashTask *task);
typedef void FlashFn(const FlashTask *task, void *scratch);
typedef size_t FlashBackwardScratchFn(const FlashBackwardTask *task);
typedef void FlashBackwardFn(const FlashBackwardTask *task, void *scratch);

#define ATTN_DECLARE(isa)                                                                          \
    size_t flash_scratch_##isa(const FlashTask *task);                                             \
    void flash_##isa(const FlashTask *task, void *scratch);                                        \
    size_t flash_rows_scratch_##isa(const FlashTask *task);                                        \
    void flash_rows_##isa(const FlashTask *task, void *scratch);                                   \
    void attn_merge_rows_##isa(const MergeTask *task);                                             \
    void kv_write_rows_##isa(const WriteRowsTask *task);                                           \
    size_t flash_backward_scratch_##isa(const FlashBackwardTask *task);                            \
    void flash_backward_##isa(const FlashBackwardTask *task, void *scratch);
ATTN_DECLARE(generic)
ATTN_DECLARE(avx2)
ATTN_DECLARE(avx512)
ATTN_DECLARE(avx512bf16)
#undef ATTN_DECLARE

#endif
