/* Bitmaps to a frozen table: principal components, then rows of unit length.
 *
 * The table is shared by its hash, so the result is the same to the last bit for any number of
 * threads and on every instruction set: the covariance is exact (integers), and every rounded sum
 * has one fixed order. */
#ifndef CAMBIUM_EMBED_PCA_H
#define CAMBIUM_EMBED_PCA_H

#include <stdint.h>

#include "core/base/err.h"

typedef struct PcaInput {
    const uint8_t *pixels; /* (rows, dim), row-major: 0/1, or grey 0 to 255; 1 <= dim <= 16384 */
    int64_t rows;
    int64_t dim;
    int64_t d_out; /* width of the table, extra columns included */
    /* Optional code components, (rows, n_extra) row-major: put behind the projection once that has
     * unit length, before the whole row is given unit length again. NULL when n_extra is 0. */
    const float *extra;
    int64_t n_extra;
} PcaInput;

typedef struct PcaStats {
    int64_t rank;      /* components whose variance is not zero */
    int64_t kept;      /* components in the table: min(d_out - n_extra, rank) */
    int64_t zero_rows; /* rows without a direction: those equal to the mean */
    double total;      /* variance of all components */
    double explained;  /* share of `total` in the kept ones, 0 to 1 */
    double *variance;  /* (dim), falling; released by pca_stats_clear */
    int64_t dim;
    double seconds_covariance, seconds_eigen, seconds_projection;
    /* What brings a row back to its bitmap (core/io/picture_basis.h), in units of full ink: 1 where
     * all pixels are 0 or 1, else 255. Released by pca_stats_clear. */
    float *mean;       /* (dim) */
    float *components; /* (kept, dim) */
    float *lengths;    /* (rows), of the kept projections */
} PcaStats;

/* Fills `out`, (rows, d_out) row-major. Column k < kept is component k, the one with the k-th
 * largest variance, its sign fixed; columns from `kept` to d_out - n_extra are zero, so d_out may
 * be larger than dim. A row equal to the mean of all rows has no direction and stays zero but for
 * its extra columns. `stats` may be NULL. Fails when sizes are out of range, memory is short, or
 * the user asked to stop. */
Status pca_project(const PcaInput *in, float *out, PcaStats *stats, Err *err);
void pca_stats_clear(PcaStats *stats);

#endif
