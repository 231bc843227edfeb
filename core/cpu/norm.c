#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/cpu/fast_ops.h"
#include "core/cpu/kernels.h"
#include "core/tensor/shapes.h"

/* Rows whose sums of dweight and dbias are made together, whatever the number of threads. */
enum { GRAIN = 16, SLAB = 64 };

typedef struct NormRun {
    const NormArgs *args;
    int64_t C;
    float *rows; /* (workers, C): where the caller wants no sum */
} NormRun;

static void run_norm(void *context, int64_t begin, int64_t end, int worker)
{
    const NormRun *run = context;
    const NormArgs *a = run->args;
    int64_t C = run->C;
    float mean, rstd;
    for (int64_t i = begin; i < end; i++) {
        NormRow row = {
            .kind = a->kind,
            .C = C,
            .eps = a->eps,
            .residual = a->residual.data ? cpu_f32(&a->residual) + i * C : NULL,
            .weight = cpu_f32(&a->weight),
            .bias = cpu_f32(&a->bias),
            .sum = a->sum.data ? cpu_f32(&a->sum) + i * C : run->rows + worker * C,
            .mean = a->mean.data ? cpu_f32(&a->mean) + i : &mean,
            .rstd = a->rstd.data ? cpu_f32(&a->rstd) + i : &rstd,
        };
        norm_kernels()->norm(a->x.dtype, a->y.dtype, &row, cpu_at(&a->x, i * C),
                             cpu_at(&a->y, i * C));
    }
}

void cpu_norm(Queue *queue, const NormArgs *args)
{
    norm_check(args);
    NormRun run = {.args = args, .C = tensor_cols(&args->x)};
    run.rows = cpu_scratch(queue, (size_t)(parallel_width() * run.C) * sizeof *run.rows);
    parallel_for(tensor_rows(&args->x), GRAIN, run_norm, &run);
}

typedef struct BackwardRun {
    const NormBackwardArgs *args;
    int64_t N, C;
    float *sums; /* (slabs, 2, C): dweight and dbias of each slab */
} BackwardRun;

static void run_backward(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const BackwardRun *run = context;
    const NormBackwardArgs *a = run->args;
    int64_t C = run->C;
    for (int64_t slab = begin; slab < end; slab++) {
        float *sums = run->sums + slab * 2 * C;
        memset(sums, 0, (size_t)(2 * C) * sizeof *sums);
        int64_t last = (slab + 1) * SLAB < run->N ? (slab + 1) * SLAB : run->N;
        for (int64_t i = slab * SLAB; i < last; i++) {
            NormBackwardRow row = {.kind = a->kind,
                                   .C = C,
                                   .mean = a->kind == NORM_LAYER ? cpu_f32(&a->mean)[i] : 0.0f,
                                   .rstd = cpu_f32(&a->rstd)[i],
                                   .weight = cpu_f32(&a->weight),
                                   .dweight = sums,
                                   .dbias = sums + C,
                                   .accumulate = a->accumulate};
            norm_kernels()->backward(a->dy.dtype, &row, cpu_f32(&a->x) + i * C,
                                     cpu_at(&a->dy, i * C), cpu_f32(&a->dx) + i * C);
        }
    }
}

/* out (C) += the slabs' sums in their order; `which` 0: dweight, 1: dbias. */
static void add_slabs(const BackwardRun *run, int64_t slabs, int which, const Tensor *out)
{
    float *to = cpu_f32(out);
    for (int64_t j = 0; to && j < run->C; j++) {
        double sum = (double)to[j];
        for (int64_t s = 0; s < slabs; s++)
            sum += (double)run->sums[(s * 2 + which) * run->C + j];
        to[j] = (float)sum;
    }
}

void cpu_norm_backward(Queue *queue, const NormBackwardArgs *args)
{
    norm_backward_check(args);
    BackwardRun run = {.args = args, .N = tensor_rows(&args->x), .C = tensor_cols(&args->x)};
    int64_t slabs = (run.N + SLAB - 1) / SLAB;
    run.sums = cpu_scratch(queue, (size_t)(slabs * 2 * run.C) * sizeof *run.sums);
    parallel_for(slabs, 1, run_backward, &run);
    add_slabs(&run, slabs, 0, &args->dweight);
    add_slabs(&run, slabs, 1, &args->dbias);
}
