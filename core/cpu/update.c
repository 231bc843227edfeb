#include <math.h>

#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/cpu/fast_ops.h"
#include "core/cpu/kernels.h"
#include "core/tensor/shapes.h"

enum { GRAIN = 1 << 15, BLOCK = 1 << 16 };

static void run_adamw(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    update_kernels()->adamw(context, begin, end);
}

void cpu_adamw(Queue *queue, const AdamwArgs *args)
{
    (void)queue;
    adamw_check(args);
    double correction1 = 1.0 - pow((double)args->beta1, (double)args->step);
    double correction2 = 1.0 - pow((double)args->beta2, (double)args->step);
    AdamwTask task = {.grad_scale = args->grad_scale.data ? *cpu_f32(&args->grad_scale) : 1.0f,
                      .beta1 = args->beta1,
                      .beta2 = args->beta2,
                      .eps = args->eps,
                      .rate = (float)((double)args->lr / correction1),
                      .scale_v = (float)(1.0 / correction2)};
    for (int64_t k = 0; k < args->n_items; k++) {
        const AdamwItem *item = &args->items[k];
        task.param = cpu_f32(&item->param);
        task.grad = cpu_f32(&item->grad);
        task.m = cpu_f32(&item->m);
        task.v = cpu_f32(&item->v);
        task.copy = cpu_ptr(&item->copy);
        task.copy_type = item->copy.dtype;
        task.keep = (float)(1.0 - (double)args->lr * (double)item->weight_decay);
        parallel_for(tensor_count(&item->param), GRAIN, run_adamw, &task);
    }
}

typedef struct SquareRun {
    const float *x;
    int64_t n;
    double *sums; /* (blocks) */
} SquareRun;

static void run_squares(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const SquareRun *run = context;
    for (int64_t b = begin; b < end; b++) {
        int64_t at = b * BLOCK, left = run->n - at;
        run->sums[b] = update_kernels()->sum_squares(run->x + at, left < BLOCK ? left : BLOCK);
    }
}

/* Blocks of one size, added in their order: the same for any number of threads. */
void cpu_grad_norm(Queue *queue, const GradNormArgs *args)
{
    double total = 0.0;
    for (int64_t k = 0; k < args->n_items; k++) {
        int64_t n = tensor_count(&args->items[k]), blocks = (n + BLOCK - 1) / BLOCK;
        SquareRun run = {.x = cpu_f32(&args->items[k]),
                         .n = n,
                         .sums = cpu_scratch(queue, (size_t)blocks * sizeof(double))};
        parallel_for(blocks, 1, run_squares, &run);
        for (int64_t b = 0; b < blocks; b++)
            total += run.sums[b];
    }
    double norm = sqrt(total);
    *cpu_f32(&args->norm) = (float)norm;
    if (args->max_norm > 0)
        *cpu_f32(&args->clip) = (float)fmin(1.0, (double)args->max_norm / (norm + 1e-6));
}
