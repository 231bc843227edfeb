#include "embed/isa/pca_kernels.h"

#include <string.h>

#include "core/base/isa.h"

#if defined(__AVX512F__)
enum { LANES = 8 };
#elif defined(__AVX2__)
enum { LANES = 4 };
#else
enum { LANES = 2 };
#endif

typedef double Vec __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
typedef uint64_t Bits __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

static uint8_t largest(const uint8_t *pixels, int64_t count)
{
    uint8_t top = 0;
    for (int64_t i = 0; i < count; i++)
        top = pixels[i] > top ? pixels[i] : top;
    return top;
}

static void pack_bits(const uint8_t *pixels, int64_t dim, int64_t rows, uint64_t *words,
                      int64_t stride)
{
    enum { GROUP = 64 };
    int64_t c = 0;
    for (; c + GROUP <= dim; c += GROUP) {
        uint64_t word[GROUP] = {0};
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < GROUP; i++)
                word[i] |= (uint64_t)pixels[r * dim + c + i] << r;
        for (int64_t i = 0; i < GROUP; i++)
            words[(c + i) * stride] = word[i];
    }
    for (; c < dim; c++) {
        uint64_t word = 0;
        for (int64_t r = 0; r < rows; r++)
            word |= (uint64_t)pixels[r * dim + c] << r;
        words[c * stride] = word;
    }
}

static void pack_grey(const uint8_t *pixels, int64_t dim, int64_t rows, int16_t *columns,
                      int64_t stride)
{
    /* Turned in a small square first: rows are often a power of two apart, and would push each
     * other out of the cache. */
    enum { GROUP = 32 };
    int16_t square[GROUP][GROUP];
    for (int64_t r0 = 0; r0 < rows; r0 += GROUP)
        for (int64_t c0 = 0; c0 < dim; c0 += GROUP) {
            int64_t height = rows - r0 < GROUP ? rows - r0 : GROUP;
            int64_t width = dim - c0 < GROUP ? dim - c0 : GROUP;
            for (int64_t r = 0; r < height; r++)
                for (int64_t c = 0; c < width; c++)
                    square[c][r] = pixels[(r0 + r) * dim + c0 + c];
            for (int64_t c = 0; c < width; c++)
                memcpy(columns + (c0 + c) * stride + r0, square[c], (size_t)height * 2);
        }
}

/* Adds three bits in every position: the sum's low bit, and its high bit in `high`. */
static inline Bits add_bits(Bits a, Bits b, Bits c, Bits *high)
{
    Bits either = a ^ b;
    *high = (a & b) | (either & c);
    return either ^ c;
}

static inline Bits bits_in_words(Bits x)
{
    x = x - ((x >> 1) & 0x5555555555555555);
    x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
    x = x + (x >> 8);
    x = x + (x >> 16);
    return (x + (x >> 32)) & 0xff;
}

/* Counts with carry-save adders (Harley and Seal; Mula, Kurz and Lemire, 2018): low[d] holds, per
 * position, bit d of the number of ones seen so far; only the carry out of 16 vectors is counted.
 */
static int64_t common_bits(const uint64_t *left, const uint64_t *right, int64_t words)
{
    Bits low[4] = {0}, waiting[4], sixteens = {0}, total = {0};
    for (int64_t w = 0; w < words; w += 16 * LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            Bits x = *(const Bits *)(left + w + i * LANES) & *(const Bits *)(right + w + i * LANES);
            /* Like a binary counter: two vectors of one weight make one of the next. */
#pragma GCC unroll 4
            for (int d = 0; d < 4; d++) {
                if (!(i >> d & 1)) {
                    waiting[d] = x;
                    break;
                }
                Bits high;
                low[d] = add_bits(low[d], waiting[d], x, &high);
                x = high;
            }
            if (i == 15)
                sixteens = x;
        }
        total += bits_in_words(sixteens) << 4;
    }
    for (int d = 0; d < 4; d++)
        total += bits_in_words(low[d]) << d;
    int64_t sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += (int64_t)total[i];
    return sum;
}

static void multiply_bits(const uint64_t *left, const uint64_t *right, int64_t stride,
                          int64_t words, int64_t count, int64_t *sums)
{
    for (int64_t j = 0; j < count; j++)
        sums[j] += common_bits(left, right + j * stride, words);
}

static void multiply_grey(const int16_t *left, const int16_t *right, int64_t stride, int64_t rows,
                          int64_t count, int64_t *sums)
{
    int64_t j = 0;
    for (; j + 4 <= count; j += 4) {
        const int16_t *r0 = right + j * stride, *r1 = r0 + stride, *r2 = r1 + stride,
                      *r3 = r2 + stride;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int64_t r = 0; r < rows; r++) {
            s0 += left[r] * r0[r];
            s1 += left[r] * r1[r];
            s2 += left[r] * r2[r];
            s3 += left[r] * r3[r];
        }
        sums[j] += s0;
        sums[j + 1] += s1;
        sums[j + 2] += s2;
        sums[j + 3] += s3;
    }
    for (; j < count; j++) {
        int32_t sum = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += left[r] * right[j * stride + r];
        sums[j] += sum;
    }
}

static void project(const double *panel, const PcaSparse *rows, int64_t count, double *sums,
                    int64_t ld)
{
    enum { ALL = PCA_PROJECT_COLS / LANES, VECS = ALL < 8 ? ALL : 8 };
    for (int64_t r = 0; r < count; r++)
        for (int part = 0; part < ALL; part += VECS) {
            const double *columns = panel + part * LANES;
            Vec sum[VECS] = {0};
            for (int64_t i = rows->begin[r]; i < rows->begin[r + 1]; i++) {
                const double *row = columns + rows->pixel[i] * PCA_PROJECT_COLS;
                for (int v = 0; v < VECS; v++)
                    sum[v] += rows->value[i] * *(const Vec *)(row + v * LANES);
            }
            for (int v = 0; v < VECS; v++)
                *(Vec *)(sums + r * ld + (part + v) * LANES) = sum[v];
        }
}

static double centre(double *sums, const double *offsets, int64_t n)
{
    enum { WIDTH = 16 };
    double lanes[WIDTH] = {0}, square = 0;
    for (int64_t k = 0; k < n; k += WIDTH)
        for (int i = 0; i < WIDTH; i++) {
            sums[k + i] -= offsets[k + i];
            lanes[i] += sums[k + i] * sums[k + i];
        }
    for (int i = 0; i < WIDTH; i++)
        square += lanes[i];
    return square;
}

static void scale(const double *x, double factor, int64_t n, float *out)
{
    for (int64_t k = 0; k < n; k++)
        out[k] = (float)(x[k] * factor);
}

const PcaKernels ISA_SYMBOL(pca_kernels) = {largest,       pack_bits, pack_grey, multiply_bits,
                                            multiply_grey, project,   centre,    scale};
