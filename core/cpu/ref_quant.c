#include "core/cpu/ref_quant.h"

#include "core/cpu/cpu.h"
#include "core/cpu/quant_row.h"

void gemm_i8_check(const GemmI8Args *args)
{
    const Tensor *a = &args->a, *w = &args->w, *c = &args->c;
    CHECK(a->n_dims == 2 && w->n_dims == 2 && c->n_dims == 2, "a, w and c are matrices");
    CHECK(a->shape[1] == w->shape[1] && c->shape[0] == a->shape[0] && c->shape[1] == w->shape[0],
          "(%lld, %lld) times (%lld, %lld)^T into (%lld, %lld)", (long long)a->shape[0],
          (long long)a->shape[1], (long long)w->shape[0], (long long)w->shape[1],
          (long long)c->shape[0], (long long)c->shape[1]);
    CHECK(is_compute_type(a->dtype) && is_compute_type(c->dtype) && w->dtype == DTYPE_I8,
          "types %s, %s, %s", dtype_name(a->dtype), dtype_name(w->dtype), dtype_name(c->dtype));
    CHECK(args->scales.dtype == DTYPE_F32 && tensor_count(&args->scales) == w->shape[0],
          "one float32 scale per row of w");
    CHECK(!tensor_present(&args->bias) ||
              (args->bias.dtype == DTYPE_F32 && tensor_count(&args->bias) == w->shape[0]),
          "one float32 bias per row of w");
}

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

void quantise_check(const QuantiseArgs *args)
{
    CHECK(is_compute_type(args->x.dtype) && args->q.dtype == DTYPE_I8 &&
              args->scales.dtype == DTYPE_F32,
          "types %s, %s, %s", dtype_name(args->x.dtype), dtype_name(args->q.dtype),
          dtype_name(args->scales.dtype));
    CHECK(tensor_same_shape(&args->x, &args->q) &&
              tensor_count(&args->scales) == tensor_rows(&args->x),
          "q has x's shape and every row one scale");
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
