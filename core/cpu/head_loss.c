#include <math.h>

#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/cpu/fast_ops.h"
#include "core/cpu/kernels.h"
#include "core/cpu/shapes.h"

/* Rows whose logits exist at a time: enough for the products to run at their rate, few enough for
 * the memory (at V = 65,536 in bfloat16: 67 + 33 MB). */
enum { CHUNK = 256 };

typedef struct HeadRun {
    const HeadLossArgs *args;
    int64_t first, V;
    float *logits; /* (rows, V) */
    char *dlogits; /* (rows, V) of x's type, or NULL; may be logits */
    DType type;
} HeadRun;

static void run_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const HeadRun *run = context;
    const int32_t *targets = cpu_ptr(&run->args->targets);
    float *losses = cpu_f32(&run->args->losses);
    size_t row_bytes = (size_t)run->V * dtype_bytes(run->type);
    for (int64_t r = begin; r < end; r++) {
        int32_t target = targets[run->first + r];
        void *out = run->dlogits ? run->dlogits + (size_t)r * row_bytes : NULL;
        losses[run->first + r] = 0.0f;
        if (target < 0) {
            if (out)
                memset(out, 0, row_bytes);
            continue;
        }
        CHECK(target < run->V, "head_loss: target %d of %lld", target, (long long)run->V);
        CrossEntropyTask task = {.logits = run->logits + r * run->V,
                                 .n = run->V,
                                 .target = target,
                                 .scale = run->args->grad_scale,
                                 .type = run->type,
                                 .out = out};
        losses[run->first + r] = loss_kernels()->cross_entropy(&task);
    }
}

/* dx, dweight and dbias of one chunk from its dlogits; the first chunk may overwrite. */
static void chunk_gradients(Queue *queue, const HeadLossArgs *args, const Tensor *x,
                            const Tensor *dlogits, int64_t first)
{
    bool accumulate = args->accumulate || first > 0;
    if (args->dx.data) {
        Tensor dx = tensor_slice(&args->dx, first, x->shape[0]);
        cpu_gemm(queue, &(GemmArgs){.a = *dlogits, .b = args->weight, .c = dx});
    }
    if (args->dweight.data)
        cpu_gemm(queue, &(GemmArgs){.a = *dlogits,
                                    .b = *x,
                                    .c = args->dweight,
                                    .a_transposed = true,
                                    .accumulate = accumulate});
    if (args->dbias.data)
        cpu_sum_rows(queue,
                     &(SumRowsArgs){.x = *dlogits, .out = args->dbias, .accumulate = accumulate});
}

void cpu_head_loss(Queue *queue, const HeadLossArgs *args)
{
    head_loss_check(args);
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x), V = tensor_rows(&args->weight);
    bool gradients = args->dx.data || args->dweight.data || args->dbias.data;
    int64_t most = N < CHUNK ? N : CHUNK;
    DType type = args->x.dtype;
    size_t logits_bytes = (size_t)(most * V) * sizeof(float);
    bool apart = gradients && type != DTYPE_F32;
    char *memory = cpu_held(queue, logits_bytes + (apart ? logits_bytes / 2 : 0));
    Tensor x = tensor_as_2d(&args->x, N, C);
    for (int64_t first = 0; first < N; first += CHUNK) {
        int64_t rows = N - first < CHUNK ? N - first : CHUNK;
        Tensor part = tensor_slice(&x, first, rows);
        Tensor logits = tensor_2d(cpu_flip(memory), DTYPE_F32, rows, V);
        cpu_gemm(queue, &(GemmArgs){.a = part,
                                    .b = args->weight,
                                    .c = logits,
                                    .bias = args->bias,
                                    .b_transposed = true});
        HeadRun run = {.args = args,
                       .first = first,
                       .V = V,
                       .logits = (float *)memory,
                       .dlogits = !gradients ? NULL
                                  : apart    ? memory + logits_bytes
                                             : memory,
                       .type = type};
        parallel_dynamic(rows, 8, run_rows, &run);
        if (gradients) {
            Tensor dlogits = tensor_2d(cpu_flip(run.dlogits), type, rows, V);
            chunk_gradients(queue, args, &part, &dlogits, first);
        }
    }
}
