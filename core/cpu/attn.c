#include "core/cpu/attn.h"

#include "core/base/parallel.h"
#include "core/tensor/attn_check.h"
#include "core/cpu/attn_kernels.h"
#include "core/cpu/cpu.h"

static const struct {
    FlashScratchFn *flash_scratch;
    FlashFn *flash;
    FlashBackwardScratchFn *backward_scratch;
    FlashBackwardFn *backward;
} kernels[ISA_COUNT] = {
#define KERNELS(isa)                                                                               \
    {                                                                                              \
        flash_scratch_##isa, flash_##isa, flash_backward_scratch_##isa, flash_backward_##isa       \
    }
    [ISA_GENERIC] = KERNELS(generic),
    [ISA_AVX2] = KERNELS(avx2),
    [ISA_AVX512] = KERNELS(avx512),
    [ISA_AVX512BF16] = KERNELS(avx512bf16),
#undef KERNELS
};

/* Query rows (queries times heads of one KV head) that share one packing of the keys. */
enum { TASK_ROWS = 256 };

static const void *offset(const void *data, DType type, int64_t elements)
{
    return (const char *)data + (size_t)elements * dtype_bytes(type);
}

typedef struct Forward {
    const AttnArgs *args;
    AttnShape s;
    int64_t chunk, n_chunks; /* queries of a task; tasks of a sequence and KV head */
    const int32_t *limits;   /* 1 .. T */
    char *scratch;
    size_t scratch_bytes; /* of one worker */
} Forward;

static FlashTask forward_task(const Forward *f, int64_t index)
{
    const AttnArgs *args = f->args;
    const AttnShape *s = &f->s;
    DType type = args->q.dtype;
    /* The last queries see most keys: handing them out first lets the workers end together. */
    int64_t begin = (f->n_chunks - 1 - index / (s->B * s->K)) * f->chunk;
    int64_t head = index % s->K, b = index / s->K % s->B, G = s->H / s->K;
    int64_t count = s->T - begin < f->chunk ? s->T - begin : f->chunk;
    int64_t q0 = ((b * s->T + begin) * s->H + head * G) * s->D;
    int64_t kv0 = (b * s->T * s->K + head) * s->D, row = s->K * s->D;
    FlashTask task = {.q = offset(cpu_ptr(&args->q), type, q0),
                      .out = (void *)offset(cpu_ptr(&args->out), type, q0),
                      .q_type = type,
                      .out_type = type,
                      .q_stride = s->H * s->D,
                      .out_stride = s->H * s->D,
                      .lse_stride = 1,
                      .lse_head_stride = s->T,
                      .limits = f->limits + begin,
                      .n_queries = count,
                      .group = G,
                      .D = s->D,
                      .key_end = begin + count,
                      .k = {.data = offset(cpu_ptr(&args->k), type, kv0), type, row},
                      .v = {.data = offset(cpu_ptr(&args->v), type, kv0), type, row},
                      .scale = args->scale};
    if (tensor_present(&args->lse))
        task.lse = (float *)cpu_ptr(&args->lse) + (b * s->H + head * G) * s->T + begin;
    return task;
}

static void forward_work(void *context, int64_t begin, int64_t end, int worker)
{
    const Forward *f = context;
    for (int64_t i = begin; i < end; i++) {
        FlashTask task = forward_task(f, i);
        kernels[cpu_isa()].flash(&task, f->scratch + (size_t)worker * f->scratch_bytes);
    }
}

void cpu_attn(Queue *queue, const AttnArgs *args)
{
    Forward f = {.args = args, .s = attn_check(args)};
    int64_t G = f.s.H / f.s.K;
    if (tensor_count(&args->q) == 0)
        return;
    f.chunk = G < TASK_ROWS ? TASK_ROWS / G : 1;
    f.chunk = f.chunk < f.s.T ? f.chunk : f.s.T;
    f.n_chunks = (f.s.T + f.chunk - 1) / f.chunk;
    FlashTask largest = {.n_queries = f.chunk, .group = G, .D = f.s.D};
    f.scratch_bytes = kernels[cpu_isa()].flash_scratch(&largest);
    size_t limits_bytes = ((size_t)f.s.T * 4 + 63) / 64 * 64;
    char *memory = cpu_scratch(queue, limits_bytes + (size_t)parallel_width() * f.scratch_bytes);
    int32_t *limits = (int32_t *)memory;
    for (int64_t t = 0; t < f.s.T; t++)
        limits[t] = (int32_t)t + 1;
    f.limits = limits;
    f.scratch = memory + limits_bytes;
    parallel_dynamic(f.n_chunks * f.s.B * f.s.K, 1, forward_work, &f);
}

typedef struct BackwardPass {
    const AttnBackwardArgs *args;
    AttnShape s;
    char *scratch;
    size_t scratch_bytes; /* of one worker */
} BackwardPass;

static FlashBackwardTask backward_task(const BackwardPass *pass, int64_t index)
{
    const AttnBackwardArgs *args = pass->args;
    const AttnShape *s = &pass->s;
    DType type = args->q.dtype;
    int64_t head = index % s->K, b = index / s->K, G = s->H / s->K;
    int64_t q0 = (b * s->T * s->H + head * G) * s->D, kv0 = (b * s->T * s->K + head) * s->D;
    int64_t stats = (b * s->H + head * G) * s->T;
    return (FlashBackwardTask){.q = offset(cpu_ptr(&args->q), type, q0),
                               .k = offset(cpu_ptr(&args->k), type, kv0),
                               .v = offset(cpu_ptr(&args->v), type, kv0),
                               .out = offset(cpu_ptr(&args->out), type, q0),
                               .dout = offset(cpu_ptr(&args->dout), type, q0),
                               .dq = (void *)offset(cpu_ptr(&args->dq), type, q0),
                               .dk = (void *)offset(cpu_ptr(&args->dk), type, kv0),
                               .dv = (void *)offset(cpu_ptr(&args->dv), type, kv0),
                               .lse = (const float *)cpu_ptr(&args->lse) + stats,
                               .delta = (float *)cpu_ptr(&args->scratch) + stats,
                               .type = type,
                               .T = s->T,
                               .D = s->D,
                               .group = G,
                               .q_stride = s->H * s->D,
                               .kv_stride = s->K * s->D,
                               .scale = args->scale};
}

static void backward_work(void *context, int64_t begin, int64_t end, int worker)
{
    const BackwardPass *pass = context;
    for (int64_t i = begin; i < end; i++) {
        FlashBackwardTask task = backward_task(pass, i);
        kernels[cpu_isa()].backward(&task, pass->scratch + (size_t)worker * pass->scratch_bytes);
    }
}

void cpu_attn_backward(Queue *queue, const AttnBackwardArgs *args)
{
    BackwardPass pass = {.args = args, .s = attn_backward_check(args)};
    if (tensor_count(&args->q) == 0)
        return;
    FlashBackwardTask any = backward_task(&pass, 0);
    pass.scratch_bytes = kernels[cpu_isa()].backward_scratch(&any);
    pass.scratch = cpu_scratch(queue, (size_t)parallel_width() * pass.scratch_bytes);
    parallel_dynamic(pass.s.B * pass.s.K, 1, backward_work, &pass);
}
