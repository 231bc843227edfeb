#include "core/cpu/quant.h"

#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/cpu/product.h"
#include "core/cpu/quant_kernels.h"
#include "core/tensor/shapes.h"

enum { FEW_ROWS = 16 }; /* up to here reading w is the work, not the products */

typedef struct Few {
    const GemmI8Args *args;
    QuantInput input;
} Few;

static void few_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Few *p = context;
    const GemmI8Args *args = p->args;
    const float *bias = cpu_f32(&args->bias);
    QuantTask task = {.input = p->input,
                      .w = (const int8_t *)cpu_ptr(&args->w) + begin * p->input.K,
                      .scales = cpu_f32(&args->scales) + begin,
                      .bias = bias ? bias + begin : NULL,
                      .c = (char *)cpu_ptr(&args->c) + (size_t)begin * dtype_bytes(args->c.dtype),
                      .c_type = args->c.dtype,
                      .n = end - begin,
                      .ldc = args->c.shape[1]};
    quant_kernels()->product(&task);
}

static void few_rows(Queue *queue, const GemmI8Args *args)
{
    int64_t M = args->a.shape[0], K = args->a.shape[1];
    Few p = {.args = args};
    quant_kernels()->prepare(&p.input, cpu_ptr(&args->a), args->a.dtype, M, K,
                             cpu_scratch(queue, quant_input_bytes(M, K)));
    parallel_for(args->w.shape[0], (1 << 15) / (K + 1) + 1, few_work, &p);
}

/* Many rows: pieces of w become a compute type again, each in its worker's scratch, and are
 * multiplied as such. */
typedef struct Many {
    const GemmI8Args *args;
    DType type; /* of the products */
    const void *a;
    int64_t step;
    const ProductPlan *whole, *last;
    char *scratch;
    size_t w_bytes, scratch_bytes; /* of one worker */
    bool narrow;                   /* products are float32, c is bfloat16 */
} Many;

static void many_work(void *context, int64_t begin, int64_t end, int worker)
{
    const Many *p = context;
    const GemmI8Args *args = p->args;
    int64_t K = args->w.shape[1], N = args->w.shape[0];
    char *scratch = p->scratch + (size_t)worker * p->scratch_bytes;
    float *sums = (float *)(void *)(scratch + p->w_bytes);
    const float *bias = cpu_f32(&args->bias);
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i * p->step, count = N - n < p->step ? N - n : p->step;
        quant_kernels()->dequantise((const int8_t *)cpu_ptr(&args->w) + n * K,
                                    cpu_f32(&args->scales) + n, scratch, p->type, count, K);
        product_run(count == p->step ? p->whole : p->last, worker, p->a, scratch,
                    bias ? bias + n : NULL, p->narrow ? sums : cpu_at(&args->c, n));
        for (int64_t m = 0; m < args->a.shape[0] && p->narrow; m++)
            for (int64_t j = 0; j < count; j++)
                *(uint16_t *)cpu_at(&args->c, m * N + n + j) = f32_to_bf16(sums[m * p->step + j]);
    }
}

static size_t padded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static void many_rows(Queue *queue, const GemmI8Args *args)
{
    enum { PIECE_BYTES = 1 << 20 };
    int64_t M = args->a.shape[0], K = args->a.shape[1], N = args->w.shape[0];
    Many p = {.args = args, .type = args->a.dtype, .a = cpu_ptr(&args->a)};
    bool widen = p.type == DTYPE_BF16 && !product_takes_bf16(K);
    if (widen)
        p.type = DTYPE_F32;
    size_t row_bytes = (size_t)K * dtype_bytes(p.type);
    p.step = (int64_t)(PIECE_BYTES / row_bytes) / 64 * 64;
    p.step = p.step < 64 ? 64 : p.step;
    p.step = p.step < N ? p.step : N;
    p.narrow = p.type == DTYPE_F32 && args->c.dtype == DTYPE_BF16;
    p.w_bytes = padded((size_t)p.step * row_bytes);
    p.scratch_bytes = p.w_bytes + (p.narrow ? padded((size_t)(M * p.step) * sizeof(float)) : 0);
    size_t wide_bytes = widen ? padded((size_t)(M * K) * sizeof(float)) : 0;
    p.scratch = cpu_scratch(queue, wide_bytes + (size_t)parallel_width() * p.scratch_bytes);
    if (widen) {
        for (int64_t i = 0; i < M * K; i++)
            ((float *)p.scratch)[i] = element_get(p.a, DTYPE_BF16, i);
        p.a = p.scratch;
        p.scratch += wide_bytes;
    }
    Product product = {.M = M,
                       .N = p.step,
                       .K = K,
                       .lda = K,
                       .ldb = K,
                       .ldc = p.narrow ? p.step : N,
                       .in = p.type,
                       .out = p.narrow ? DTYPE_F32 : args->c.dtype,
                       .b_transposed = true,
                       .bias = tensor_present(&args->bias)};
    product_begin(queue);
    p.whole = product_plan(queue, &product);
    product.N = N % p.step ? N % p.step : p.step;
    p.last = product_plan(queue, &product);
    parallel_dynamic((N + p.step - 1) / p.step, 1, many_work, &p);
}

void cpu_gemm_i8(Queue *queue, const GemmI8Args *args)
{
    gemm_i8_check(args);
    if (tensor_count(&args->c) == 0)
        return;
    if (args->a.shape[0] <= FEW_ROWS || args->a.shape[1] == 0)
        few_rows(queue, args);
    else
        many_rows(queue, args);
}

static void quantise_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const QuantiseArgs *args = context;
    int64_t cols = tensor_cols(&args->x);
    int8_t *q = cpu_ptr(&args->q);
    float *scales = cpu_f32(&args->scales);
    for (int64_t i = begin; i < end; i++)
        scales[i] = quant_kernels()->quantise(cpu_ptr(&args->x), args->x.dtype, i * cols,
                                              q + i * cols, cols);
}

void cpu_quantise(Queue *queue, const QuantiseArgs *args)
{
    (void)queue;
    quantise_check(args);
    QuantiseArgs copy = *args;
    parallel_for(tensor_rows(&args->x), 16, quantise_work, &copy);
}
