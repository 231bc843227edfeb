/* Eigenvalues of the tridiagonal matrix by implicit QL; its rotations, applied to the vectors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "embed/eigen_parts.h"

enum {
    BATCH_ROTATIONS = 1 << 15, /* half a megabyte: they stay in cache beside a panel */
    ITERATIONS_MAX = 60,       /* per eigenvalue; two are usual */
};

/* Rotations that the vectors have not seen yet. */
typedef struct Batch {
    EigenWork *work;
    Rotation *rotations;
    int64_t rotation_count, capacity;
    Sweep *sweeps;
    int64_t sweep_count;
} Batch;

static void rotate_panels(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Batch *batch = context;
    const EigenWork *work = batch->work;
    for (int64_t p = begin; p < end; p++)
        work->kernels->rotate(work->a + p * work->n * EIGEN_PANEL, batch->sweeps,
                              batch->sweep_count, batch->rotations);
}

static void flush(Batch *batch)
{
    int64_t panels = (batch->work->n + EIGEN_PANEL - 1) / EIGEN_PANEL;
    parallel_dynamic(panels, 1, rotate_panels, batch);
    batch->rotation_count = batch->sweep_count = 0;
}

static void fill_panels(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const EigenWork *work = context;
    for (int64_t p = begin; p < end; p++) {
        double *panel = work->a + p * work->n * EIGEN_PANEL;
        for (int64_t c = 0; c < EIGEN_PANEL; c++) {
            int64_t component = p * EIGEN_PANEL + c;
            const double *row = work->q + component * work->ld;
            for (int64_t k = 0; k < work->n; k++)
                panel[k * EIGEN_PANEL + c] = component < work->n ? row[k] : 0;
        }
    }
}

/* c and s with s * g = c * f and c^2 + s^2 = 1; returns sqrt(f^2 + g^2). Tiny values are scaled so
 * that their squares keep all their digits. */
static double make_rotation(double f, double g, Rotation *rotation)
{
    double largest = fabs(f) > fabs(g) ? fabs(f) : fabs(g), unit = 1;
    if (largest < 0x1p-400) {
        f *= 0x1p600;
        g *= 0x1p600;
        unit = 0x1p-600;
    }
    double r = sqrt(f * f + g * g);
    *rotation = r == 0 ? (Rotation){1, 0} : (Rotation){g / r, f / r};
    return r * unit;
}

/* One implicit QL sweep over the unreduced block [l, m], with the shift of its top 2 x 2 corner
 * (EISPACK's imtql2; Golub and Van Loan 8.3.3, from the other end). */
static void sweep_block(EigenWork *work, Batch *batch, int64_t l, int64_t m)
{
    double *d = work->d, *e = work->e;
    double slope = (d[l + 1] - d[l]) / (2 * e[l]);
    double g = d[m] - d[l] + e[l] / (slope + copysign(sqrt(slope * slope + 1), slope));
    double s = 1, c = 1, p = 0;
    Sweep *sweep = &batch->sweeps[batch->sweep_count++];
    *sweep = (Sweep){.top = m - 1, .bottom = l, .first = batch->rotation_count};
    for (int64_t i = m - 1; i >= l; i--) {
        Rotation *rotation = &batch->rotations[batch->rotation_count++];
        double f = s * e[i], b = c * e[i];
        e[i + 1] = make_rotation(f, g, rotation);
        s = rotation->s;
        c = rotation->c;
        g = d[i + 1] - p;
        double r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

/* The end of the block that begins at l: the first m whose e[m] is negligible, against its
 * neighbours or against the whole matrix. */
static int64_t block_end(const EigenWork *work, int64_t l, double norm)
{
    int64_t m = l;
    for (; m < work->n - 1; m++) {
        double size = fabs(work->e[m]);
        if (size <= 0x1p-53 * (fabs(work->d[m]) + fabs(work->d[m + 1])) || size <= 0x1p-54 * norm)
            break;
    }
    return m;
}

static Status iterate(EigenWork *work, Batch *batch, Err *err)
{
    int64_t n = work->n;
    double norm = 0;
    for (int64_t i = 0; i < n; i++)
        norm = fmax(norm, fabs(work->d[i]) + fabs(work->e[i]));
    for (int64_t l = 0; l < n; l++) {
        if (stop_requested()) {
            err_set(err, "stopped while eigenvectors were computed");
            return STATUS_STOPPED;
        }
        for (int tries = 0;; tries++) {
            int64_t m = block_end(work, l, norm);
            if (m == l)
                break;
            if (tries == ITERATIONS_MAX)
                return err_set(err, "eigenvalue %lld of %lld does not converge", (long long)l,
                               (long long)n);
            if (batch->rotation_count + m - l > batch->capacity)
                flush(batch);
            sweep_block(work, batch, l, m);
        }
    }
    flush(batch);
    return STATUS_OK;
}

Status eigen_iterate(EigenWork *work, Err *err)
{
    int64_t capacity = work->n > BATCH_ROTATIONS ? work->n : (int64_t)BATCH_ROTATIONS;
    Batch batch = {.work = work, .capacity = capacity};
    batch.rotations = xmalloc((size_t)capacity * sizeof *batch.rotations);
    batch.sweeps = xmalloc((size_t)capacity * sizeof *batch.sweeps);
    parallel_for((work->n + EIGEN_PANEL - 1) / EIGEN_PANEL, 1, fill_panels, work);
    Status status = iterate(work, &batch, err);
    free(batch.rotations);
    free(batch.sweeps);
    return status;
}
