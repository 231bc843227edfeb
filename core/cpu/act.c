#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/cpu/fast_ops.h"
#include "core/cpu/kernels.h"
#include "core/tensor/shapes.h"

enum { GRAIN = 16384 };

static void run_act(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const ActArgs *args = context;
    const ActKernels *kernels = act_kernels();
    void *x = cpu_at(&args->x, begin), *y = cpu_at(&args->y, begin);
    if (args->act == ACT_GELU)
        kernels->gelu(args->x.dtype, x, y, end - begin);
    else
        kernels->swiglu(args->x.dtype, x, cpu_at(&args->gate, begin), y, end - begin);
}

void cpu_act(Queue *queue, const ActArgs *args)
{
    (void)queue;
    act_check(args);
    ActArgs copy = *args;
    parallel_for(tensor_count(&args->x), GRAIN, run_act, &copy);
}

static void run_act_backward(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const ActBackwardArgs *args = context;
    const ActKernels *kernels = act_kernels();
    void *x = cpu_at(&args->x, begin), *dy = cpu_at(&args->dy, begin);
    void *dx = cpu_at(&args->dx, begin);
    if (args->act == ACT_GELU)
        kernels->gelu_backward(args->x.dtype, x, dy, dx, end - begin);
    else
        kernels->swiglu_backward(args->x.dtype, x, cpu_at(&args->gate, begin), dy, dx,
                                 cpu_at(&args->dgate, begin), end - begin);
}

void cpu_act_backward(Queue *queue, const ActBackwardArgs *args)
{
    (void)queue;
    act_backward_check(args);
    ActBackwardArgs copy = *args;
    parallel_for(tensor_count(&args->x), GRAIN, run_act_backward, &copy);
}
