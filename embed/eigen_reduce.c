/* Reduction to tridiagonal form by Householder reflections, in blocks. */
#include <math.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/parallel.h"
#include "embed/eigen_parts.h"

/* The first column of the strip that column k is in: loops start there, at zeros. */
static int64_t strip_begin(int64_t k)
{
    return k / EIGEN_STRIP * EIGEN_STRIP;
}

/* Turns row k of the matrix, from column k + 1 on, into the vector v of a reflection that maps it
 * to (e[k], 0, ...); v[k + 1] is 1 and v is zero before, from the block's first column on. v is
 * all zero when there is nothing to reflect. */
static void make_reflector(EigenWork *work, int64_t k, int64_t block)
{
    double *v = work->a + k * work->ld;
    int64_t from = strip_begin(k);
    double alpha = v[k + 1], tail = 0;
    memset(v + block, 0, (size_t)(k + 2 - block) * sizeof(double));
    work->kernels->dots(v + from, work->ld, v + from, 1, work->cols - from, &tail);
    /* The matrix's largest element is about 1: a tail of 2^-450 is nothing beside it, and its
     * square would have lost digits. */
    if (tail < 0x1p-900) {
        work->e[k] = alpha;
        work->tau[k] = 0;
        memset(v + from, 0, (size_t)(work->cols - from) * sizeof(double));
        return;
    }
    double beta = -copysign(sqrt(alpha * alpha + tail), alpha);
    double factor = 1 / (alpha - beta);
    for (int64_t i = k + 2; i < work->n; i++)
        v[i] *= factor;
    v[k + 1] = 1;
    work->e[k] = beta;
    work->tau[k] = (beta - alpha) / beta;
}

typedef struct Column {
    EigenWork *work;
    int64_t k;
    double *w;
} Column;

static void multiply_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Column *column = context;
    const EigenWork *work = column->work;
    int64_t first = column->k + 1 + begin, from = strip_begin(column->k);
    work->kernels->dots(work->a + first * work->ld + from, work->ld,
                        work->a + column->k * work->ld + from, end - begin, work->cols - from,
                        column->w + first);
}

/* Subtracts sum over r of factors[r] * vw[r] from x, from the strip of column k on. */
static void subtract_pending(const EigenWork *work, int64_t k, int64_t count, const double *factors,
                             double *x)
{
    int64_t from = strip_begin(k);
    EigenProduct product = {.c = x + from,
                            .ldc = work->ld,
                            .rows = 1,
                            .cols = work->cols - from,
                            .a = factors,
                            .a_row = 0,
                            .a_col = 1,
                            .inner = count,
                            .b = work->vw + from,
                            .ldb = work->ld};
    work->kernels->product(&product);
}

/* Column k of a block that begins at column `block`: brings it up to date, makes its reflector v
 * and the vector w with which A -= v w^T + w v^T reflects the matrix on both sides. */
static void reduce_column(EigenWork *work, int64_t k, int64_t block)
{
    int64_t pending = 2 * (k - block), from = strip_begin(k), ld = work->ld;
    double factors[2 * EIGEN_BLOCK];
    double *row = work->a + k * ld;
    for (int64_t r = 0; r < pending; r++)
        factors[r] = work->wv[r * ld + k];
    subtract_pending(work, k, pending, factors, row);
    work->d[k] = row[k];
    make_reflector(work, k, block);

    double *w = work->vw + (pending + 1) * ld;
    memset(w + from, 0, (size_t)(work->cols - from) * sizeof(double));
    if (work->tau[k] != 0) {
        /* One meeting of threads per column: on a busy machine each may wait for milliseconds, so
         * that a share of less than 4 MiB (a tenth of a millisecond) is not worth it. */
        int64_t grain = ((int64_t)1 << 19) / (work->cols - from) + 1;
        parallel_for(work->n - k - 1, grain, multiply_rows, &(Column){work, k, w});
        work->kernels->dots(work->wv + from, ld, row + from, pending, work->cols - from, factors);
        subtract_pending(work, k, pending, factors, w);
        double tau = work->tau[k], along = 0;
        for (int64_t i = from; i < work->n; i++)
            w[i] = i > k ? w[i] * tau : 0;
        work->kernels->dots(w + from, ld, row + from, 1, work->cols - from, &along);
        along *= tau / 2;
        for (int64_t i = k + 1; i < work->n; i++)
            w[i] -= along * row[i];
    }
    size_t bytes = (size_t)(work->cols - from) * sizeof(double);
    memcpy(work->vw + pending * ld + from, row + from, bytes);
    memcpy(work->wv + pending * ld + from, w + from, bytes);
    memcpy(work->wv + (pending + 1) * ld + from, row + from, bytes);
}

typedef struct Update {
    EigenWork *work;
    int64_t first, count; /* columns (reflectors) of the block */
} Update;

/* Subtracts what a block left pending from the strips [begin, end) of the trailing matrix. */
static void update_strips(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Update *update = context;
    EigenWork *work = update->work;
    int64_t row = update->first + update->count;
    int64_t col = strip_begin(row) + begin * EIGEN_STRIP;
    EigenProduct product = {.c = work->a + row * work->ld + col,
                            .ldc = work->ld,
                            .rows = work->n - row,
                            .cols = (end - begin) * EIGEN_STRIP,
                            .a = work->wv + row,
                            .a_row = 1,
                            .a_col = work->ld,
                            .inner = 2 * update->count,
                            .b = work->vw + col,
                            .ldb = work->ld};
    work->kernels->product(&product);
}

/* T of the compact form H_first ... H_last = I - V T V^T, upper triangular. */
static void compact_factor(const EigenWork *work, int64_t first, int64_t count,
                           double t[EIGEN_BLOCK][EIGEN_BLOCK])
{
    int64_t from = strip_begin(first), ld = work->ld;
    memset(t, 0, EIGEN_BLOCK * sizeof *t);
    for (int64_t j = 0; j < count; j++) {
        double inner[EIGEN_BLOCK], tau = work->tau[first + j];
        work->kernels->dots(work->a + first * ld + from, ld, work->a + (first + j) * ld + from, j,
                            work->cols - from, inner);
        for (int64_t i = 0; i < j; i++) {
            double sum = 0;
            for (int64_t p = i; p < j; p++)
                sum += t[i][p] * inner[p];
            t[i][j] = -tau * sum;
        }
        t[j][j] = tau;
    }
}

typedef struct Apply {
    EigenWork *work;
    int64_t first, count;
    double t[EIGEN_BLOCK][EIGEN_BLOCK];
} Apply;

/* Q -= V T V^T Q in the strips [begin, end) from the block's first column on. The two factors in
 * between use vw and wv, which the reduction no longer needs; both are made with their sign turned,
 * which cancels. */
static void apply_strips(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    Apply *apply = context;
    EigenWork *work = apply->work;
    int64_t ld = work->ld, first = apply->first, count = apply->count, row = first + 1;
    int64_t col = strip_begin(first) + begin * EIGEN_STRIP, cols = (end - begin) * EIGEN_STRIP;
    const double *v = work->a + first * ld + row;
    double *x = work->vw + col, *y = work->wv + col, *q = work->q + row * ld + col;
    for (int64_t r = 0; r < count; r++) {
        memset(x + r * ld, 0, (size_t)cols * sizeof(double));
        memset(y + r * ld, 0, (size_t)cols * sizeof(double));
    }
    work->kernels->product(&(EigenProduct){x, ld, count, cols, v, ld, 1, work->n - row, q, ld});
    work->kernels->product(
        &(EigenProduct){y, ld, count, cols, apply->t[0], EIGEN_BLOCK, 1, count, x, ld});
    work->kernels->product(&(EigenProduct){q, ld, work->n - row, cols, v, 1, ld, count, y, ld});
}

static int64_t strips_from(const EigenWork *work, int64_t column)
{
    return (work->cols - strip_begin(column)) / EIGEN_STRIP;
}

/* Q = H_0 H_1 ... applied to the identity from the last block to the first, so that each touches
 * only rows and columns behind it. */
static void form_q(EigenWork *work)
{
    int64_t n = work->n, reflectors = n - 1;
    memset(work->q, 0, (size_t)(n * work->ld) * sizeof(double));
    for (int64_t i = 0; i < n; i++)
        work->q[i * work->ld + i] = 1;
    int64_t blocks = (reflectors + EIGEN_BLOCK - 1) / EIGEN_BLOCK;
    for (int64_t block = blocks - 1; block >= 0; block--) {
        Apply apply = {.work = work, .first = block * EIGEN_BLOCK};
        apply.count = reflectors - apply.first < EIGEN_BLOCK ? reflectors - apply.first
                                                             : (int64_t)EIGEN_BLOCK;
        compact_factor(work, apply.first, apply.count, apply.t);
        parallel_for(strips_from(work, apply.first), 2, apply_strips, &apply);
    }
}

Status eigen_reduce(EigenWork *work, Err *err)
{
    int64_t n = work->n, reflectors = n - 1;
    for (int64_t block = 0; block < reflectors; block += EIGEN_BLOCK) {
        if (stop_requested()) {
            err_set(err, "stopped while eigenvectors were computed");
            return STATUS_STOPPED;
        }
        int64_t end = block + EIGEN_BLOCK < reflectors ? block + EIGEN_BLOCK : reflectors;
        for (int64_t k = block; k < end; k++)
            reduce_column(work, k, block);
        parallel_for(strips_from(work, end), 2, update_strips, &(Update){work, block, end - block});
    }
    work->d[n - 1] = work->a[(n - 1) * work->ld + n - 1];
    work->e[n - 1] = 0;
    form_q(work);
    return STATUS_OK;
}
