/* Attention of a few query rows over long stored keys: the work of decoding, bound by how fast keys
 * and values come from memory. LANES keys are taken at a time, for all KV heads, whose rows follow
 * each other in a page: so reading runs forward and never pauses. Every row read serves all query
 * rows of its head. */
#include "core/cpu/isa/attn_tile.h"

enum { AHEAD = 4 }; /* blocks of one head between the one used and the one asked for */

typedef struct Rows {
    const FlashTask *task;
    int64_t rows; /* of one head: a multiple of what one pass takes */
    int64_t units, vecs;
    Unit *q;              /* (heads, rows, units) */
    float *o, *max, *sum; /* (heads, rows, D), (heads, rows), (heads, rows, LANES) partial sums */
    float *weights;       /* (4, LANES) */
    Unit *spare[2];       /* LANES rows of keys, of values: see gather_rows */
    float *spare_scales;  /* (2, LANES) */
} Rows;

/* LANES keys and values of one head, rows D elements apart. Rows past `count` may hold anything and
 * get no weight. */
typedef struct Block {
    const char *k, *v;
    const float *k_scales, *v_scales;
    const char *k_later, *v_later; /* rows to ask for while these are used; NULL: none */
    int64_t first, count;
} Block;

KERNEL_INLINE int64_t type_size(DType type)
{
    return type == DTYPE_F32 ? 4 : type == DTYPE_BF16 ? 2 : 1;
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

/* <q row, key i> for all keys of the block. */
KERNEL_INLINE VecF dot_products(const Unit *q, int64_t units, const Block *block, int64_t stride,
                                DType type, bool pairs)
{
    VecF sum[LANES];
    const char *k = block->k, *later = block->k_later;
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 4, k += 4 * stride) {
        for (int64_t at = 0; at < 4 * stride && later; at += 64)
            __builtin_prefetch(later + i * stride + at, 0, 3);
        VecF a = (VecF){0}, b = a, c = a, d = a;
        for (int64_t u = 0; u < units; u += LANES) {
            VecU q_now = *(const VecULoose *)(q + u);
            a = units_fma(a, load_units(k, type, u, pairs), q_now, pairs);
            b = units_fma(b, load_units(k + stride, type, u, pairs), q_now, pairs);
            c = units_fma(c, load_units(k + 2 * stride, type, u, pairs), q_now, pairs);
            d = units_fma(d, load_units(k + 3 * stride, type, u, pairs), q_now, pairs);
        }
        sum[i] = a;
        sum[i + 1] = b;
        sum[i + 2] = c;
        sum[i + 3] = d;
    }
    return sum_each(sum);
}

/* The kernels proper are not inlined into each other: each needs all the registers. */
static __attribute__((noinline)) VecF block_scores(const Rows *w, const Block *block, int64_t r,
                                                   DType type, bool pairs)
{
    const Unit *q = w->q + r * w->units;
    int64_t stride = w->task->D * type_size(type);
    if (pairs && type == DTYPE_BF16)
        return dot_products(q, w->units, block, stride, DTYPE_BF16, HAVE_PAIRS);
    if (pairs && type == DTYPE_I8)
        return dot_products(q, w->units, block, stride, DTYPE_I8, HAVE_PAIRS);
    if (pairs)
        return dot_products(q, w->units, block, stride, DTYPE_F32, HAVE_PAIRS);
    if (type == DTYPE_BF16)
        return dot_products(q, w->units, block, stride, DTYPE_BF16, false);
    if (type == DTYPE_I8)
        return dot_products(q, w->units, block, stride, DTYPE_I8, false);
    return dot_products(q, w->units, block, stride, DTYPE_F32, false);
}

/* Turns the scores of row r into weights (times the values' scales) in `weights`. */
static __attribute__((noinline)) void weigh(const Rows *w, const Block *block, int64_t r,
                                            VecF score, float *weights, DType type)
{
    const FlashTask *t = w->task;
    int64_t query = r % w->rows / t->group;
    int64_t seen = (query < t->n_queries ? t->limits[query] : 0) - block->first;
    VecF x = t->scale * 1.44269504f * score; /* log2 e */
    if (type == DTYPE_I8)
        x *= vec_load(block->k_scales);
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
    vec_store(weights, type == DTYPE_I8 ? p * vec_load(block->v_scales) : p);
}

/* o += weights v for `rows` rows and `vecs` vectors of components, both known when compiling. */
KERNEL_INLINE void add_some(const Rows *w, const Block *block, int64_t r, int64_t v, DType type,
                            const int rows, const int vecs)
{
    VecF sum[4][4];
    float *o = w->o + (r * w->vecs + v) * LANES;
    int64_t stride = w->task->D * type_size(type);
    const char *row = block->v, *later = v == 0 ? block->v_later : NULL;
    const float *weights = w->weights;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            sum[i][j] = vec_load(o + (i * w->vecs + j) * LANES);
    for (int64_t key = 0; key < block->count; key++, row += stride, weights++) {
        for (int64_t at = 0; at < stride && later; at += 64)
            __builtin_prefetch(later + key * stride + at, 0, 3);
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) {
            VecF x = load_elements(row, type, (v + j) * LANES);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++)
                sum[i][j] += weights[i * LANES] * x;
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            vec_store(o + (i * w->vecs + j) * LANES, sum[i][j]);
}

KERNEL_INLINE void add_all(const Rows *w, const Block *block, int64_t r, DType type, const int rows)
{
    int64_t v = 0;
    for (; v + 4 <= w->vecs; v += 4)
        add_some(w, block, r, v, type, rows, 4);
    for (; v < w->vecs; v++)
        add_some(w, block, r, v, type, rows, 1);
}

KERNEL_INLINE void add_rows(const Rows *w, const Block *block, int64_t r, DType type, int rows)
{
    if (rows == 1)
        add_all(w, block, r, type, 1);
    else if (rows == 2)
        add_all(w, block, r, type, 2);
    else
        add_all(w, block, r, type, 4);
}

static __attribute__((noinline)) void add_values(const Rows *w, const Block *block, int64_t r,
                                                 DType type, int rows)
{
    if (type == DTYPE_F32)
        add_rows(w, block, r, DTYPE_F32, rows);
    else if (type == DTYPE_BF16)
        add_rows(w, block, r, DTYPE_BF16, rows);
    else
        add_rows(w, block, r, DTYPE_I8, rows);
}

/* Copies rows that do not lie together (a page ends among them) to the spare memory. */
static void gather_rows(const Rows *w, const RowSource *s, int64_t head, int side, Block *block)
{
    int64_t bytes = w->task->D * type_size(s->type);
    char *to = (char *)w->spare[side];
    float *scales = w->spare_scales + side * LANES;
    for (int64_t i = 0; i < block->count; i++) {
        int64_t at = source_offset(s, block->first + i) + head * s->head_stride;
        memcpy(to + i * bytes, (const char *)s->data + at * type_size(s->type), (size_t)bytes);
        if (s->scales)
            scales[i] = source_scale(s, block->first + i, head);
    }
    *(side ? &block->v : &block->k) = to;
    *(side ? &block->v_scales : &block->k_scales) = scales;
}

/* The keys as units, so that they are converted once for several query rows. */
static __attribute__((noinline)) void convert_keys(const Rows *w, Block *block, bool pairs)
{
    int64_t bytes = w->task->D; /* int8 */
    Unit *to = w->spare[0] + LANES * w->task->D;
    for (int64_t i = 0; i < LANES; i++)
        for (int64_t u = 0; u < w->units; u += LANES)
            *(VecULoose *)(to + i * w->units + u) =
                pairs ? load_units(block->k + i * bytes, DTYPE_I8, u, true)
                      : load_units(block->k + i * bytes, DTYPE_I8, u, false);
    block->k = (const char *)to;
}

/* Where the block's keys and values are, for every head. */
typedef struct Place {
    int64_t k, v; /* element of head 0; -1: they do not lie together */
    const float *k_scales, *v_scales;
} Place;

KERNEL_INLINE Place find_block(const FlashTask *t, int64_t first, int64_t end)
{
    Place place = {-1, -1, NULL, NULL};
    if (first >= end || !t->k.pages || first % t->k.page_size + LANES > t->k.page_size)
        return place;
    place.k = source_offset(&t->k, first);
    place.v = source_offset(&t->v, first);
    if (t->k.scales) {
        place.k_scales = source_scales(&t->k, first, 0);
        place.v_scales = source_scales(&t->v, first, 0);
    }
    return place;
}

KERNEL_INLINE void head_block(const Rows *w, const Place *place, int64_t head, Block *block)
{
    const FlashTask *t = w->task;
    int64_t size = type_size(t->k.type), skip = head * t->k.head_stride;
    if (place->k < 0) {
        gather_rows(w, &t->k, head, 0, block);
        gather_rows(w, &t->v, head, 1, block);
        return;
    }
    block->k = (const char *)t->k.data + (place->k + skip) * size;
    block->v = (const char *)t->v.data + (place->v + skip) * size;
    if (place->k_scales) {
        block->k_scales = place->k_scales + head * t->k.page_size;
        block->v_scales = place->v_scales + head * t->k.page_size;
    }
}

static void all_blocks(const Rows *w, int64_t end, bool pairs)
{
    const FlashTask *t = w->task;
    DType type = t->k.type, k_type = type;
    int rows = w->rows <= 2 ? (int)w->rows : 4;
    if (rows > 1 && type == DTYPE_I8)
        k_type = pairs ? DTYPE_BF16 : DTYPE_F32;
    int64_t size = type_size(type), ahead = t->n_heads >= AHEAD ? LANES : AHEAD * LANES;
    for (int64_t first = t->key_begin; first < end; first += LANES) {
        Block block = {.first = first, .count = end - first < LANES ? end - first : LANES};
        Place place = find_block(t, first, end), later = find_block(t, first + ahead, end);
        for (int64_t head = 0; head < t->n_heads; head++) {
            head_block(w, &place, head, &block);
            block.k_later = block.v_later = NULL;
            if (later.k >= 0) {
                block.k_later =
                    (const char *)t->k.data + (later.k + head * t->k.head_stride) * size;
                block.v_later =
                    (const char *)t->v.data + (later.v + head * t->v.head_stride) * size;
            }
            if (k_type != type)
                convert_keys(w, &block, pairs);
            for (int64_t r = head * w->rows; r < (head + 1) * w->rows; r += rows) {
                for (int i = 0; i < rows; i++, block.k_later = NULL)
                    weigh(w, &block, r + i, block_scores(w, &block, r + i, k_type, pairs),
                          w->weights + i * LANES, type);
                add_values(w, &block, r, type, rows);
                block.v_later = NULL;
            }
        }
    }
}

static size_t layout(Rows *w, const FlashTask *task, char *base, bool pairs)
{
    char *start = base;
    int64_t rows = task->n_queries * task->group;
    w->task = task;
    w->rows = rows <= 2 ? rows : round_up(rows, 4);
    w->units = task->D / unit_size(pairs);
    w->vecs = task->D / LANES;
    int64_t all = task->n_heads * w->rows;
    w->q = cut_scratch(&base, all * w->units, sizeof(Unit));
    w->o = cut_scratch(&base, all * task->D, sizeof(float));
    w->max = cut_scratch(&base, all, sizeof(float));
    w->sum = cut_scratch(&base, all * LANES, sizeof(float));
    w->weights = cut_scratch(&base, 4 * LANES, sizeof(float));
    w->spare[0] = cut_scratch(&base, 2 * LANES * task->D, sizeof(float)); /* twice: converted */
    w->spare[1] = cut_scratch(&base, LANES * task->D, sizeof(float));
    w->spare_scales = cut_scratch(&base, 2 * LANES, sizeof(float));
    return (size_t)(base - start);
}

KERNEL_INLINE void run(const FlashTask *task, void *scratch, bool pairs)
{
    Rows rows, *w = &rows;
    memset(scratch, 0, layout(w, task, scratch, pairs));
    for (int64_t r = 0; r < task->n_heads * w->rows; r++)
        w->max[r] = -INFINITY;
    for (int64_t head = 0; head < task->n_heads; head++)
        flash_load_queries(task, head, w->q + head * w->rows * w->units, w->units, pairs);
    int64_t end = task->key_begin;
    for (int64_t i = 0; i < task->n_queries; i++)
        end = task->limits[i] > end ? task->limits[i] : end;
    all_blocks(w, end < task->key_end ? end : task->key_end, pairs);
    for (int64_t head = 0; head < task->n_heads; head++)
        for (int64_t r = 0; r < task->n_queries * task->group; r++) {
            int64_t row = head * w->rows + r;
            flash_store(task, head, r, w->o + row * task->D, w->max[row],
                        vec_sum(vec_load(w->sum + row * LANES)));
        }
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
