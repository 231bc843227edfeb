/* The stages of eigen_symmetric. For embed/eigen*.c only. */
#ifndef CAMBIUM_EMBED_EIGEN_PARTS_H
#define CAMBIUM_EMBED_EIGEN_PARTS_H

#include <stdint.h>

#include "core/base/err.h"
#include "embed/isa/eigen_kernels.h"

enum { EIGEN_BLOCK = 32 }; /* reflectors that are applied together */

typedef struct EigenWork {
    const EigenKernels *kernels;
    int64_t n;
    int64_t cols; /* n rounded up to EIGEN_STRIP: elements of a row; those from n on are zero */
    int64_t ld;   /* cols + 8: an odd number of cache lines, so that rows do not share cache sets */
    double *a;    /* (n, ld) the matrix; then row k is reflector k; then panels of eigenvectors */
    double *q;    /* (n, ld) the orthogonal factor of the reduction */
    double *d;    /* (n) the diagonal; in the end the eigenvalues */
    double *e;    /* (n) the off-diagonal, e[i] between i and i + 1; the last is 0 */
    double *tau;  /* (n) scale of reflector k: H = I - tau v v^T */
    /* (2 * EIGEN_BLOCK, ld) each: v0, w0, v1, w1, ... and w0, v0, w1, v1, ... of the block at hand;
     * the trailing matrix still lacks the subtraction of their product. */
    double *vw, *wv;
} EigenWork;

/* A = Q T Q^T: leaves T in d and e, Q in q. */
Status eigen_reduce(EigenWork *work, Err *err);

/* T = U D U^T: leaves D in d and (Q U)^T in panels in `a`: element (vector k, component i) is
 * a[(i / EIGEN_PANEL) * n * EIGEN_PANEL + k * EIGEN_PANEL + i % EIGEN_PANEL]. */
Status eigen_iterate(EigenWork *work, Err *err);

#endif
