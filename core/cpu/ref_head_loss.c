#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"
#include "core/cpu/ref_ops.h"
#include "core/tensor/shapes.h"

/* Fills logits (V) of one row and returns their natural log-sum-exp. */
static double row_logits(const HeadLossArgs *args, int64_t row, double *logits)
{
    int64_t C = tensor_cols(&args->x), V = tensor_rows(&args->weight);
    const void *x = cpu_ptr(&args->x), *weight = cpu_ptr(&args->weight);
    const float *bias = cpu_f32(&args->bias);
    double max = -INFINITY, total = 0;
    for (int64_t v = 0; v < V; v++) {
        logits[v] = bias ? (double)bias[v] : 0.0;
        for (int64_t j = 0; j < C; j++)
            logits[v] += (double)element_get(x, args->x.dtype, row * C + j) *
                         (double)element_get(weight, args->x.dtype, v * C + j);
        max = fmax(max, logits[v]);
    }
    for (int64_t v = 0; v < V; v++)
        total += exp(logits[v] - max);
    return max + log(total);
}

/* Adds the gradients of one row, given dlogits (V); `dx_row` (C) is overwritten. */
static void row_gradients(const HeadLossArgs *args, int64_t row, const double *dlogits,
                          double *dx_row)
{
    int64_t C = tensor_cols(&args->x), V = tensor_rows(&args->weight);
    const void *x = cpu_ptr(&args->x), *weight = cpu_ptr(&args->weight);
    float *dweight = cpu_f32(&args->dweight), *dbias = cpu_f32(&args->dbias);
    for (int64_t j = 0; j < C; j++)
        dx_row[j] = 0;
    for (int64_t v = 0; v < V; v++) {
        for (int64_t j = 0; j < C; j++) {
            dx_row[j] += dlogits[v] * (double)element_get(weight, args->x.dtype, v * C + j);
            if (dweight)
                dweight[v * C + j] +=
                    (float)(dlogits[v] * (double)element_get(x, args->x.dtype, row * C + j));
        }
        if (dbias)
            dbias[v] += (float)dlogits[v];
    }
}

void ref_head_loss(Queue *queue, const HeadLossArgs *args)
{
    (void)queue;
    head_loss_check(args);
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x), V = tensor_rows(&args->weight);
    const int32_t *targets = cpu_ptr(&args->targets);
    float *losses = cpu_f32(&args->losses);
    void *dx = cpu_ptr(&args->dx);
    bool gradients = dx || args->dweight.data || args->dbias.data;
    if (args->dweight.data && !args->accumulate)
        memset(cpu_f32(&args->dweight), 0, tensor_bytes(&args->dweight));
    if (args->dbias.data && !args->accumulate)
        memset(cpu_f32(&args->dbias), 0, tensor_bytes(&args->dbias));
    double *logits = xmalloc((size_t)V * sizeof *logits);
    double *dx_row = xcalloc((size_t)C, sizeof *dx_row);
    for (int64_t i = 0; i < N; i++) {
        CHECK(targets[i] < V, "head_loss: target %d of %lld", targets[i], (long long)V);
        losses[i] = 0;
        if (targets[i] >= 0) {
            double lse = row_logits(args, i, logits);
            losses[i] = (float)(lse - logits[targets[i]]);
            for (int64_t v = 0; v < V; v++)
                logits[v] = exp(logits[v] - lse) - (v == targets[i] ? 1.0 : 0.0);
        }
        if (!gradients)
            continue;
        for (int64_t v = 0; v < V; v++)
            logits[v] = targets[i] >= 0 ? logits[v] * (double)args->grad_scale : 0.0;
        row_gradients(args, i, logits, dx_row);
        for (int64_t j = 0; dx && j < C; j++)
            element_put(dx, args->dx.dtype, i * C + j, (float)dx_row[j]);
    }
    free(logits);
    free(dx_row);
}
