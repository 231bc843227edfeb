/* Attention of a few query rows over long stored keys: the work of decoding, bound by how fast keys
 * and values come from memory. LANES keys are taken at a time, for all KV heads, whose rows follow
 * each other in a page: so reading runs forward and never pauses. Every row read serves all query
 * rows of its head. */
#include "core/cpu/isa/attn_tile.h"

enum {
    QUAD = 4,  /* query rows that are multiplied at once */
    AHEAD = 4, /* blocks of one head between the one used and the one asked for */
};

/* `pairs`: queries and keys are multiplied as bfloat16 pairs; `woven`: values too, by weaving two
 * rows together, which leaves the components of o in another order until the end. */
typedef struct Rows {
    const FlashTask *task;
    bool pairs, woven;
    int64_t used, rows; /* query rows of one head, and rounded up to QUAD */
    int64_t units, vecs;
    Unit *q;              /* (heads, rows, units), see arrange_queries */
    float *o, *max, *sum; /* (heads, rows, D), (heads, rows), (heads, rows, LANES) partial sums */
    float *scores;        /* (QUAD, LANES) */
    Unit *weights;        /* (QUAD, LANES) floats, or bfloat16 where values are woven */
    Unit *spare[2], *units_of_keys; /* LANES rows of keys, of values, of converted keys */
    float *spare_scales;            /* (2, LANES) */
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

#if LANES == 16
/* Queries are kept four rows at a time, as (4 units) x 4 rows in one vector; a key's 4 units are
 * spread to all four. So one product serves four rows, and sums are short. */
KERNEL_INLINE void arrange_queries(const Rows *w, Unit *q)
{
    Unit *copy = w->spare[0];
    memcpy(copy, q, (size_t)(QUAD * w->units) * sizeof *q);
    for (int64_t u = 0; u < w->units; u++)
        for (int64_t r = 0; r < QUAD; r++)
            q[u / 4 * 16 + r * 4 + u % 4] = copy[r * w->units + u];
}

/* In quarter r of the result: the sums of the quarters r of keys[0] .. keys[3]. */
KERNEL_INLINE VecF sum_quarters(const VecF *keys)
{
    VecF a = _mm512_unpacklo_ps(keys[0], keys[1]) + _mm512_unpackhi_ps(keys[0], keys[1]);
    VecF b = _mm512_unpacklo_ps(keys[2], keys[3]) + _mm512_unpackhi_ps(keys[2], keys[3]);
    return (VecF)_mm512_unpacklo_pd((__m512d)a, (__m512d)b) +
           (VecF)_mm512_unpackhi_pd((__m512d)a, (__m512d)b);
}

/* scores (QUAD, LANES) of the rows from r, `k` being units. */
KERNEL_INLINE void quad_scores(const Rows *w, const Block *block, const Unit *k, int64_t r,
                               bool pairs)
{
    VecF four[4];
    const Unit *q = w->q + r * w->units;
    int64_t key_bytes = w->task->D * type_size(w->task->k.type);
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2, k += 8 * w->units) {
        VecF sum[8];
        if (block->k_later)
            for (int64_t at = 0; at < 8 * key_bytes; at += 64)
                __builtin_prefetch(block->k_later + 4 * i * key_bytes + at);
#pragma GCC unroll 8
        for (int key = 0; key < 8; key++)
            sum[key] = (VecF){0};
        for (int64_t u = 0; u < w->units; u += 4) {
            VecU q_now = *(const VecULoose *)(q + u * 4);
#pragma GCC unroll 8
            for (int key = 0; key < 8; key++) {
                __m128 k_now = _mm_loadu_ps((const float *)(k + key * w->units + u));
                sum[key] = units_fma(sum[key], (VecU)_mm512_broadcast_f32x4(k_now), q_now, pairs);
            }
        }
        four[i] = sum_quarters(sum);
        four[i + 1] = sum_quarters(sum + 4);
    }
    /* Quarter r of four[i] holds row r and keys 4 i .. 4 i + 3. */
    VecF a = _mm512_shuffle_f32x4(four[0], four[1], 0x44);
    VecF b = _mm512_shuffle_f32x4(four[2], four[3], 0x44);
    VecF c = _mm512_shuffle_f32x4(four[0], four[1], 0xee);
    VecF d = _mm512_shuffle_f32x4(four[2], four[3], 0xee);
    vec_store(w->scores, _mm512_shuffle_f32x4(a, b, 0x88));
    vec_store(w->scores + LANES, _mm512_shuffle_f32x4(a, b, 0xdd));
    vec_store(w->scores + 2 * LANES, _mm512_shuffle_f32x4(c, d, 0x88));
    vec_store(w->scores + 3 * LANES, _mm512_shuffle_f32x4(c, d, 0xdd));
}
#else
KERNEL_INLINE void arrange_queries(const Rows *w, Unit *q)
{
    (void)w, (void)q;
}

KERNEL_INLINE void quad_scores(const Rows *w, const Block *block, const Unit *k, int64_t r,
                               bool pairs)
{
    (void)block;
    for (int64_t i = 0; i < QUAD && r % w->rows + i < w->used; i++)
        for (int key = 0; key < LANES; key++) {
            VecF sum = (VecF){0};
            for (int64_t u = 0; u < w->units; u += LANES)
                sum = units_fma(sum, *(const VecULoose *)(k + key * w->units + u),
                                *(const VecULoose *)(w->q + (r + i) * w->units + u), pairs);
            w->scores[i * LANES + key] = vec_sum(sum);
        }
}
#endif

/* The kernels proper are not inlined into each other: each needs all the registers. */
static __attribute__((noinline)) void block_scores(const Rows *w, const Block *block, int64_t r)
{
    const Unit *k = (const Unit *)(const void *)block->k;
    if (w->pairs)
        quad_scores(w, block, k, r, HAVE_PAIRS);
    else
        quad_scores(w, block, k, r, false);
}

KERNEL_INLINE bool any_above(VecF x, float limit)
{
#if LANES == 16
    return _mm512_cmp_ps_mask(x, vec_set(limit), _CMP_GT_OQ) != 0;
#else
    return vec_hmax(x) > limit;
#endif
}

/* Turns the scores of row r, number i of its quad, into weights (times the values' scales). */
KERNEL_INLINE void weigh(const Rows *w, const Block *block, int64_t r, int64_t i)
{
    const FlashTask *t = w->task;
    int64_t seen = t->limits[r % w->rows / t->group] - block->first;
    VecF x = t->scale * 1.44269504f * vec_load(w->scores + i * LANES); /* log2 e */
    if (t->k.scales)
        x *= vec_load(block->k_scales);
    if (seen < LANES || block->count < LANES) {
        int64_t keep = seen < block->count ? seen : block->count;
        keep = keep > 0 ? keep : 0;
        x = vec_select(vec_iota() < (int32_t)keep, x, vec_set(-INFINITY));
    }
    VecF total = vec_load(w->sum + r * LANES);
    if (any_above(x, w->max[r])) {
        float top = vec_hmax(x), *o = w->o + r * w->vecs * LANES;
        float shrink = vec_exp2(vec_set(w->max[r] - top))[0];
        w->max[r] = top;
        total *= shrink;
        for (int64_t v = 0; v < w->vecs; v++)
            vec_store(o + v * LANES, shrink * vec_load(o + v * LANES));
    }
    VecF p = vec_exp2(x - (w->max[r] == -INFINITY ? 0.0f : w->max[r]));
    vec_store(w->sum + r * LANES, total + p);
    if (w->woven)
        *(VecHLoose *)(w->weights + i * LANES) = vec_bf16_quick(p);
    else
        vec_store(w->weights + i * LANES, t->v.scales ? p * vec_load(block->v_scales) : p);
}

static __attribute__((noinline)) void block_weights(const Rows *w, const Block *block, int64_t r)
{
    for (int64_t i = 0; i < QUAD && r % w->rows + i < w->used; i++)
        weigh(w, block, r + i, i);
}

/* o += weights v for `rows` rows and `vecs` vectors of components, both known when compiling. */
KERNEL_INLINE void add_some(const Rows *w, const Block *block, int64_t r, int64_t v, DType type,
                            const int rows, const int vecs)
{
    VecF sum[4][4];
    float *o = w->o + (r * w->vecs + v) * LANES;
    int64_t stride = w->task->D * type_size(type);
    const char *row = block->v, *later = v == 0 ? block->v_later : NULL;
    const float *weights = (const float *)w->weights;
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

#if HAVE_PAIRS
/* The same for bfloat16 values, two keys at a time: in each quarter of a vector the elements of two
 * rows alternate, the first four in one vector and the last four in another. */
KERNEL_INLINE void add_woven(const Rows *w, const Block *block, int64_t r, int64_t v,
                             const int rows, const int vecs)
{
    VecF sum[4][4];
    float *o = w->o + (r * w->vecs + v) * LANES;
    int64_t stride = w->task->D * 2;
    const char *later = v == 0 ? block->v_later : NULL;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            sum[i][j] = vec_load(o + (i * w->vecs + j) * LANES);
    for (int64_t key = 0; key < block->count; key += 2) {
        const char *row = block->v + key * stride + v * LANES * 2;
        const char *next = key + 1 < block->count ? row + stride : row; /* then of weight 0 */
        for (int64_t at = 0; at < 2 * stride && later; at += 64)
            __builtin_prefetch(later + key * stride + at);
#pragma GCC unroll 2
        for (int j = 0; j < vecs; j += 2) {
            __m512i a = _mm512_loadu_si512(row + j * 32), b = _mm512_loadu_si512(next + j * 32);
            VecU low = (VecU)_mm512_unpacklo_epi16(a, b), high = (VecU)_mm512_unpackhi_epi16(a, b);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                Unit weight = w->weights[i * LANES + key / 2];
                sum[i][j] = unit_fma(sum[i][j], weight, low, true);
                sum[i][j + 1] = unit_fma(sum[i][j + 1], weight, high, true);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            vec_store(o + (i * w->vecs + j) * LANES, sum[i][j]);
}

/* Components of a row back in order. */
static void unweave(float *o, int64_t D)
{
    for (int64_t d = 0; d < D; d += 32) {
        float woven[32];
        memcpy(woven, o + d, sizeof woven);
        for (int i = 0; i < 32; i++)
            o[d + i / 4 % 4 * 8 + i / 16 * 4 + i % 4] = woven[i];
    }
}
#else
KERNEL_INLINE void add_woven(const Rows *w, const Block *block, int64_t r, int64_t v,
                             const int rows, const int vecs)
{
    (void)w, (void)block, (void)r, (void)v, (void)rows, (void)vecs;
}

static void unweave(float *o, int64_t D)
{
    (void)o, (void)D;
}
#endif

KERNEL_INLINE void add_all_woven(const Rows *w, const Block *block, int64_t r, const int rows)
{
    int64_t v = 0;
    for (; v + 4 <= w->vecs; v += 4)
        add_woven(w, block, r, v, rows, 4);
    if (v < w->vecs)
        add_woven(w, block, r, v, rows, 2);
}

KERNEL_INLINE void add_rows(const Rows *w, const Block *block, int64_t r, const int rows)
{
    DType type = w->task->v.type;
    if (w->woven)
        add_all_woven(w, block, r, rows);
    else if (type == DTYPE_F32)
        add_all(w, block, r, DTYPE_F32, rows);
    else if (type == DTYPE_BF16)
        add_all(w, block, r, DTYPE_BF16, rows);
    else
        add_all(w, block, r, DTYPE_I8, rows);
}

static __attribute__((noinline)) void add_values(const Rows *w, const Block *block, int64_t r)
{
    int64_t left = w->used - r % w->rows;
    if (left == 1)
        add_rows(w, block, r, 1);
    else if (left == 2)
        add_rows(w, block, r, 2);
    else
        add_rows(w, block, r, 4); /* the weights of a missing row are zero */
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

KERNEL_INLINE void convert_from(const Rows *w, Block *block, DType type, bool pairs)
{
    const int64_t bytes = w->task->D * type_size(type), units = w->units;
    const char *row = block->k;
    Unit *to = w->units_of_keys;
    block->k = (const char *)to;
    for (int64_t i = 0; i < LANES; i++, row += bytes, to += units)
        for (int64_t u = 0; u < units; u += LANES)
            *(VecULoose *)(to + u) = load_units(row, type, u, pairs);
}

/* The keys as units, where they are not. */
static __attribute__((noinline)) void convert_keys(const Rows *w, Block *block)
{
    DType type = w->task->k.type;
    if (type == (w->pairs ? DTYPE_BF16 : DTYPE_F32))
        return;
    if (w->pairs && type == DTYPE_I8)
        convert_from(w, block, DTYPE_I8, HAVE_PAIRS);
    else if (w->pairs)
        convert_from(w, block, DTYPE_F32, HAVE_PAIRS);
    else if (type == DTYPE_I8)
        convert_from(w, block, DTYPE_I8, false);
    else
        convert_from(w, block, DTYPE_BF16, false);
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

static void all_blocks(const Rows *w, int64_t end)
{
    const FlashTask *t = w->task;
    int64_t size = type_size(t->k.type), ahead = t->n_heads >= AHEAD ? LANES : AHEAD * LANES;
    for (int64_t first = t->key_begin; first < end; first += LANES) {
        Block block = {.first = first, .count = end - first < LANES ? end - first : LANES};
        Place place = find_block(t, first, end), later = find_block(t, first + ahead, end);
        for (int64_t head = 0; head < t->n_heads; head++) {
            head_block(w, &place, head, &block);
            block.k_later = block.v_later = NULL;
            if (later.k >= 0) {
                int64_t skip = head * t->k.head_stride;
                block.k_later = (const char *)t->k.data + (later.k + skip) * size;
                block.v_later = (const char *)t->v.data + (later.v + skip) * size;
            }
            convert_keys(w, &block);
            for (int64_t r = head * w->rows; r < (head + 1) * w->rows; r += QUAD) {
                block_scores(w, &block, r);
                block_weights(w, &block, r);
                add_values(w, &block, r);
                block.k_later = block.v_later = NULL;
            }
        }
    }
}

static size_t layout(Rows *w, const FlashTask *task, char *base, bool pairs)
{
    char *start = base;
    w->task = task;
    w->pairs = pairs;
    w->woven = pairs && task->v.type == DTYPE_BF16;
    w->used = task->n_queries * task->group;
    w->rows = round_up(w->used, QUAD);
    w->units = task->D / unit_size(pairs);
    w->vecs = task->D / LANES;
    int64_t all = task->n_heads * w->rows;
    w->q = cut_scratch(&base, all * w->units, sizeof(Unit));
    w->o = cut_scratch(&base, all * task->D, sizeof(float));
    w->max = cut_scratch(&base, all, sizeof(float));
    w->sum = cut_scratch(&base, all * LANES, sizeof(float));
    w->scores = cut_scratch(&base, QUAD * LANES, sizeof(float));
    w->weights = cut_scratch(&base, QUAD * LANES, sizeof(Unit));
    w->spare[0] = cut_scratch(&base, LANES * task->D, sizeof(Unit));
    w->spare[1] = cut_scratch(&base, LANES * task->D, sizeof(Unit));
    w->units_of_keys = cut_scratch(&base, LANES * task->D, sizeof(Unit));
    w->spare_scales = cut_scratch(&base, 2 * LANES, sizeof(float));
    return (size_t)(base - start);
}

static void run(const FlashTask *task, void *scratch, bool pairs)
{
    Rows rows, *w = &rows;
    memset(scratch, 0, layout(w, task, scratch, pairs));
    int64_t end = task->key_begin;
    for (int64_t i = 0; i < task->n_queries; i++)
        end = task->limits[i] > end ? task->limits[i] : end;
    for (int64_t r = 0; r < task->n_heads * w->rows; r++)
        w->max[r] = -INFINITY;
    for (int64_t head = 0; head < task->n_heads; head++) {
        Unit *q = w->q + head * w->rows * w->units;
        if (pairs)
            flash_load_queries(task, head, q, w->units, HAVE_PAIRS);
        else
            flash_load_queries(task, head, q, w->units, false);
        for (int64_t r = 0; r < w->rows; r += QUAD)
            arrange_queries(w, q + r * w->units);
    }
    all_blocks(w, end < task->key_end ? end : task->key_end);
    for (int64_t head = 0; head < task->n_heads; head++)
        for (int64_t r = 0; r < w->used; r++) {
            int64_t row = head * w->rows + r;
            if (w->woven)
                unweave(w->o + row * task->D, task->D);
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
    run(task, scratch, HAVE_PAIRS && task->q_type == DTYPE_BF16 && task->D % (2 * LANES) == 0);
}
