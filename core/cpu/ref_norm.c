#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"
#include "core/cpu/ref_ops.h"
#include "core/tensor/shapes.h"

void ref_norm(Queue *queue, const NormArgs *args)
{
    (void)queue;
    norm_check(args);
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x);
    const void *x = cpu_ptr(&args->x);
    void *y = cpu_ptr(&args->y);
    const float *residual = cpu_f32(&args->residual);
    float *sum = cpu_f32(&args->sum), *means = cpu_f32(&args->mean), *rstds = cpu_f32(&args->rstd);
    const float *weight = cpu_f32(&args->weight), *bias = cpu_f32(&args->bias);
    float *row = xmalloc((size_t)(C + 1) * sizeof *row);
    for (int64_t i = 0; i < N; i++) {
        double mean = 0, square = 0;
        for (int64_t j = 0; j < C; j++) {
            row[j] = element_get(x, args->x.dtype, i * C + j);
            if (residual)
                row[j] += residual[i * C + j];
            if (sum)
                sum[i * C + j] = row[j];
            mean += (double)row[j];
        }
        mean = args->kind == NORM_LAYER ? mean / (double)C : 0.0;
        for (int64_t j = 0; j < C; j++)
            square += ((double)row[j] - mean) * ((double)row[j] - mean);
        double rstd = 1.0 / sqrt(square / (double)C + (double)args->eps);
        for (int64_t j = 0; j < C; j++) {
            double value = ((double)row[j] - mean) * rstd * (double)weight[j];
            element_put(y, args->y.dtype, i * C + j,
                        (float)(value + (bias ? (double)bias[j] : 0.0)));
        }
        if (means)
            means[i] = (float)mean;
        if (rstds)
            rstds[i] = (float)rstd;
    }
    free(row);
}

/* With xhat the normalised row and g = dy * weight:
 * dx = rstd * (g - mean(g) - xhat * mean(g * xhat)); root mean square norm has no mean(g). */
void ref_norm_backward(Queue *queue, const NormBackwardArgs *args)
{
    (void)queue;
    norm_backward_check(args);
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x);
    const float *x = cpu_f32(&args->x), *weight = cpu_f32(&args->weight);
    const float *means = cpu_f32(&args->mean), *rstds = cpu_f32(&args->rstd);
    const void *dy = cpu_ptr(&args->dy);
    float *dx = cpu_f32(&args->dx);
    float *dweight = cpu_f32(&args->dweight), *dbias = cpu_f32(&args->dbias);
    double *sums = xcalloc((size_t)C * 2 + 1, sizeof *sums); /* of dweight, then dbias */
    for (int64_t i = 0; i < N; i++) {
        double mean = args->kind == NORM_LAYER ? (double)means[i] : 0.0, rstd = (double)rstds[i];
        double mean_g = 0, mean_gx = 0;
        for (int64_t j = 0; j < C; j++) {
            double d = (double)element_get(dy, args->dy.dtype, i * C + j);
            double xhat = ((double)x[i * C + j] - mean) * rstd;
            mean_g += d * (double)weight[j] / (double)C;
            mean_gx += d * (double)weight[j] * xhat / (double)C;
            sums[j] += d * xhat;
            sums[C + j] += d;
        }
        if (args->kind == NORM_RMS)
            mean_g = 0;
        for (int64_t j = 0; j < C; j++) {
            double g = (double)element_get(dy, args->dy.dtype, i * C + j) * (double)weight[j];
            double xhat = ((double)x[i * C + j] - mean) * rstd;
            double d = rstd * (g - mean_g - xhat * mean_gx);
            dx[i * C + j] = (float)(d + (args->accumulate ? (double)dx[i * C + j] : 0.0));
        }
    }
    for (int64_t j = 0; j < C; j++) {
        if (dweight)
            dweight[j] = (float)((double)dweight[j] + sums[j]);
        if (dbias)
            dbias[j] = (float)((double)dbias[j] + sums[C + j]);
    }
    free(sums);
}
