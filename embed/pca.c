#include "embed/pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/isa.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "embed/eigen.h"
#include "embed/pca_parts.h"

enum {
    DIM_MAX = 16384,    /* a pixel's number fits in 16 bits, and a covariance in memory */
    ROWS_MAX = 1 << 23, /* rows^2 * 255^2 fits in 63 bits */
    PROJECT_ROWS = 64,  /* rows that share a look at the components */
};

/* Eigenvalues below this, in parts of the largest and per dimension, are rounding of zero. */
static const double zero_variance = 0x1p-52;

/* A projection this much shorter than the usual row is rounding of zero: it has no direction. */
static const double zero_length = 1e-9;

static const PcaKernels *const kernels_of[ISA_COUNT] = {
    &pca_kernels_generic, &pca_kernels_avx2, &pca_kernels_avx512, &pca_kernels_avx512bf16};

typedef struct Pca {
    const PcaInput *in;
    const PcaKernels *kernels;
    float *out;
    int64_t *sums;      /* (dim + 1, dim + 1) exact products */
    double *covariance; /* (dim, dim) times rows^2 */
    double *values;     /* (dim) */
    double *vectors;    /* (dim, dim) row k is component k */
    double *panels;     /* (ceil(kept / PCA_PROJECT_COLS), dim, PCA_PROJECT_COLS) */
    double *offsets;    /* (kept rounded up) projection of the mean */
    int64_t rank, kept, panel_count;
    double total;       /* variance */
    int64_t *zero_rows; /* per group of PROJECT_ROWS rows */
    double *lengths;    /* (rows) of the projections, or NULL */
} Pca;

static Status check_input(const PcaInput *in, Err *err)
{
    if (in->dim < 1 || in->dim > DIM_MAX)
        return err_set(err, "bitmaps have %lld pixels; 1 to %d are supported: choose another cell",
                       (long long)in->dim, DIM_MAX);
    if (in->rows < 1 || in->rows > ROWS_MAX)
        return err_set(err, "a table of %lld tokens; 1 to %d are supported", (long long)in->rows,
                       ROWS_MAX);
    if (in->n_extra < 0 || in->d_out <= in->n_extra)
        return err_set(err,
                       "a width of %lld leaves no room for bitmaps beside %lld code components: "
                       "choose a larger width",
                       (long long)in->d_out, (long long)in->n_extra);
    return STATUS_OK;
}

/* rows^2 times the covariance, which is an integer, as float64. */
static void fill_covariance(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Pca *pca = context;
    int64_t dim = pca->in->dim, ld = dim + 1, rows = pca->in->rows;
    const int64_t *s = pca->sums;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < dim; j++) {
            int64_t product = j >= i ? s[i * ld + j] : s[j * ld + i];
            pca->covariance[i * dim + j] =
                (double)(rows * product - s[i * ld + dim] * s[j * ld + dim]);
        }
}

static void find_rank(Pca *pca)
{
    int64_t dim = pca->in->dim;
    double limit = pca->values[0] * zero_variance * (double)dim;
    double rows = (double)pca->in->rows;
    pca->total = 0;
    for (int64_t i = 0; i < dim; i++)
        pca->total += pca->covariance[i * dim + i] / (rows * rows);
    while (pca->rank < dim && pca->values[pca->rank] > limit)
        pca->rank++;
    int64_t room = pca->in->d_out - pca->in->n_extra;
    pca->kept = pca->rank < room ? pca->rank : room;
    pca->panel_count = (pca->kept + PCA_PROJECT_COLS - 1) / PCA_PROJECT_COLS;
}

/* Turns the kept components so that one pixel's share of PCA_PROJECT_COLS outputs is contiguous. */
static void fill_panels(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Pca *pca = context;
    int64_t dim = pca->in->dim;
    const int64_t *column_sums = pca->sums + dim; /* every dim + 1 */
    for (int64_t k = begin * PCA_PROJECT_COLS; k < end * PCA_PROJECT_COLS; k++) {
        double *panel = pca->panels + k / PCA_PROJECT_COLS * dim * PCA_PROJECT_COLS;
        double sum = 0;
        for (int64_t i = 0; i < dim; i++) {
            double share = k < pca->kept ? pca->vectors[k * dim + i] : 0;
            panel[i * PCA_PROJECT_COLS + k % PCA_PROJECT_COLS] = share;
            sum += (double)column_sums[i * (dim + 1)] * share;
        }
        pca->offsets[k] = sum / (double)pca->in->rows;
    }
}

/* Gives a row unit length: the projection first, then together with its code components. False for
 * a row without a direction. */
static bool finish_row(const Pca *pca, double *sums, int64_t row)
{
    const PcaInput *in = pca->in;
    int64_t room = in->d_out - in->n_extra;
    float *out = pca->out + row * in->d_out;
    double extra_square = 0;
    for (int64_t j = 0; j < in->n_extra; j++) {
        double x = (double)in->extra[row * in->n_extra + j];
        extra_square += x * x;
    }
    double square = pca->kernels->centre(sums, pca->offsets, pca->panel_count * PCA_PROJECT_COLS);
    bool has_direction = square > zero_length * zero_length * pca->total;
    if (pca->lengths)
        pca->lengths[row] = has_direction ? sqrt(square) : 0;
    double length = sqrt((has_direction ? 1 : 0) + extra_square);
    memset(out, 0, (size_t)in->d_out * sizeof *out);
    if (has_direction)
        pca->kernels->scale(sums, 1 / (sqrt(square) * length), pca->kept, out);
    for (int64_t j = 0; j < in->n_extra && length > 0; j++)
        out[room + j] = (float)((double)in->extra[row * in->n_extra + j] / length);
    return has_direction;
}

static int64_t gather_pixels(const uint8_t *pixels, int64_t dim, uint16_t *pixel, double *value)
{
    int64_t count = 0;
    for (int64_t i = 0; i < dim; i++) {
        pixel[count] = (uint16_t)i;
        value[count] = pixels[i];
        count += pixels[i] != 0;
    }
    return count;
}

static void project_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Pca *pca = context;
    const PcaInput *in = pca->in;
    int64_t dim = in->dim, ld = pca->panel_count * PCA_PROJECT_COLS;
    size_t entries = (size_t)(PROJECT_ROWS * dim + 1);
    uint16_t *pixel = xmalloc(entries * sizeof *pixel);
    double *value = xmalloc(entries * sizeof *value);
    double *sums = xmalloc((size_t)(PROJECT_ROWS * ld + 1) * sizeof *sums);
    int64_t starts[PROJECT_ROWS + 1] = {0};
    PcaSparse sparse = {starts, pixel, value};
    for (int64_t group = begin; group < end && !stop_requested(); group++) {
        int64_t first = group * PROJECT_ROWS;
        int64_t count = in->rows - first < PROJECT_ROWS ? in->rows - first : PROJECT_ROWS;
        for (int64_t r = 0; r < count; r++)
            starts[r + 1] = starts[r] + gather_pixels(in->pixels + (first + r) * dim, dim,
                                                      pixel + starts[r], value + starts[r]);
        for (int64_t p = 0; p < pca->panel_count; p++)
            pca->kernels->project(pca->panels + p * dim * PCA_PROJECT_COLS, &sparse, count,
                                  sums + p * PCA_PROJECT_COLS, ld);
        pca->zero_rows[group] = 0;
        for (int64_t r = 0; r < count; r++)
            pca->zero_rows[group] += !finish_row(pca, sums + r * ld, first + r);
    }
    free(pixel);
    free(value);
    free(sums);
}

static Status stopped(Err *err)
{
    err_set(err, "stopped while bitmaps were projected");
    return STATUS_STOPPED;
}

static Status project_all(Pca *pca, Err *err)
{
    const PcaInput *in = pca->in;
    size_t columns = (size_t)(pca->panel_count * PCA_PROJECT_COLS);
    int64_t groups = (in->rows + PROJECT_ROWS - 1) / PROJECT_ROWS;
    TRY(mem_try((void **)&pca->panels, (columns * (size_t)in->dim + 1) * sizeof(double),
                "the components", err));
    pca->offsets = xmalloc((columns + 1) * sizeof(double));
    pca->zero_rows = xmalloc((size_t)groups * sizeof *pca->zero_rows);
    parallel_for(pca->panel_count, 1, fill_panels, pca);
    parallel_dynamic(groups, 4, project_rows, pca);
    return stop_requested() ? stopped(err) : STATUS_OK;
}

static double full_ink(const PcaInput *in)
{
    for (int64_t i = 0; i < in->rows * in->dim; i++)
        if (in->pixels[i] > 1)
            return 255.0;
    return 1.0;
}

static void fill_pictures(const Pca *pca, PcaStats *stats)
{
    const PcaInput *in = pca->in;
    int64_t dim = in->dim, count = pca->kept * dim;
    double unit = 1.0 / full_ink(in);
    stats->mean = xmalloc((size_t)dim * sizeof *stats->mean);
    stats->components = xmalloc((size_t)(count + 1) * sizeof *stats->components);
    stats->lengths = xmalloc((size_t)in->rows * sizeof *stats->lengths);
    for (int64_t i = 0; i < dim; i++)
        stats->mean[i] = (float)((double)pca->sums[i * (dim + 1) + dim] / (double)in->rows * unit);
    for (int64_t i = 0; i < count; i++)
        stats->components[i] = (float)pca->vectors[i];
    for (int64_t i = 0; i < in->rows; i++)
        stats->lengths[i] = (float)(pca->lengths[i] * unit);
}

static void fill_stats(const Pca *pca, PcaStats *stats)
{
    const PcaInput *in = pca->in;
    double scale = (double)in->rows * (double)in->rows, kept = 0;
    stats->dim = in->dim;
    stats->rank = pca->rank;
    stats->kept = pca->kept;
    stats->total = pca->total;
    stats->variance = xmalloc((size_t)in->dim * sizeof(double));
    for (int64_t k = 0; k < in->dim; k++) {
        stats->variance[k] = k < pca->rank ? pca->values[k] / scale : 0;
        kept += k < pca->kept ? stats->variance[k] : 0;
    }
    stats->explained = pca->kept == pca->rank ? 1 : kept / pca->total;
    for (int64_t g = 0; g < (in->rows + PROJECT_ROWS - 1) / PROJECT_ROWS; g++)
        stats->zero_rows += pca->zero_rows[g];
}

static Status allocate(Pca *pca, Err *err)
{
    size_t dim = (size_t)pca->in->dim;
    TRY(mem_try((void **)&pca->sums, (dim + 1) * (dim + 1) * sizeof(int64_t),
                "the covariance of bitmaps", err));
    TRY(mem_try((void **)&pca->covariance, dim * dim * sizeof(double), "the covariance of bitmaps",
                err));
    TRY(mem_try((void **)&pca->vectors, dim * dim * sizeof(double), "the eigenvectors", err));
    return mem_try((void **)&pca->values, dim * sizeof(double), "the eigenvalues", err);
}

static void clear(Pca *pca)
{
    free(pca->sums);
    free(pca->covariance);
    free(pca->values);
    free(pca->vectors);
    free(pca->panels);
    free(pca->offsets);
    free(pca->zero_rows);
    free(pca->lengths);
}

Status pca_project(const PcaInput *in, float *out, PcaStats *stats, Err *err)
{
    PcaStats unused = {0}, *report = stats ? stats : &unused;
    *report = (PcaStats){0};
    TRY(check_input(in, err));
    Pca pca = {.in = in, .kernels = kernels_of[cpu_isa()], .out = out};
    Status status = STATUS_OK;
    TRY_GOTO(allocate(&pca, err));
    if (stats)
        pca.lengths = xmalloc((size_t)in->rows * sizeof *pca.lengths);
    double start = clock_seconds();
    TRY_GOTO(pca_products(in, pca.kernels, pca.sums, err));
    parallel_for(in->dim, 16, fill_covariance, &pca);
    double covariance = clock_seconds();
    TRY_GOTO(eigen_symmetric(pca.covariance, in->dim, pca.values, pca.vectors, err));
    find_rank(&pca);
    pca_canonical(pca.values, in->dim, pca.rank, pca.vectors);
    double eigen = clock_seconds();
    TRY_GOTO(project_all(&pca, err));
    if (stats) {
        fill_stats(&pca, stats);
        fill_pictures(&pca, stats);
    }
    report->seconds_covariance = covariance - start;
    report->seconds_eigen = eigen - covariance;
    report->seconds_projection = clock_seconds() - eigen;
done:
    clear(&pca);
    return status;
}

void pca_stats_clear(PcaStats *stats)
{
    free(stats->variance);
    free(stats->mean);
    free(stats->components);
    free(stats->lengths);
    stats->variance = NULL;
    stats->mean = stats->components = stats->lengths = NULL;
}
