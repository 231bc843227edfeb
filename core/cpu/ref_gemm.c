#include <math.h>

#include "core/cpu/cpu.h"
#include "core/cpu/ref_ops.h"
#include "core/tensor/shapes.h"

static double gelu(double x)
{
    return 0.5 * x * (1.0 + erf(x * M_SQRT1_2));
}

void ref_gemm(Queue *queue, const GemmArgs *args)
{
    (void)queue;
    GemmDims d = gemm_dims(args);
    const void *a = cpu_ptr(&args->a), *b = cpu_ptr(&args->b);
    void *c = cpu_ptr(&args->c), *pre = cpu_ptr(&args->pre);
    const float *bias = cpu_f32(&args->bias);
    int64_t a_row = args->a_transposed ? 1 : d.K, a_col = args->a_transposed ? d.M : 1;
    int64_t b_row = args->b_transposed ? 1 : d.N, b_col = args->b_transposed ? d.K : 1;
    for (int64_t i = 0; i < d.M; i++) {
        for (int64_t j = 0; j < d.N; j++) {
            double sum = bias ? (double)bias[j] : 0.0;
            for (int64_t k = 0; k < d.K; k++)
                sum += (double)element_get(a, args->a.dtype, i * a_row + k * a_col) *
                       (double)element_get(b, args->b.dtype, k * b_row + j * b_col);
            int64_t at = i * d.N + j;
            if (args->accumulate)
                sum += (double)element_get(c, args->c.dtype, at);
            if (pre)
                element_put(pre, args->pre.dtype, at, (float)sum);
            if (args->act == ACT_GELU)
                sum = gelu(sum);
            element_put(c, args->c.dtype, at, (float)sum);
        }
    }
}

void ref_sum_rows(Queue *queue, const SumRowsArgs *args)
{
    (void)queue;
    int64_t rows = tensor_rows(&args->x), N = tensor_cols(&args->x);
    CHECK(tensor_count(&args->out) == N, "sum_rows: shapes");
    const void *x = cpu_ptr(&args->x);
    float *out = cpu_f32(&args->out);
    for (int64_t j = 0; j < N; j++) {
        double sum = args->accumulate ? (double)out[j] : 0.0;
        for (int64_t i = 0; i < rows; i++)
            sum += (double)element_get(x, args->x.dtype, i * N + j);
        out[j] = (float)sum;
    }
}
