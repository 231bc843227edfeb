/* The inner loops of the symmetric eigen-solver. Compiled without reordering and without fused
 * multiply-add, so that every instruction set gives the same bits: vectors run over independent
 * outputs, and sums over one vector's elements have 16 fixed lanes whatever the register width. */
#ifndef CAMBIUM_EMBED_ISA_EIGEN_KERNELS_H
#define CAMBIUM_EMBED_ISA_EIGEN_KERNELS_H

#include <stdint.h>

enum {
    EIGEN_STRIP = 16, /* columns that a product handles at once; row lengths are multiples of it */
    EIGEN_PANEL = 32, /* columns of the eigenvector matrix that are rotated together */
};

/* One product C -= A B, all of float64. */
typedef struct EigenProduct {
    double *c; /* (rows, cols), row i at c + i * ldc */
    int64_t ldc, rows, cols;
    const double *a; /* (rows, inner), element (i, p) at a[i * a_row + p * a_col] */
    int64_t a_row, a_col, inner;
    const double *b; /* (inner, cols), row p at b + p * ldb */
    int64_t ldb;
} EigenProduct;

typedef struct Rotation {
    double c, s;
} Rotation;

/* Rotations of the row pairs (top, top + 1), (top - 1, top), ... (bottom, bottom + 1). */
typedef struct Sweep {
    int64_t top, bottom;
    int64_t first; /* index of its first rotation */
} Sweep;

typedef struct EigenKernels {
    /* y[r] = sum over n of a[r * ld + i] * x[i]; n is a multiple of EIGEN_STRIP. */
    void (*dots)(const double *a, int64_t ld, const double *x, int64_t rows, int64_t n, double *y);
    /* cols is a multiple of EIGEN_STRIP; each element is summed over p = 0, 1, ... in turn. */
    void (*product)(const EigenProduct *product);
    /* Rotates the rows of a panel (any number of rows, EIGEN_PANEL columns, contiguous). */
    void (*rotate)(double *panel, const Sweep *sweeps, int64_t count, const Rotation *rotations);
} EigenKernels;

extern const EigenKernels eigen_kernels_generic, eigen_kernels_avx2, eigen_kernels_avx512,
    eigen_kernels_avx512bf16;

#endif
