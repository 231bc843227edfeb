/* The stages of pca_project. For embed/pca*.c only. */
#ifndef CAMBIUM_EMBED_PCA_PARTS_H
#define CAMBIUM_EMBED_PCA_PARTS_H

#include <stdint.h>

#include "embed/isa/pca_kernels.h"
#include "embed/pca.h"

/* Products of the columns of (pixels, 1): `sums` (dim + 1, dim + 1) holds sum over rows of
 * x_i x_j for j >= i, in its last column the sums of each column, in its corner the rows. Exact. */
Status pca_products(const PcaInput *in, const PcaKernels *kernels, int64_t *sums, Err *err);

/* Makes the eigenvectors (rows of `vectors`, (dim, dim)) canonical: any orthonormal basis of an
 * eigenspace gives the same result but for rounding. `values` fall; the first `rank` are looked
 * at. */
void pca_canonical(const double *values, int64_t dim, int64_t rank, double *vectors);

#endif
