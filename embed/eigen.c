#include "embed/eigen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/isa.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "embed/eigen_parts.h"

static const EigenKernels *const kernels_of[ISA_COUNT] = {
    &eigen_kernels_generic, &eigen_kernels_avx2, &eigen_kernels_avx512, &eigen_kernels_avx512bf16};

static Status work_init(EigenWork *work, int64_t n, Err *err)
{
    int64_t cols = (n + EIGEN_STRIP - 1) / EIGEN_STRIP * EIGEN_STRIP, ld = cols + 8;
    int64_t panels = (n + EIGEN_PANEL - 1) / EIGEN_PANEL * EIGEN_PANEL;
    *work = (EigenWork){.kernels = kernels_of[cpu_isa()], .n = n, .cols = cols, .ld = ld};
    size_t square = (size_t)n * (size_t)(panels > ld ? panels : ld);
    size_t block = 2 * EIGEN_BLOCK * (size_t)ld;
    void *memory = NULL;
    TRY(mem_try(&memory, (2 * square + 2 * block + 3 * (size_t)ld) * sizeof(double),
                "the work space of the eigen-solver", err));
    work->a = memory;
    work->q = work->a + square;
    work->vw = work->q + square;
    work->wv = work->vw + block;
    work->d = work->wv + block;
    work->e = work->d + ld;
    work->tau = work->e + ld;
    return STATUS_OK;
}

/* The exponent of the largest magnitude, so that a matrix scaled by it can neither overflow nor
 * lose what matters when its elements are squared. */
static Status scale_exponent(const double *a, int64_t count, int *exponent, Err *err)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(a[i]))
            return err_set(err, "the matrix holds a value that is not finite (element %lld)",
                           (long long)i);
        largest = fabs(a[i]) > largest ? fabs(a[i]) : largest;
    }
    frexp(largest, exponent);
    return STATUS_OK;
}

/* A power of two that ldexp would multiply by, in two steps so that neither is out of range. */
static void scale(double *x, int64_t n, int exponent)
{
    double first = ldexp(1, exponent / 2), second = ldexp(1, exponent - exponent / 2);
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] * first * second;
}

typedef struct Ranked {
    double value;
    int64_t index;
} Ranked;

static int by_falling_value(const void *left, const void *right)
{
    const Ranked *l = left, *r = right;
    if (l->value != r->value)
        return l->value < r->value ? 1 : -1;
    return (l->index > r->index) - (l->index < r->index);
}

typedef struct Collect {
    const EigenWork *work;
    const Ranked *ranked;
    double *vectors;
} Collect;

static void collect_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Collect *collect = context;
    int64_t n = collect->work->n;
    for (int64_t k = begin; k < end; k++) {
        const double *row = collect->work->a + collect->ranked[k].index * EIGEN_PANEL;
        for (int64_t i = 0; i < n; i += EIGEN_PANEL, row += n * EIGEN_PANEL) {
            int64_t count = n - i < EIGEN_PANEL ? n - i : EIGEN_PANEL;
            memcpy(collect->vectors + k * n + i, row, (size_t)count * sizeof(double));
        }
    }
}

Status eigen_symmetric(const double *a, int64_t n, double *values, double *vectors, Err *err)
{
    CHECK(n >= 1, "a matrix of %lld rows", (long long)n);
    int exponent = 0;
    TRY(scale_exponent(a, n * n, &exponent, err));
    EigenWork work;
    TRY(work_init(&work, n, err));
    Ranked *ranked = xmalloc((size_t)n * sizeof *ranked);
    for (int64_t i = 0; i < n; i++) {
        double *row = work.a + i * work.ld;
        memcpy(row, a + i * n, (size_t)n * sizeof(double));
        memset(row + n, 0, (size_t)(work.ld - n) * sizeof(double));
        scale(row, n, -exponent);
    }
    Status status = STATUS_OK;
    TRY_GOTO(eigen_reduce(&work, err));
    TRY_GOTO(eigen_iterate(&work, err));
    scale(work.d, n, exponent);
    for (int64_t k = 0; k < n; k++)
        ranked[k] = (Ranked){work.d[k], k};
    qsort(ranked, (size_t)n, sizeof *ranked, by_falling_value);
    for (int64_t k = 0; k < n; k++)
        values[k] = ranked[k].value;
    parallel_for(n, 16, collect_rows, &(Collect){&work, ranked, vectors});
done:
    free(ranked);
    free(work.a);
    return status;
}
