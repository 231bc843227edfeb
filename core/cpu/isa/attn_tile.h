/* Small matrix products in registers and the packing they need: what attention is made of.
 *
 * A *unit* is 32 bits that one lane multiplies at once: a pair of bfloat16 (`pairs`, where the
 * instruction set has the product) or one float. c (rows, vecs * LANES) float = a b, where row i of
 * a is a run of units and b is packed as [vec][unit][lane], so that b is read as whole vectors. */
#ifndef CAMBIUM_CORE_CPU_ISA_ATTN_TILE_H
#define CAMBIUM_CORE_CPU_ISA_ATTN_TILE_H

#include "core/cpu/attn_kernels.h"
#include "core/cpu/isa/attn_vec.h"

typedef uint32_t Unit;

enum { TILE_ROWS = 4, TILE_VECS = LANES == 16 ? 4 : 2 };

KERNEL_INLINE int64_t round_up(int64_t n, int64_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

KERNEL_INLINE int64_t unit_size(bool pairs)
{
    return pairs ? 2 : 1;
}

/* c_lane += <a, b_lane>, the unit a being the same for all lanes. */
KERNEL_INLINE VecF unit_fma(VecF c, Unit a, VecU b, bool pairs)
{
#if HAVE_PAIRS
    if (pairs)
        return _mm512_dpbf16_ps(c, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)b);
#endif
    (void)pairs;
    float x;
    memcpy(&x, &a, sizeof x);
    return c + x * (VecF)b;
}

typedef struct TileA {
    const Unit *data;
    int64_t stride; /* units between rows */
} TileA;

typedef struct TileB {
    const Unit *data;
    int64_t stride; /* units between vecs: at least units * LANES */
} TileB;

typedef struct TileC {
    float *data;
    int64_t stride; /* floats between rows */
} TileC;

/* One register tile of `rows` x `vecs`, both known when compiling. */
KERNEL_INLINE void tile_product(TileC c, TileA a, TileB b, int64_t units, bool add, bool pairs,
                                const int rows, const int vecs)
{
    VecF sum[2 * TILE_ROWS][TILE_VECS];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            sum[i][j] = add ? vec_load(c.data + i * c.stride + j * LANES) : (VecF){0};
    for (int64_t u = 0; u < units; u++) {
        VecU column[TILE_VECS];
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            column[j] = *(const VecULoose *)(b.data + j * b.stride + u * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < vecs; j++)
                sum[i][j] = unit_fma(sum[i][j], a.data[i * a.stride + u], column[j], pairs);
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            vec_store(c.data + i * c.stride + j * LANES, sum[i][j]);
}

/* TILE_ROWS rows by any number of vecs. */
KERNEL_INLINE void strip_product(TileC c, TileA a, TileB b, int64_t vecs, int64_t units, bool add,
                                 bool pairs)
{
    while (vecs > 0) {
        int64_t step = vecs < TILE_VECS ? vecs : TILE_VECS;
        if (step == 1)
            tile_product(c, a, b, units, add, pairs, TILE_ROWS, 1);
        else if (step == 2)
            tile_product(c, a, b, units, add, pairs, TILE_ROWS, 2);
#if LANES == 16
        else if (step == 3)
            tile_product(c, a, b, units, add, pairs, TILE_ROWS, 3);
        else
            tile_product(c, a, b, units, add, pairs, TILE_ROWS, 4);
#endif
        c.data += step * LANES;
        b.data += step * b.stride;
        vecs -= step;
    }
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Element j of row `row` of the source. */
KERNEL_INLINE int64_t source_offset(const RowSource *s, int64_t row)
{
    if (!s->pages)
        return row * s->row_stride;
    return s->pages[row / s->page_size] * s->page_stride + row % s->page_size * s->row_stride;
}

/* Scales of row `row` of a head and of the rows after it in its page. */
KERNEL_INLINE const float *source_scales(const RowSource *s, int64_t row, int64_t head)
{
    int64_t page = s->pages[row / s->page_size];
    return s->scales + page * s->page_scales + head * s->page_size + row % s->page_size;
}

KERNEL_INLINE float source_scale(const RowSource *s, int64_t row, int64_t head)
{
    return *source_scales(s, row, head);
}

/* LANES elements from `at` as floats; int8 without its scale. */
KERNEL_INLINE VecF load_elements(const void *data, DType type, int64_t at)
{
    if (type == DTYPE_F32)
        return vec_load((const float *)data + at);
    if (type == DTYPE_BF16)
        return vec_from_bf16((const uint16_t *)data + at);
    return vec_from_i8((const int8_t *)data + at);
}

KERNEL_INLINE VecF load_some(const void *data, DType type, int64_t at, int64_t count)
{
    float lanes[LANES] = {0};
    for (int64_t i = 0; i < count; i++)
        lanes[i] = type == DTYPE_F32    ? ((const float *)data)[at + i]
                   : type == DTYPE_BF16 ? bf16_to_f32(((const uint16_t *)data)[at + i])
                                        : (float)((const int8_t *)data)[at + i];
    return vec_load(lanes);
}

/* Row `row` (D elements) as units, zeros up to `units`, a multiple of LANES. */
KERNEL_INLINE void unpack_row(Unit *to, int64_t units, const RowSource *s, int64_t row, int64_t D,
                              bool pairs)
{
    int64_t at = source_offset(s, row), whole = D / LANES * LANES;
    if (s->type == DTYPE_BF16 && pairs) {
        memcpy(to, (const uint16_t *)s->data + at, (size_t)D * 2);
        memset((uint16_t *)to + D, 0, (size_t)(units * 2 - D) * 2);
        return;
    }
    float scale = s->type == DTYPE_I8 ? source_scale(s, row, 0) : 1.0f;
    for (int64_t d = 0; d < units * unit_size(pairs); d += LANES) {
        VecF x = (VecF){0};
        if (d < whole)
            x = load_elements(s->data, s->type, at + d);
        else if (d < D)
            x = load_some(s->data, s->type, at + d, D - d);
        if (pairs)
            *(VecHLoose *)((uint16_t *)to + d) = vec_bf16_quick(scale * x);
        else
            vec_store(to + d, scale * x);
    }
}

/* to[lane of from's row][...] : a LANES x LANES block of units transposed. */
KERNEL_INLINE void transpose_block(Unit *to, int64_t to_stride, const Unit *from,
                                   int64_t from_stride)
{
#if LANES == 16
    VecU row[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        row[i] = *(const VecULoose *)(from + i * from_stride);
    /* Eklundh's method: exchange off-diagonal halves of ever larger blocks. */
    VecI lane = vec_iota();
#pragma GCC unroll 4
    for (int s = 1; s < 16; s *= 2) {
        VecI odd = (lane & s) != 0;
        VecI low = (odd & ((lane ^ s) | 16)) | (~odd & lane);
        VecI high = (odd & (lane | 16)) | (~odd & (lane ^ s));
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            if (!(i & s)) {
                __m512i a = (__m512i)row[i], b = (__m512i)row[i | s];
                row[i] = (VecU)_mm512_permutex2var_epi32(a, (__m512i)low, b);
                row[i | s] = (VecU)_mm512_permutex2var_epi32(a, (__m512i)high, b);
            }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        *(VecULoose *)(to + i * to_stride) = row[i];
#else
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < LANES; j++)
            to[i * to_stride + j] = from[j * from_stride + i];
#endif
}

/* Rows [first, first + count) as the lanes of b: to[vec][unit][lane = row], `units` a multiple of
 * LANES; rows past `count` up to a multiple of LANES are zero. `rows` keeps LANES * units. */
KERNEL_INLINE void pack_lanes(Unit *to, int64_t stride, const RowSource *s, int64_t first,
                              int64_t count, int64_t D, int64_t units, Unit *rows, bool pairs)
{
    for (int64_t base = 0; base < count; base += LANES) {
        for (int64_t i = 0; i < LANES; i++) {
            if (base + i < count)
                unpack_row(rows + i * units, units, s, first + base + i, D, pairs);
            else
                memset(rows + i * units, 0, (size_t)units * sizeof *rows);
        }
        for (int64_t u = 0; u < units; u += LANES)
            transpose_block(to + base / LANES * stride + u * LANES, LANES, rows + u, units);
    }
}

/* Rows as the units of b: to[vec][unit][lane = component], components in `vecs` vectors; rows past
 * `count` up to a whole unit are zero. `rows` keeps 2 * vecs * LANES units. */
KERNEL_INLINE void pack_units(Unit *to, int64_t stride, const RowSource *s, int64_t first,
                              int64_t count, int64_t D, int64_t vecs, Unit *rows, bool pairs)
{
    int64_t size = unit_size(pairs), width = vecs * LANES;
    for (int64_t base = 0; base < count; base += size) {
        for (int64_t i = 0; i < size; i++) {
            Unit *row = rows + i * width;
            if (base + i < count)
                unpack_row(row, round_up(width / size, LANES), s, first + base + i, D, pairs);
            else
                memset(row, 0, (size_t)width * sizeof *row);
        }
        Unit *at = to + base / size * LANES;
        for (int64_t v = 0; v < vecs; v++, at += stride) {
            if (pairs) {
                VecU a = (VecU)vec_from_bf16((const uint16_t *)rows + v * LANES) >> 16;
                VecU b = (VecU)vec_from_bf16((const uint16_t *)(rows + width) + v * LANES);
                *(VecULoose *)at = a | b;
            } else {
                *(VecULoose *)at = *(const VecULoose *)(rows + v * LANES);
            }
        }
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The next `count` items of the scratch that `base` walks through. */
KERNEL_INLINE void *cut_scratch(char **base, int64_t count, size_t size)
{
    void *piece = *base;
    *base += round_up(count * (int64_t)size, 64);
    return piece;
}

/* out[at ..) = factor * row, D elements. */
KERNEL_INLINE void store_row(void *out, DType type, int64_t at, const float *row, float factor,
                             int64_t D)
{
    int64_t d = 0;
    for (; d + LANES <= D; d += LANES) {
        VecF x = factor * vec_load(row + d);
        if (type == DTYPE_F32)
            vec_store((float *)out + at + d, x);
        else
            vec_to_bf16((uint16_t *)out + at + d, x);
    }
    for (; d < D; d++) {
        if (type == DTYPE_F32)
            ((float *)out)[at + d] = factor * row[d];
        else
            ((uint16_t *)out)[at + d] = f32_to_bf16(factor * row[d]);
    }
}

/* ---- what all forward kernels begin and end with ----------------------------------------------
 */

/* The query rows of one head of the task, (query, head in group), as `units` units each. */
KERNEL_INLINE void flash_load_queries(const FlashTask *t, int64_t head, Unit *to, int64_t units,
                                      bool pairs)
{
    size_t element = t->q_type == DTYPE_BF16 ? 2 : 4;
    for (int64_t i = 0; i < t->n_queries; i++) {
        int64_t at = i * t->q_stride + head * t->group * t->D;
        RowSource heads = {.data = (const char *)t->q + (size_t)at * element,
                           .type = t->q_type,
                           .row_stride = t->D};
        for (int64_t g = 0; g < t->group; g++)
            unpack_row(to + (i * t->group + g) * units, units, &heads, g, t->D, pairs);
    }
}

/* Output and log-sum-exp of row r of a head from its sum of 2^(x - max) v, and the sum of
 * 2^(x - max). */
KERNEL_INLINE void flash_store(const FlashTask *t, int64_t head, int64_t r, const float *o,
                               float max, float sum)
{
    int64_t i = r / t->group, h = head * t->group + r % t->group;
    store_row(t->out, t->out_type, i * t->out_stride + h * t->D, o, sum == 0.0f ? 0.0f : 1.0f / sum,
              t->D);
    if (t->lse)
        t->lse[i * t->lse_stride + h * t->lse_head_stride] =
            sum == 0.0f ? -INFINITY : (max + log2f(sum)) * 0.69314718f; /* ln 2 */
}

#endif
