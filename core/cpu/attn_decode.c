#include "core/cpu/attn_decode.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/cpu/page_check.h"
#include "core/cpu/attn_kernels.h"
#include "core/cpu/cpu.h"

enum {
    TASK_ROWS = 256, /* query rows that share one packing of the keys */
    FEW_ROWS = 8,    /* up to here reading keys and values is the work, not the products */
    SPLIT_ROWS = 64, /* up to here a task's keys are split */
    /* Keys of a part: fixed, so that the number of threads changes no bit. Parts of all heads
     * at once may be short, as they are what gives every thread work. */
    SPLIT_FEW = 256,
    SPLIT_MORE = 1024,
};

static const struct {
    FlashScratchFn *tile_scratch, *rows_scratch;
    FlashFn *tile, *rows;
    MergeFn *merge;
    WriteRowsFn *write_rows;
} kernels[ISA_COUNT] = {
#define KERNELS(isa)                                                                               \
    {                                                                                              \
        flash_scratch_##isa, flash_rows_scratch_##isa, flash_##isa, flash_rows_##isa,              \
            attn_merge_rows_##isa, kv_write_rows_##isa                                             \
    }
    [ISA_GENERIC] = KERNELS(generic),
    [ISA_AVX2] = KERNELS(avx2),
    [ISA_AVX512] = KERNELS(avx512),
    [ISA_AVX512BF16] = KERNELS(avx512bf16),
#undef KERNELS
};

/* Consecutive queries of one sequence, one or all KV heads, one range of keys. */
typedef struct Piece {
    int64_t first, count;  /* queries */
    int64_t head, n_heads; /* KV heads */
    int64_t split, n_splits, split_keys;
    int64_t part; /* of the first split: row in the partial results */
} Piece;

typedef struct Decode {
    const AttnDecodeArgs *args;
    int64_t N, H, K, D, group;
    Piece *pieces;
    int64_t n_pieces, n_parts;
    float *parts, *part_lse; /* (n_parts, D), (n_parts) */
    char *scratch;
    size_t scratch_bytes; /* of one worker */
} Decode;

static bool few_rows(const Decode *d, int64_t n_queries)
{
    return n_queries * d->group <= FEW_ROWS && d->D % 16 == 0;
}

/* Counts the pieces, or lists them where there is memory for them. */
static void cut(Decode *d)
{
    const int32_t *rows = cpu_ptr(&d->args->rows), *limits = cpu_ptr(&d->args->limits);
    int64_t chunk = d->group < TASK_ROWS ? TASK_ROWS / d->group : 1;
    d->n_pieces = d->n_parts = 0;
    for (int64_t first = 0, next; first < d->N; first = next) {
        int64_t most = 0;
        for (next = first; next < d->N && next - first < chunk && rows[next] == rows[first]; next++)
            most = limits[next] > most ? limits[next] : most;
        bool few = few_rows(d, next - first);
        Piece piece = {.first = first,
                       .count = next - first,
                       .n_heads = few ? d->K : 1,
                       .n_splits = 1,
                       .split_keys = few ? SPLIT_FEW : SPLIT_MORE};
        int64_t n_rows = piece.count * piece.n_heads * d->group;
        if (most > piece.split_keys && (few || n_rows <= SPLIT_ROWS))
            piece.n_splits = (most + piece.split_keys - 1) / piece.split_keys;
        for (; piece.head < d->K; piece.head += piece.n_heads) {
            piece.part = d->n_parts;
            for (piece.split = 0; piece.split < piece.n_splits; piece.split++, d->n_pieces++)
                if (d->pieces)
                    d->pieces[d->n_pieces] = piece;
            d->n_parts += piece.n_splits > 1 ? piece.n_splits * n_rows : 0;
        }
    }
}

static RowSource source(const Tensor *pages, const Tensor *scales, int64_t head,
                        const int32_t *table)
{
    int64_t page_size = pages->shape[2], D = pages->shape[3];
    RowSource s = {.data = (const char *)cpu_ptr(pages) +
                           (size_t)(head * page_size * D) * dtype_bytes(pages->dtype),
                   .type = pages->dtype,
                   .row_stride = D,
                   .pages = table,
                   .page_size = page_size,
                   .page_stride = pages->shape[1] * page_size * D,
                   .head_stride = page_size * D};
    if (pages->dtype == DTYPE_I8) {
        s.scales = (const float *)cpu_ptr(scales) + head * page_size;
        s.page_scales = pages->shape[1] * page_size;
    }
    return s;
}

static FlashTask piece_task(const Decode *d, const Piece *piece)
{
    const AttnDecodeArgs *args = d->args;
    const KvPages *kv = &args->kv;
    const int32_t *rows = cpu_ptr(&args->rows);
    const int32_t *table =
        (const int32_t *)cpu_ptr(&kv->page_table) + rows[piece->first] * kv->page_table.shape[1];
    int64_t row = piece->first * d->H + piece->head * d->group;
    FlashTask task = {.q = (const char *)cpu_ptr(&args->q) +
                           (size_t)(row * d->D) * dtype_bytes(args->q.dtype),
                      .q_type = args->q.dtype,
                      .q_stride = d->H * d->D,
                      .limits = (const int32_t *)cpu_ptr(&args->limits) + piece->first,
                      .n_queries = piece->count,
                      .n_heads = piece->n_heads,
                      .group = d->group,
                      .D = d->D,
                      .key_end = kv->page_table.shape[1] * kv->k_pages.shape[2],
                      .k = source(&kv->k_pages, &kv->k_scales, piece->head, table),
                      .v = source(&kv->v_pages, &kv->v_scales, piece->head, table),
                      .scale = args->scale};
    if (piece->n_splits > 1) {
        int64_t heads = piece->n_heads * d->group;
        int64_t part = piece->part + piece->split * piece->count * heads;
        task.out = d->parts + part * d->D;
        task.lse = d->part_lse + part;
        task.out_type = DTYPE_F32;
        task.out_stride = heads * d->D;
        task.lse_stride = heads;
        task.key_begin = piece->split * piece->split_keys;
        task.key_end = task.key_begin + piece->split_keys;
    } else {
        task.out =
            (char *)cpu_ptr(&args->out) + (size_t)(row * d->D) * dtype_bytes(args->out.dtype);
        task.lse = tensor_present(&args->lse) ? (float *)cpu_ptr(&args->lse) + row : NULL;
        task.out_type = args->out.dtype;
        task.out_stride = d->H * d->D;
        task.lse_stride = d->H;
    }
    task.lse_head_stride = 1;
    return task;
}

static void decode_work(void *context, int64_t begin, int64_t end, int worker)
{
    const Decode *d = context;
    char *scratch = d->scratch + (size_t)worker * d->scratch_bytes;
    for (int64_t i = begin; i < end; i++) {
        FlashTask task = piece_task(d, &d->pieces[i]);
        if (few_rows(d, task.n_queries))
            kernels[cpu_isa()].rows(&task, scratch);
        else
            kernels[cpu_isa()].tile(&task, scratch);
    }
}

/* The merge of each piece's splits, by the piece that is the first split. */
static void merge_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Decode *d = context;
    const Tensor *out = &d->args->out, *lse = &d->args->lse;
    for (int64_t i = begin; i < end; i++) {
        const Piece *p = &d->pieces[i];
        if (p->n_splits == 1 || p->split > 0)
            continue;
        int64_t heads = p->n_heads * d->group;
        for (int64_t q = 0; q < p->count; q++) {
            int64_t row = (p->first + q) * d->H + p->head * d->group;
            int64_t part = p->part + q * heads;
            MergeTask task = {.parts = d->parts + part * d->D,
                              .part_type = DTYPE_F32,
                              .part_lse = d->part_lse + part,
                              .out = cpu_ptr(out),
                              .out_type = out->dtype,
                              .out_row = row,
                              .lse = cpu_ptr(lse),
                              .n_parts = p->n_splits,
                              .n_rows = heads,
                              .D = d->D,
                              .part_stride = p->count * heads};
            kernels[cpu_isa()].merge(&task);
        }
    }
}

static size_t largest_scratch(const Decode *d)
{
    size_t largest = 0;
    int64_t last = 0; /* pieces of one size follow each other */
    for (int64_t i = 0; i < d->n_pieces; i++) {
        if (d->pieces[i].count == last)
            continue;
        last = d->pieces[i].count;
        FlashTask task = piece_task(d, &d->pieces[i]);
        size_t bytes = few_rows(d, last) ? kernels[cpu_isa()].rows_scratch(&task)
                                         : kernels[cpu_isa()].tile_scratch(&task);
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

static size_t padded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

void cpu_attn_decode(Queue *queue, const AttnDecodeArgs *args)
{
    attn_decode_check(args);
    pages_check(args);
    Decode d = {.args = args,
                .N = args->q.shape[0],
                .H = args->q.shape[1],
                .K = args->kv.k_pages.shape[1],
                .D = args->q.shape[2]};
    d.group = d.H / d.K;
    if (tensor_count(&args->q) == 0)
        return;
    cut(&d);
    Piece *pieces = xmalloc((size_t)d.n_pieces * sizeof *pieces);
    d.pieces = pieces;
    cut(&d);
    d.scratch_bytes = largest_scratch(&d);
    size_t part_bytes = padded((size_t)(d.n_parts * d.D) * sizeof(float));
    size_t lse_bytes = padded((size_t)d.n_parts * sizeof(float));
    char *memory =
        cpu_scratch(queue, part_bytes + lse_bytes + (size_t)parallel_width() * d.scratch_bytes);
    d.parts = (float *)memory;
    d.part_lse = (float *)(memory + part_bytes);
    d.scratch = memory + part_bytes + lse_bytes;
    parallel_dynamic(d.n_pieces, 1, decode_work, &d);
    if (d.n_parts > 0)
        parallel_dynamic(d.n_pieces, 16, merge_work, &d);
    free(pieces);
}

static void merge_rows_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    MergeTask task = *(const MergeTask *)context;
    task.parts = (const char *)task.parts + (size_t)(begin * task.D) * dtype_bytes(task.part_type);
    task.part_lse += begin;
    task.out_row = begin;
    task.n_rows = end - begin;
    kernels[cpu_isa()].merge(&task);
}

void cpu_attn_merge(Queue *queue, const AttnMergeArgs *args)
{
    (void)queue;
    attn_merge_check(args);
    const Tensor *parts = &args->parts;
    int64_t rows = parts->shape[1] * parts->shape[2];
    MergeTask task = {.parts = cpu_ptr(parts),
                      .part_type = parts->dtype,
                      .part_lse = cpu_ptr(&args->part_lse),
                      .out = cpu_ptr(&args->out),
                      .out_type = args->out.dtype,
                      .lse = cpu_ptr(&args->lse),
                      .n_parts = parts->shape[0],
                      .D = parts->shape[3],
                      .part_stride = rows};
    parallel_for(rows, 64, merge_rows_work, &task);
}

static void write_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const KvWriteArgs *args = context;
    const Tensor *k = &args->k;
    const KvPages *kv = &args->kv;
    WriteRowsTask task = {.slots = cpu_ptr(&args->slots),
                          .first = begin,
                          .last = end,
                          .K = k->shape[1],
                          .D = k->shape[2],
                          .page_size = kv->k_pages.shape[2],
                          .from_type = k->dtype,
                          .to_type = kv->k_pages.dtype};
    const Tensor *from[2] = {k, &args->v}, *to[2] = {&kv->k_pages, &kv->v_pages};
    const Tensor *scales[2] = {&kv->k_scales, &kv->v_scales};
    for (int i = 0; i < 2; i++) {
        task.from = cpu_ptr(from[i]);
        task.to = cpu_ptr(to[i]);
        task.scales = cpu_ptr(scales[i]);
        kernels[cpu_isa()].write_rows(&task);
    }
}

void cpu_kv_write(Queue *queue, const KvWriteArgs *args)
{
    (void)queue;
    kv_write_check(args);
    slots_check(args);
    KvWriteArgs copy = *args;
    parallel_for(args->k.shape[0], 16, write_work, &copy);
}
