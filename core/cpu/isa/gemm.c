/* Products of few rows, where oneDNN would spend its time on packing the weight, and sums of
 * columns. */
#include "core/cpu/isa/elements.h"
#include "core/cpu/kernels.h"

/* Asks for what the weight's rows hold later, at the byte `at`: further on in the stream when rows
 * are read one by one, else in the next block of rows. Past the end of the weight this asks for
 * nothing that would be used, which does no harm. */
KERNEL_INLINE void ask_ahead(const void *w, int64_t at, int64_t row_bytes, const int cols)
{
    __builtin_prefetch((const char *)w + at + (cols == 1 ? 4096 : cols * row_bytes));
}

/* Dot products of `rows` rows of a with `cols` rows of w, both known when compiling. Each is one
 * vector of partial sums over k, whatever the block around it. */
KERNEL_INLINE void dot_block(const GemvTask *t, DType in, int64_t row, int64_t col, const int rows,
                             const int cols)
{
    VecF sums[4][4];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            sums[i][j] = (VecF){0};
    int64_t k = 0;
#if HAVE_PAIRS
    for (; in == DTYPE_BF16 && k + 2 * LANES <= t->K; k += 2 * LANES) {
        __m512bh w[4];
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) {
            ask_ahead(t->w, ((col + j) * t->K + k) * 2, t->K * 2, cols);
            w[j] = (__m512bh)_mm512_loadu_si512((const uint16_t *)t->w + (col + j) * t->K + k);
        }
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const uint16_t *a = (const uint16_t *)t->a + (row + i) * t->K + k;
            __m512bh x = (__m512bh)_mm512_loadu_si512(a);
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                sums[i][j] = _mm512_dpbf16_ps(sums[i][j], x, w[j]);
        }
    }
#endif
    for (; k < t->K; k += LANES) {
        VecF w[4];
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) {
            int64_t size = in == DTYPE_BF16 ? 2 : 4;
            ask_ahead(t->w, ((col + j) * t->K + k) * size, t->K * size, cols);
            w[j] = elements_load(t->w, in, (col + j) * t->K + k, t->K - k);
        }
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            VecF x = elements_load(t->a, in, (row + i) * t->K + k, t->K - k);
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                sums[i][j] += x * w[j];
        }
    }
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < cols; j++) {
            int64_t at = (row + i) * t->ldc + col + j;
            float value = vec_sum(sums[i][j]) + (t->bias ? t->bias[col + j] : 0.0f);
            if (t->out == DTYPE_BF16) {
                uint16_t *c = (uint16_t *)t->c + at;
                *c = f32_to_bf16(value + (t->accumulate ? bf16_to_f32(*c) : 0.0f));
            } else {
                float *c = (float *)t->c + at;
                *c = value + (t->accumulate ? *c : 0.0f);
            }
        }
    }
}

/* All rows of a by `cols` rows of w, which are in the cache after the first four. */
KERNEL_INLINE void dot_columns(const GemvTask *t, DType in, int64_t col, const int cols)
{
    int64_t row = 0;
    for (; row + 4 <= t->M; row += 4)
        dot_block(t, in, row, col, 4, cols);
    if (t->M - row == 3)
        dot_block(t, in, row, col, 3, cols);
    else if (t->M - row == 2)
        dot_block(t, in, row, col, 2, cols);
    else if (t->M - row == 1)
        dot_block(t, in, row, col, 1, cols);
}

/* One row of w at a time makes w one stream, which memory serves best; with more rows of a, four at
 * a time save reading those over and over. */
KERNEL_INLINE void gemv_of(const GemvTask *t, DType in)
{
    int64_t col = 0;
    for (; col + 4 <= t->n && t->M > 2; col += 4)
        dot_columns(t, in, col, 4);
    for (; col < t->n; col++)
        dot_columns(t, in, col, 1);
}

static void gemv(const GemvTask *task)
{
    if (task->in == DTYPE_BF16)
        gemv_of(task, DTYPE_BF16);
    else
        gemv_of(task, DTYPE_F32);
}

KERNEL_INLINE void add_rows_of(DType type, const void *x, int64_t rows, int64_t ld, float *sums,
                               int64_t n)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j += LANES) {
            VecF sum = elements_load(sums, DTYPE_F32, j, n - j);
            elements_store(sums, DTYPE_F32, j, n - j,
                           sum + elements_load(x, type, i * ld + j, n - j));
        }
}

static void add_rows(DType type, const void *x, int64_t rows, int64_t ld, float *sums, int64_t n)
{
    if (type == DTYPE_BF16)
        add_rows_of(DTYPE_BF16, x, rows, ld, sums, n);
    else
        add_rows_of(DTYPE_F32, x, rows, ld, sums, n);
}

const GemmKernels ISA_SYMBOL(gemm_kernels) = {gemv, add_rows};
