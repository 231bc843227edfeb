/* Products with int8 rows, bound by how fast the rows come from memory. */
#include "core/cpu/isa/quant_vec.h"
#include "core/cpu/quant_kernels.h"

enum { WORD_STEP = 32 };

static float quantise(const void *x, DType type, int64_t from, int8_t *q, int64_t n)
{
    return quantise_vec(x, type, from, q, n);
}

#if HAVE_PAIRS
/* round(x / scale) in 16 bits, scale = max |x| / 32767. A NaN or an infinity in the row makes the
 * scale NaN, and so every product with it. */
static float make_words(const void *a, DType type, int64_t from, int16_t *to, int64_t K,
                        int64_t stride)
{
    enum { NOT_FINITE = 0x99 }; /* quiet and signalling NaN, both infinities */
    VecF top = (VecF){0};
    __mmask16 broken = 0;
    for (int64_t k = 0; k < K; k += LANES) {
        VecF x =
            K - k >= LANES ? load_elements(a, type, from + k) : load_some(a, type, from + k, K - k);
        top = vec_max(_mm512_abs_ps(x), top);
        broken |= _mm512_fpclass_ps_mask(x, NOT_FINITE);
    }
    float max = vec_hmax(top), factor = max > 0.0f ? 32767.0f / max : 0.0f;
    factor = factor <= 3.4e38f ? factor : 0.0f; /* a row of denormals counts as zero */
    for (int64_t k = 0; k < stride; k += LANES) {
        VecF x = K - k >= LANES ? load_elements(a, type, from + k)
                 : k < K        ? load_some(a, type, from + k, K - k)
                                : (VecF){0};
        __m512i rounded = _mm512_cvtps_epi32(x * factor);
        _mm256_storeu_si256((__m256i *)(to + k), _mm512_cvtsepi32_epi16(rounded));
    }
    return broken ? NAN : max / 32767.0f;
}
#endif

static void prepare(QuantInput *input, const void *a, DType type, int64_t M, int64_t K,
                    void *memory)
{
    input->M = M;
    input->K = K;
    input->stride = round_up(K, 2 * WORD_STEP);
    input->words = HAVE_PAIRS && type == DTYPE_BF16;
    input->scales = memory;
    input->rows = (char *)memory + round_up(M * 4, 64);
    for (int64_t m = 0; m < M; m++) {
#if HAVE_PAIRS
        if (input->words) {
            int16_t *row = (int16_t *)input->rows + m * input->stride;
            input->scales[m] = make_words(a, type, m * K, row, K, input->stride);
            continue;
        }
#endif
        RowSource source = {.data = a, .type = type, .row_stride = K};
        unpack_row((Unit *)input->rows + m * input->stride, input->stride, &source, m, K, false);
    }
}

KERNEL_INLINE void store_product(const QuantTask *t, int64_t m, int64_t n, float sum)
{
    float value = sum * t->scales[n] + (t->bias ? t->bias[n] : 0.0f);
    if (t->c_type == DTYPE_F32)
        ((float *)t->c)[m * t->ldc + n] = value;
    else
        ((uint16_t *)t->c)[m * t->ldc + n] = f32_to_bf16(value);
}

/* A block of the product: `rows` rows of the input from row m by `cols` rows of w from row n, both
 * known when compiling. One row of w at a time makes w one stream, which memory serves best; with
 * many input rows, four at a time save reading those over and over. */
typedef struct Block {
    const QuantTask *task;
    int64_t m, n;
} Block;

/* Asks for the bytes of w that come later, at row j of the block: in the stream, or in the next
 * block. Past the end of w this asks for nothing that would be used, which does no harm. */
KERNEL_INLINE void ask_ahead(const int8_t *w, int64_t K, const int cols)
{
    __builtin_prefetch(w + (cols == 1 ? 4096 : cols * K));
}

#if HAVE_PAIRS
/* Bytes [k, k + WORD_STEP) of a row widened; zero from `end` on. */
KERNEL_INLINE __m512i load_words(const int8_t *w, int64_t k, int64_t end)
{
    if (end - k >= WORD_STEP)
        return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(w + k)));
    __mmask32 some = end > k ? (1u << (end - k)) - 1u : 0;
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(some, w + k));
}

/* Integer sums are exact; before 32 bits could overflow they move to floats. */
KERNEL_INLINE void word_block(Block b, const int rows, const int cols)
{
    enum { FLUSH = 8192 }; /* 2 * FLUSH / 32 products of 127 * 32767 in each lane at most */
    const QuantInput *in = &b.task->input;
    const int8_t *w = b.task->w + b.n * in->K;
    const int16_t *x = (const int16_t *)in->rows + b.m * in->stride;
    VecF total[4][4];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            total[i][j] = (VecF){0};
    for (int64_t begin = 0; begin < in->K; begin += FLUSH) {
        int64_t end = in->K - begin < FLUSH ? in->K : begin + FLUSH;
        __m512i sum[4][4][2];
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                sum[i][j][0] = sum[i][j][1] = _mm512_setzero_si512();
        for (int64_t k = begin; k < end; k += 2 * WORD_STEP) {
            const int16_t *x_now = x + k;
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                ask_ahead(w + j * in->K + k, in->K, cols);
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++, x_now += WORD_STEP) {
                __m512i now[4];
#pragma GCC unroll 4
                for (int j = 0; j < cols; j++)
                    now[j] = load_words(w + j * in->K, k + half * WORD_STEP, end);
#pragma GCC unroll 4
                for (int i = 0; i < rows; i++) {
                    __m512i x_row = _mm512_loadu_si512(x_now + i * in->stride);
                    int chain = cols == 1 ? half : 0; /* few sums need two chains each */
#pragma GCC unroll 4
                    for (int j = 0; j < cols; j++)
                        sum[i][j][chain] = _mm512_dpwssd_epi32(sum[i][j][chain], now[j], x_row);
                }
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                total[i][j] += _mm512_cvtepi32_ps(_mm512_add_epi32(sum[i][j][0], sum[i][j][1]));
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            store_product(b.task, b.m + i, b.n + j, in->scales[b.m + i] * vec_sum(total[i][j]));
}
#endif

KERNEL_INLINE void float_block(Block b, const int rows, const int cols)
{
    const QuantInput *in = &b.task->input;
    const int8_t *w = b.task->w + b.n * in->K;
    const float *x = (const float *)in->rows + b.m * in->stride;
    VecF sum[4][4];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            sum[i][j] = (VecF){0};
    for (int64_t k = 0; k < in->K; k += LANES) {
        VecF now[4];
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) {
            if (k % 64 == 0)
                ask_ahead(w + j * in->K + k, in->K, cols);
            now[j] = in->K - k >= LANES ? vec_from_i8(w + j * in->K + k)
                                        : load_some(w, DTYPE_I8, j * in->K + k, in->K - k);
        }
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            VecF x_row = vec_load(x + i * in->stride + k);
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                sum[i][j] += now[j] * x_row;
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            store_product(b.task, b.m + i, b.n + j, vec_sum(sum[i][j]));
}

KERNEL_INLINE void any_block(Block b, const int rows, const int cols)
{
#if HAVE_PAIRS
    if (b.task->input.words) {
        word_block(b, rows, cols);
        return;
    }
#endif
    float_block(b, rows, cols);
}

/* All rows of the input by `cols` rows of w, which are in the cache after the first four. */
KERNEL_INLINE void column_block(const QuantTask *t, int64_t n, const int cols)
{
    int64_t m = 0, M = t->input.M;
    for (; m + 4 <= M; m += 4)
        any_block((Block){t, m, n}, 4, cols);
    if (M - m == 3)
        any_block((Block){t, m, n}, 3, cols);
    else if (M - m == 2)
        any_block((Block){t, m, n}, 2, cols);
    else if (M - m == 1)
        any_block((Block){t, m, n}, 1, cols);
}

static void product(const QuantTask *t)
{
    int64_t n = 0;
    for (; n + 4 <= t->n && t->input.M > 2; n += 4)
        column_block(t, n, 4);
    for (; n < t->n; n++)
        column_block(t, n, 1);
}

static void dequantise(const int8_t *w, const float *scales, void *to, DType type, int64_t n,
                       int64_t K)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < K; k += LANES) {
            int64_t at = i * K + k, count = K - k < LANES ? K - k : LANES;
            VecF x = count == LANES ? vec_from_i8(w + at) : load_some(w, DTYPE_I8, at, count);
            float lanes[LANES];
            if (count < LANES)
                vec_store(lanes, x);
            if (count < LANES)
                store_row(to, type, at, lanes, scales[i], count);
            else if (type == DTYPE_F32)
                vec_store((float *)to + at, scales[i] * x);
            else
                *(VecHLoose *)((uint16_t *)to + at) = vec_bf16_quick(scales[i] * x);
        }
}

const QuantKernels ISA_SYMBOL(quant_kernels) = {quantise, prepare, product, dequantise};
