#include "core/cpu/rope.h"

#include "core/base/parallel.h"
#include "core/tensor/attn_check.h"
#include "core/cpu/cpu.h"

static void rope_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    static void (*const kernels[ISA_COUNT])(const RopeRows *) = {
        rope_rows_generic, rope_rows_avx2, rope_rows_avx512, rope_rows_avx512bf16};
    RopeRows task = *(const RopeRows *)context;
    task.first = begin;
    task.last = end;
    kernels[cpu_isa()](&task);
}

void cpu_rope(Queue *queue, const RopeArgs *args)
{
    (void)queue;
    rope_check(args);
    RopeRows task = {.x = cpu_ptr(&args->x),
                     .type = args->x.dtype,
                     .positions = cpu_ptr(&args->positions),
                     .inv_freq = cpu_f32(&args->inv_freq),
                     .heads = args->x.shape[1],
                     .D = args->x.shape[2],
                     .scale = args->scale,
                     .inverse = args->inverse};
    parallel_for(args->x.shape[0], 32, rope_work, &task);
}
