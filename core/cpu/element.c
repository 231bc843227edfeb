#include <stdatomic.h>

#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/cpu/element_kernels.h"
#include "core/cpu/fast_ops.h"
#include "core/cpu/ref_ops.h"
#include "core/tensor/shapes.h"

/* Pieces are multiples of every vector's width, so that they never share one. */
enum { PIECE = 1 << 13 };

static void pieces(int64_t n, ParallelFn *fn, void *context)
{
    parallel_for((n + PIECE - 1) / PIECE, 2, fn, context);
}

static int64_t piece_end(int64_t end, int64_t n)
{
    return end * PIECE < n ? end * PIECE : n;
}

static bool is_float(DType type)
{
    return type == DTYPE_F32 || type == DTYPE_BF16;
}

typedef struct CastRun {
    const CastArgs *args;
    int64_t n;
} CastRun;

static void run_cast(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const CastRun *run = context;
    const Tensor *x = &run->args->x, *y = &run->args->y;
    element_kernels()->cast(cpu_ptr(x), x->dtype, cpu_ptr(y), y->dtype, begin * PIECE,
                            piece_end(end, run->n));
}

void cpu_cast(Queue *queue, const CastArgs *args)
{
    CastRun run = {args, tensor_count(&args->x)};
    if (args->x.dtype == args->y.dtype || !is_float(args->x.dtype) || !is_float(args->y.dtype)) {
        ref_cast(queue, args);
        return;
    }
    CHECK(tensor_count(&args->y) == run.n, "cast: shapes");
    pieces(run.n, run_cast, &run);
}

typedef struct WeightedRun {
    WeightedTask task;
    int64_t n;
} WeightedRun;

static void run_weighted(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const WeightedRun *run = context;
    element_kernels()->weighted_sum(&run->task, begin * PIECE, piece_end(end, run->n));
}

void cpu_weighted_sum(Queue *queue, const WeightedSumArgs *args)
{
    weighted_sum_check(args);
    const void **data = cpu_scratch(queue, (size_t)args->n * sizeof *data);
    for (int64_t k = 0; k < args->n; k++)
        data[k] = cpu_ptr(&args->x[k]);
    WeightedRun run = {.task = {.x = args->x,
                                .data = data,
                                .weights = args->weights,
                                .n = args->n,
                                .y = cpu_ptr(&args->y),
                                .type = args->y.dtype,
                                .accumulate = args->accumulate},
                       .n = tensor_count(&args->y)};
    pieces(run.n, run_weighted, &run);
}

typedef struct DropoutRun {
    DropoutTask task;
    int64_t n;
} DropoutRun;

static void run_dropout(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const DropoutRun *run = context;
    element_kernels()->dropout(&run->task, begin * PIECE, piece_end(end, run->n));
}

void cpu_dropout(Queue *queue, const DropoutArgs *args)
{
    (void)queue;
    CHECK(args->p >= 0 && args->p < 1, "dropout: p = %g", (double)args->p);
    CHECK(is_float(args->x.dtype) && args->x.dtype == args->y.dtype &&
              tensor_count(&args->x) == tensor_count(&args->y),
          "dropout: shapes or types");
    DropoutRun run = {.task = {.x = cpu_ptr(&args->x),
                               .y = cpu_ptr(&args->y),
                               .type = args->x.dtype,
                               .seed = args->seed,
                               .first = args->first,
                               .threshold = (uint32_t)((double)args->p * 4294967296.0),
                               .factor = 1.0f / (1.0f - args->p)},
                      .n = tensor_count(&args->x)};
    pieces(run.n, run_dropout, &run);
}

typedef struct FiniteRun {
    const Tensor *x;
    int64_t n;
    atomic_int found;
} FiniteRun;

static void run_finite(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    FiniteRun *run = context;
    if (element_kernels()->non_finite(cpu_ptr(run->x), run->x->dtype, begin * PIECE,
                                      piece_end(end, run->n)))
        atomic_store(&run->found, 1);
}

void cpu_non_finite(Queue *queue, const NonFiniteArgs *args)
{
    (void)queue;
    CHECK(is_float(args->x.dtype) && args->out.dtype == DTYPE_I32, "non_finite: types");
    FiniteRun run = {.x = &args->x, .n = tensor_count(&args->x)};
    pieces(run.n, run_finite, &run);
    *(int32_t *)cpu_ptr(&args->out) = atomic_load(&run.found);
}
