/* Attention of a few query rows over long stored keys: the work of decoding, bound by how fast keys
 * and values come from memory. LANES keys are taken at a time, so that reading never pauses, and
 * every row read serves all query rows. */
#include "core/cpu/isa/attn_tile.h"

enum { AHEAD = 64 }; /* keys between a block and the one prefetched */

typedef struct Rows {
    const FlashTask *task;
    int64_t rows, units, vecs; /* rows: a multiple of what one pass takes */
    Unit *q;
    float *o, *max, *sum; /* sum: LANES partial sums per row */
    float *weights;       /* (4, LANES) */
} Rows;

/* Walks through the rows of a source without a division per row. */
typedef struct Cursor {
    const RowSource *source;
    int64_t page, row; /* the next row is number `row` of page number `page` */
} Cursor;

static Cursor cursor_at(const RowSource *source, int64_t row)
{
    if (!source->pages)
        return (Cursor){source, 0, row};
    return (Cursor){source, row / source->page_size, row % source->page_size};
}

KERNEL_INLINE void cursor_next(Cursor *c, size_t element, const char **data, float *scale)
{
    const RowSource *s = c->source;
    int64_t page = s->pages ? s->pages[c->page] : 0;
    *data =
        (const char *)s->data + (size_t)(page * s->page_stride + c->row * s->row_stride) * element;
    if (s->scales)
        *scale = s->scales[page * s->page_scales + c->row];
    if (++c->row == s->page_size && s->pages) {
        c->row = 0;
        c->page++;
    }
}

/* Lane i of the result is the sum of x[i]'s lanes. */
KERNEL_INLINE VecF sum_each(VecF x[LANES])
{
#if LANES == 16
    VecI lane = vec_iota();
#pragma GCC unroll 4
    for (int s = 1; s < 16; s *= 2) {
        VecI odd = (lane & s) != 0;
        VecI low = (odd & ((lane ^ s) | 16)) | (~odd & lane);
        VecI high = (odd & (lane | 16)) | (~odd & (lane ^ s));
#pragma GCC unroll 8
        for (int i = 0; i < 16; i += 2 * s)
            x[i] = _mm512_permutex2var_ps(x[i], (__m512i)low, x[i + s]) +
                   _mm512_permutex2var_ps(x[i], (__m512i)high, x[i + s]);
    }
    return x[0];
#else
    float sums[LANES];
    for (int i = 0; i < LANES; i++)
        sums[i] = vec_sum(x[i]);
    return vec_load(sums);
#endif
}

/* Units [at, at + LANES) of a stored row; int8 without its scale. */
KERNEL_INLINE VecU load_units(const char *row, DType type, int64_t at, bool pairs)
{
    if (!pairs)
        return (VecU)load_elements(row, type, at);
    if (type == DTYPE_BF16)
        return *(const VecULoose *)(row + at * 4);
#if HAVE_PAIRS
    return (VecU)_mm512_cvtne2ps_pbh(load_elements(row, type, 2 * at + LANES),
                                     load_elements(row, type, 2 * at));
#else
    return (VecU){0};
#endif
}

KERNEL_INLINE VecF units_fma(VecF c, VecU a, VecU b, bool pairs)
{
#if HAVE_PAIRS
    if (pairs)
        return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
#endif
    (void)pairs;
    return c + (VecF)a * (VecF)b;
}

/* LANES keys and values; rows past `count` repeat the last one and get no weight. */
typedef struct Block {
    const char *k[LANES], *v[LANES];
    float k_scale[LANES], v_scale[LANES];
    int64_t first, count;
} Block;

/* <q row r, key i> for all keys of the block. */
KERNEL_INLINE VecF block_scores(const Rows *w, const Block *block, int64_t r, DType type,
                                bool pairs)
{
    VecF sum[LANES];
    const Unit *q = w->q + r * w->units;
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        sum[i] = (VecF){0};
    for (int64_t u = 0; u < w->units; u += LANES) {
        VecU q_now = *(const VecULoose *)(q + u);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            sum[i] = units_fma(sum[i], load_units(block->k[i], type, u, pairs), q_now, pairs);
    }
    return sum_each(sum);
}

/* Turns the scores of row r into weights (times the values' scales) in `weights`. */
KERNEL_INLINE void weigh(const Rows *w, const Block *block, int64_t r, VecF score, float *weights,
                         DType type)
{
    const FlashTask *t = w->task;
    int64_t query = r / t->group;
    int64_t seen = (query < t->n_queries ? t->limits[query] : 0) - block->first;
    VecF x = t->scale * 1.44269504f * score; /* log2 e */
    if (type == DTYPE_I8)
        x *= vec_load(block->k_scale);
    if (seen < block->count || block->count < LANES) {
        int64_t keep = seen < block->count ? seen : block->count;
        keep = keep > 0 ? keep : 0;
        x = vec_select(vec_iota() < (int32_t)keep, x, vec_set(-INFINITY));
    }
    float top = vec_hmax(x), *o = w->o + r * w->vecs * LANES;
    VecF total = vec_load(w->sum + r * LANES);
    if (top > w->max[r]) {
        float shrink = vec_exp2(vec_set(w->max[r] - top))[0];
        w->max[r] = top;
        total *= shrink;
        for (int64_t v = 0; v < w->vecs; v++)
            vec_store(o + v * LANES, shrink * vec_load(o + v * LANES));
    }
    VecF p = vec_exp2(x - (w->max[r] == -INFINITY ? 0.0f : w->max[r]));
    vec_store(w->sum + r * LANES, total + p);
    vec_store(weights, type == DTYPE_I8 ? p * vec_load(block->v_scale) : p);
}

/* o += weights v for `rows` rows and `vecs` vectors of components, both known when compiling. */
KERNEL_INLINE void add_values(const Rows *w, const Block *block, int64_t r, int64_t v, DType type,
                              const int rows, const int vecs)
{
    VecF sum[4][4];
    float *o = w->o + (r * w->vecs + v) * LANES;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            sum[i][j] = vec_load(o + (i * w->vecs + j) * LANES);
    for (int64_t key = 0; key < block->count; key++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) {
            VecF x = load_elements(block->v[key], type, (v + j) * LANES);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++)
                sum[i][j] += w->weights[i * LANES + key] * x;
        }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            vec_store(o + (i * w->vecs + j) * LANES, sum[i][j]);
}

KERNEL_INLINE void rows_against_block(const Rows *w, const Block *block, int64_t r, DType type,
                                      bool pairs, const int rows)
{
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
        weigh(w, block, r + i, block_scores(w, block, r + i, type, pairs), w->weights + i * LANES,
              type);
    int64_t v = 0;
    for (; v + 4 <= w->vecs; v += 4)
        add_values(w, block, r, v, type, rows, 4);
    for (; v < w->vecs; v++)
        add_values(w, block, r, v, type, rows, 1);
}

/* Asks for the rows of a later block; `k` and `v` walk AHEAD of the block being used. */
KERNEL_INLINE void prefetch(Cursor *k, Cursor *v, int64_t count, int64_t D, size_t element)
{
    for (int64_t i = 0; i < count; i++) {
        const char *row;
        float scale;
        cursor_next(k, element, &row, &scale);
        for (size_t at = 0; at < (size_t)D * element; at += 64)
            __builtin_prefetch(row + at);
        cursor_next(v, element, &row, &scale);
        for (size_t at = 0; at < (size_t)D * element; at += 64)
            __builtin_prefetch(row + at);
    }
}

KERNEL_INLINE void all_blocks(const Rows *w, int64_t end, DType type, bool pairs, const int rows)
{
    const FlashTask *t = w->task;
    size_t element = type == DTYPE_F32 ? 4 : type == DTYPE_BF16 ? 2 : 1;
    int64_t near = t->key_begin + AHEAD < end ? t->key_begin + AHEAD : end;
    Cursor k = cursor_at(&t->k, t->key_begin), v = cursor_at(&t->v, t->key_begin);
    Cursor k_ahead = cursor_at(&t->k, near), v_ahead = cursor_at(&t->v, near);
    for (int64_t first = t->key_begin; first < end; first += LANES) {
        Block block = {.first = first, .count = end - first < LANES ? end - first : LANES};
        int64_t later = end - first - AHEAD;
        prefetch(&k_ahead, &v_ahead, later < LANES ? later : LANES, t->D, element);
        for (int64_t i = 0; i < block.count; i++) {
            cursor_next(&k, element, &block.k[i], &block.k_scale[i]);
            cursor_next(&v, element, &block.v[i], &block.v_scale[i]);
        }
        for (int64_t i = block.count; i < LANES; i++) {
            block.k[i] = block.k[block.count - 1];
            block.k_scale[i] = 0.0f;
            block.v_scale[i] = 0.0f;
        }
        for (int64_t r = 0; r < w->rows; r += rows)
            rows_against_block(w, &block, r, type, pairs, rows);
    }
}

KERNEL_INLINE void dispatch_rows(const Rows *w, int64_t end, DType type, bool pairs)
{
    if (w->rows == 1)
        all_blocks(w, end, type, pairs, 1);
    else if (w->rows == 2)
        all_blocks(w, end, type, pairs, 2);
    else
        all_blocks(w, end, type, pairs, 4);
}

KERNEL_INLINE void dispatch_type(const Rows *w, int64_t end, bool pairs)
{
    DType type = w->task->k.type;
    if (type == DTYPE_F32)
        dispatch_rows(w, end, DTYPE_F32, pairs);
    else if (type == DTYPE_BF16)
        dispatch_rows(w, end, DTYPE_BF16, pairs);
    else
        dispatch_rows(w, end, DTYPE_I8, pairs);
}

static size_t layout(Rows *w, const FlashTask *task, char *base, bool pairs)
{
    char *start = base;
    int64_t rows = task->n_queries * task->group;
    w->task = task;
    w->rows = rows <= 2 ? rows : round_up(rows, 4);
    w->units = task->D / unit_size(pairs);
    w->vecs = task->D / LANES;
    w->q = cut_scratch(&base, w->rows * w->units, sizeof(Unit));
    w->o = cut_scratch(&base, w->rows * task->D, sizeof(float));
    w->max = cut_scratch(&base, w->rows, sizeof(float));
    w->sum = cut_scratch(&base, w->rows * LANES, sizeof(float));
    w->weights = cut_scratch(&base, 4 * LANES, sizeof(float));
    return (size_t)(base - start);
}

static void store_results(const Rows *w)
{
    const FlashTask *t = w->task;
    for (int64_t r = 0; r < t->n_queries * t->group; r++) {
        float sum = vec_sum(vec_load(w->sum + r * LANES));
        flash_store(t, r, w->o + r * t->D, w->max[r], sum);
    }
}

KERNEL_INLINE void run(const FlashTask *task, void *scratch, bool pairs)
{
    Rows rows, *w = &rows;
    layout(w, task, scratch, pairs);
    memset(w->q, 0, (size_t)(w->rows * w->units) * sizeof(Unit));
    memset(w->o, 0, (size_t)(w->rows * task->D) * sizeof(float));
    memset(w->sum, 0, (size_t)(w->rows * LANES) * sizeof(float));
    for (int64_t r = 0; r < w->rows; r++)
        w->max[r] = -INFINITY;
    flash_load_queries(task, w->q, w->units, pairs);
    int64_t end = task->key_begin;
    for (int64_t i = 0; i < task->n_queries; i++)
        end = task->limits[i] > end ? task->limits[i] : end;
    dispatch_type(w, end < task->key_end ? end : task->key_end, pairs);
    store_results(w);
}

size_t ISA_SYMBOL(flash_rows_scratch)(const FlashTask *task)
{
    Rows rows;
    return layout(&rows, task, NULL, false); /* floats need no less than pairs */
}

void ISA_SYMBOL(flash_rows)(const FlashTask *task, void *scratch)
{
#if HAVE_PAIRS
    if (task->q_type == DTYPE_BF16 && task->D % (2 * LANES) == 0) {
        run(task, scratch, true);
        return;
    }
#endif
    run(task, scratch, false);
}
