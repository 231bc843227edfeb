/* The inner loops of the principal components: exact integer products of columns, and projection
 * in float64 without reordering or fused multiply-add, so that every instruction set gives the
 * same bits. */
#ifndef CAMBIUM_EMBED_ISA_PCA_KERNELS_H
#define CAMBIUM_EMBED_ISA_PCA_KERNELS_H

#include <stdint.h>

enum {
    PCA_BIT_ROWS = 64,         /* rows in a word */
    PCA_BIT_WORDS = 128,       /* columns of bits are a multiple of this many words long */
    PCA_GREY_ROWS_MAX = 32768, /* longer columns would overflow 32-bit sums */
    PCA_PROJECT_COLS = 32,     /* outputs that are summed together */
};

/* Rows of pixels without their zeros. */
typedef struct PcaSparse {
    const int64_t *begin;  /* (rows + 1) entries of row r: begin[r] to begin[r + 1] */
    const uint16_t *pixel; /* rising within a row */
    const double *value;
} PcaSparse;

typedef struct PcaKernels {
    uint8_t (*largest)(const uint8_t *pixels, int64_t count);
    /* Word of up to 64 rows of 0/1 pixels for each column c, at words[c * stride]. */
    void (*pack_bits)(const uint8_t *pixels, int64_t dim, int64_t rows, uint64_t *words,
                      int64_t stride);
    /* Pixel (r, c) to columns[c * stride + r]. */
    void (*pack_grey)(const uint8_t *pixels, int64_t dim, int64_t rows, int16_t *columns,
                      int64_t stride);
    /* sums[j] += number of rows that are set in both `left` and column j of `right`. */
    void (*multiply_bits)(const uint64_t *left, const uint64_t *right, int64_t stride,
                          int64_t words, int64_t count, int64_t *sums);
    /* sums[j] += inner product of `left` and column j of `right`; values 0 to 255. */
    void (*multiply_grey)(const int16_t *left, const int16_t *right, int64_t stride, int64_t rows,
                          int64_t count, int64_t *sums);
    /* sums[r * ld + k] = sum over the entries of row r, in turn, of value * panel[pixel][k].
     * `panel` is (dim, PCA_PROJECT_COLS). */
    void (*project)(const double *panel, const PcaSparse *rows, int64_t count, double *sums,
                    int64_t ld);
    /* Subtracts `offsets` from `sums`; returns the sum of squares of what remains, in 16 fixed
     * lanes. n is a multiple of PCA_PROJECT_COLS. */
    double (*centre)(double *sums, const double *offsets, int64_t n);
    /* out = x * factor, rounded once more. */
    void (*scale)(const double *x, double factor, int64_t n, float *out);
} PcaKernels;

extern const PcaKernels pca_kernels_generic, pca_kernels_avx2, pca_kernels_avx512,
    pca_kernels_avx512bf16;

#endif
