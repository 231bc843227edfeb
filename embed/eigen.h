/* All eigenvalues and eigenvectors of a symmetric matrix, in float64.
 *
 * A threaded LAPACK gives other bits for other thread counts and processors; the frozen table is
 * shared by its hash, so this solver keeps one order of operations: the result is the same to the
 * last bit for any number of threads and every instruction set.
 *
 * Blocked Householder reduction to tridiagonal form, implicit QL with Wilkinson's shift, rotations
 * applied in batches (Golub and Van Loan, Matrix Computations, 4th ed., 8.3; compact WY form:
 * Schreiber and Van Loan, 1989). About 7 n^3 operations; residuals and skew are a few n * 1e-16. On
 * two cores with AVX-512, n = 1024 takes 0.1 s and n = 4096 about 11 s, half of it reading the
 * matrix once per column. */
#ifndef CAMBIUM_EMBED_EIGEN_H
#define CAMBIUM_EMBED_EIGEN_H

#include <stdint.h>

#include "core/base/err.h"

/* `a` (n, n) is symmetric, row-major. `values` (n) come in falling order; row k of `vectors` (n, n)
 * is the unit eigenvector of values[k], its sign and the choice within equal eigenvalues left as
 * they fall. Needs 2 n^2 numbers of work space. Fails when memory is short, the matrix holds a
 * value that is not finite, or the user asked to stop. */
Status eigen_symmetric(const double *a, int64_t n, double *values, double *vectors, Err *err);

#endif
