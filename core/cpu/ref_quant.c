#include "core/cpu/ref_quant.h"

#include "core/cpu/cpu.h"
#include "core/cpu/quant_row.h"
#include "core/tensor/shapes.h"

void ref_gemm_i8(Queue *queue, const GemmI8Args *args)
{
    (void)queue;
    gemm_i8_check(args);
    int64_t M = args->a.shape[0], K = args->a.shape[1], N = args->w.shape[0];
    const void *a = cpu_ptr(&args->a);
    const int8_t *w = cpu_ptr(&args->w);
    const float *scales = cpu_ptr(&args->scales), *bias = cpu_ptr(&args->bias);
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
            double sum = 0.0;
            for (int64_t k = 0; k < K; k++)
                sum += (double)element_get(a, args->a.dtype, m * K + k) * (double)w[n * K + k];
            sum = sum * (double)scales[n] + (bias ? (double)bias[n] : 0.0);
            element_put(cpu_ptr(&args->c), args->c.dtype, m * N + n, (float)sum);
        }
}

void ref_quantise(Queue *queue, const QuantiseArgs *args)
{
    (void)queue;
    quantise_check(args);
    int64_t rows = tensor_rows(&args->x), cols = tensor_cols(&args->x);
    int8_t *q = cpu_ptr(&args->q);
    float *scales = cpu_ptr(&args->scales);
    for (int64_t i = 0; i < rows; i++)
        scales[i] = quantise_row(cpu_ptr(&args->x), args->x.dtype, i * cols, q + i * cols, cols);
}
