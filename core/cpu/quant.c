#include "core/cpu/quant.h"

#include "core/base/parallel.h"
#include "core/cpu/cpu.h"
#include "core/cpu/quant_kernels.h"
#include "core/cpu/ref_quant.h"

typedef struct Product {
    const GemmI8Args *args;
    QuantInput input;
} Product;

static void product_work(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Product *p = context;
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

void cpu_gemm_i8(Queue *queue, const GemmI8Args *args)
{
    gemm_i8_check(args);
    int64_t M = args->a.shape[0], K = args->a.shape[1], N = args->w.shape[0];
    if (M == 0 || N == 0)
        return;
    Product p = {.args = args};
    quant_kernels()->prepare(&p.input, cpu_ptr(&args->a), args->a.dtype, M, K,
                             cpu_scratch(queue, quant_input_bytes(M, K)));
    parallel_for(N, (1 << 15) / (K + 1) + 1, product_work, &p);
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
