/* References of the operations that stream over parameters and activations. */
#include <math.h>

#include "core/cpu/cpu.h"
#include "core/cpu/ref_ops.h"
#include "core/tensor/shapes.h"

void ref_adamw(Queue *queue, const AdamwArgs *args)
{
    (void)queue;
    adamw_check(args);
    const float *scale = cpu_f32(&args->grad_scale);
    double beta1 = (double)args->beta1, beta2 = (double)args->beta2, lr = (double)args->lr;
    double correction1 = 1.0 - pow(beta1, (double)args->step);
    double correction2 = 1.0 - pow(beta2, (double)args->step);
    for (int64_t k = 0; k < args->n_items; k++) {
        const AdamwItem *item = &args->items[k];
        float *param = cpu_f32(&item->param), *m = cpu_f32(&item->m), *v = cpu_f32(&item->v);
        const float *grad = cpu_f32(&item->grad);
        void *copy = cpu_ptr(&item->copy);
        int64_t n = tensor_count(&item->param);
        for (int64_t i = 0; i < n; i++) {
            double g = (double)grad[i] * (scale ? (double)*scale : 1.0);
            m[i] = (float)(beta1 * (double)m[i] + (1.0 - beta1) * g);
            v[i] = (float)(beta2 * (double)v[i] + (1.0 - beta2) * g * g);
            double root = sqrt((double)v[i] / correction2) + (double)args->eps;
            double p = (double)param[i] * (1.0 - lr * (double)item->weight_decay);
            param[i] = (float)(p - lr * (double)m[i] / correction1 / root);
            if (copy)
                element_put(copy, item->copy.dtype, i, param[i]);
        }
    }
}

void ref_grad_norm(Queue *queue, const GradNormArgs *args)
{
    (void)queue;
    double sum = 0;
    for (int64_t k = 0; k < args->n_items; k++) {
        const float *x = cpu_f32(&args->items[k]);
        int64_t n = tensor_count(&args->items[k]);
        for (int64_t i = 0; i < n; i++)
            sum += (double)x[i] * (double)x[i];
    }
    double norm = sqrt(sum);
    *cpu_f32(&args->norm) = (float)norm;
    if (args->max_norm > 0)
        *cpu_f32(&args->clip) = (float)fmin(1.0, (double)args->max_norm / (norm + 1e-6));
}

void ref_weighted_sum(Queue *queue, const WeightedSumArgs *args)
{
    (void)queue;
    weighted_sum_check(args);
    void *y = cpu_ptr(&args->y);
    int64_t n = tensor_count(&args->y);
    for (int64_t i = 0; i < n; i++) {
        double sum = args->accumulate ? (double)element_get(y, args->y.dtype, i) : 0.0;
        for (int64_t k = 0; k < args->n; k++)
            sum += (double)args->weights[k] *
                   (double)element_get(cpu_ptr(&args->x[k]), args->x[k].dtype, i);
        element_put(y, args->y.dtype, i, (float)sum);
    }
}

void ref_cast(Queue *queue, const CastArgs *args)
{
    (void)queue;
    int64_t n = tensor_count(&args->x);
    CHECK(tensor_count(&args->y) == n, "cast: shapes");
    const void *x = cpu_ptr(&args->x);
    void *y = cpu_ptr(&args->y);
    if (args->x.dtype == args->y.dtype) {
        memcpy(y, x, tensor_bytes(&args->x));
        return;
    }
    CHECK(is_compute_type(args->x.dtype) && is_compute_type(args->y.dtype), "cast: %s to %s",
          dtype_name(args->x.dtype), dtype_name(args->y.dtype));
    for (int64_t i = 0; i < n; i++)
        element_put(y, args->y.dtype, i, element_get(x, args->x.dtype, i));
}

void ref_gather_rows(Queue *queue, const GatherRowsArgs *args)
{
    (void)queue;
    int64_t M = tensor_count(&args->rows), N = args->x.shape[0];
    CHECK(args->x.dtype == args->out.dtype && args->rows.dtype == DTYPE_I32 && N > 0 &&
              args->out.shape[0] == M,
          "gather_rows: shapes or types");
    size_t bytes = tensor_bytes(&args->x) / (size_t)N;
    const int32_t *rows = cpu_ptr(&args->rows);
    const char *x = cpu_ptr(&args->x);
    char *out = cpu_ptr(&args->out);
    for (int64_t i = 0; i < M; i++) {
        CHECK(rows[i] >= 0 && rows[i] < N, "gather_rows: row %d of %lld", rows[i], (long long)N);
        memcpy(out + (size_t)i * bytes, x + (size_t)rows[i] * bytes, bytes);
    }
}

void ref_non_finite(Queue *queue, const NonFiniteArgs *args)
{
    (void)queue;
    CHECK(is_compute_type(args->x.dtype) && args->out.dtype == DTYPE_I32, "non_finite: types");
    int64_t n = tensor_count(&args->x);
    const void *x = cpu_ptr(&args->x);
    int32_t found = 0;
    for (int64_t i = 0; i < n && !found; i++)
        found = !isfinite(element_get(x, args->x.dtype, i));
    *(int32_t *)cpu_ptr(&args->out) = found;
}

void ref_dropout(Queue *queue, const DropoutArgs *args)
{
    (void)queue;
    CHECK(args->p >= 0 && args->p < 1, "dropout: p = %g", (double)args->p);
    CHECK(is_compute_type(args->x.dtype) && args->x.dtype == args->y.dtype &&
              tensor_count(&args->x) == tensor_count(&args->y),
          "dropout: shapes or types");
    int64_t n = tensor_count(&args->x);
    const void *x = cpu_ptr(&args->x);
    void *y = cpu_ptr(&args->y);
    uint32_t threshold = (uint32_t)((double)args->p * 4294967296.0);
    float factor = 1.0f / (1.0f - args->p);
    for (int64_t i = 0; i < n; i++) {
        bool keeps = dropout_keeps(args->seed, args->first + (uint64_t)i, threshold);
        element_put(y, args->y.dtype, i, keeps ? element_get(x, args->x.dtype, i) * factor : 0.0f);
    }
}
