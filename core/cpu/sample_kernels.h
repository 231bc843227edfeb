/* Kernels of one row of logits, compiled once per instruction set. They work on plain pointers and
 * neither allocate nor check. */
#ifndef CAMBIUM_CORE_CPU_SAMPLE_KERNELS_H
#define CAMBIUM_CORE_CPU_SAMPLE_KERNELS_H

#include "core/cpu/kernels.h"

typedef struct SampleKernels {
    /* The largest of n values; NaN counts as minus infinity. */
    float (*max)(const float *x, int64_t n);
    /* The sum of exp(x - max) in float64; 0 when max is minus infinity. */
    double (*sum_exp)(const float *x, int64_t n, float max);
    /* w = exp((x - max) / temperature) in float64, 0 where that is below `least`; returns the sum.
     */
    double (*weights)(const float *x, int64_t n, float max, float temperature, float least,
                      double *w);
    /* y = x + shift; may be in place. */
    void (*shift)(const float *x, int64_t n, float shift, float *y);
    /* y = sum_e weights[e] x_e over n_rows rows `stride` apart; rows of weight 0 are not read. */
    void (*mix_logits)(const float *x, int64_t stride, const float *weights, int64_t n_rows,
                       int64_t n, float *y);
    /* y = log sum_e exp(x_e + bias[e]); rows whose bias is minus infinity are not read. */
    void (*mix_probs)(const float *x, int64_t stride, const float *bias, int64_t n_rows, int64_t n,
                      float *y);
    /* Indices of the values that are at least `least`, rising; returns how many. */
    int64_t (*at_least)(const float *x, int64_t n, float least, int32_t *ids);
} SampleKernels;
KERNEL_TABLES(SampleKernels, sample_kernels)

#endif
