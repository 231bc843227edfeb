/* Layer norm and root mean square norm of one row, forward and backward. */
#include "core/cpu/isa/elements.h"
#include "core/cpu/kernels.h"

KERNEL_INLINE void norm_of(DType in, DType out, const NormRow *r, const void *x, void *y)
{
    int64_t C = r->C;
    float *row = r->sum;
    double mean = 0.0, square = 0.0;
    VecF total = {0};
    for (int64_t i = 0; i < C; i += LANES) {
        VecF v = elements_load(x, in, i, C - i);
        if (r->residual)
            v += elements_load(r->residual, DTYPE_F32, i, C - i);
        elements_store(row, DTYPE_F32, i, C - i, v);
        total += v;
    }
    mean = r->kind == NORM_LAYER ? (double)vec_sum(total) / (double)C : 0.0;
    VecF squares = {0};
    float centre = (float)mean;
    int64_t i = 0;
    for (; i + LANES <= C; i += LANES) {
        VecF d = vec_load(row + i) - centre;
        squares += d * d;
    }
    square = (double)vec_sum(squares);
    for (; i < C; i++)
        square += ((double)row[i] - (double)centre) * ((double)row[i] - (double)centre);
    float rstd = (float)(1.0 / sqrt(square / (double)C + (double)r->eps));
    for (i = 0; i < C; i += LANES) {
        VecF v = (elements_load(row, DTYPE_F32, i, C - i) - centre) * rstd *
                 elements_load(r->weight, DTYPE_F32, i, C - i);
        if (r->bias)
            v += elements_load(r->bias, DTYPE_F32, i, C - i);
        elements_store(y, out, i, C - i, v);
    }
    *r->mean = centre;
    *r->rstd = rstd;
}

static void norm(DType in, DType out, const NormRow *r, const void *x, void *y)
{
    if (in == DTYPE_BF16 && out == DTYPE_BF16)
        norm_of(DTYPE_BF16, DTYPE_BF16, r, x, y);
    else if (out == DTYPE_BF16)
        norm_of(DTYPE_F32, DTYPE_BF16, r, x, y);
    else if (in == DTYPE_BF16)
        norm_of(DTYPE_BF16, DTYPE_F32, r, x, y);
    else
        norm_of(DTYPE_F32, DTYPE_F32, r, x, y);
}

/* With xhat the normalised row and g = dy * weight:
 * dx = rstd * (g - mean(g) - xhat * mean(g * xhat)); the root mean square norm has no mean(g). */
KERNEL_INLINE void backward_of(DType type, const NormBackwardRow *r, const float *x, const void *dy,
                               float *dx)
{
    int64_t C = r->C;
    VecF sum_g = {0}, sum_gx = {0};
    for (int64_t i = 0; i < C; i += LANES) {
        int64_t left = C - i;
        VecF d = elements_load(dy, type, i, left);
        VecF xhat = (elements_load(x, DTYPE_F32, i, left) - r->mean) * r->rstd;
        VecF g = d * elements_load(r->weight, DTYPE_F32, i, left);
        sum_g += g;
        sum_gx += g * xhat; /* beyond the row's end g is zero */
        VecF dw = elements_load(r->dweight, DTYPE_F32, i, left) + d * xhat;
        elements_store(r->dweight, DTYPE_F32, i, left, dw);
        VecF db = elements_load(r->dbias, DTYPE_F32, i, left) + d;
        elements_store(r->dbias, DTYPE_F32, i, left, db);
    }
    float mean_g = r->kind == NORM_LAYER ? vec_sum(sum_g) / (float)C : 0.0f;
    float mean_gx = vec_sum(sum_gx) / (float)C;
    for (int64_t i = 0; i < C; i += LANES) {
        int64_t left = C - i;
        VecF xhat = (elements_load(x, DTYPE_F32, i, left) - r->mean) * r->rstd;
        VecF g = elements_load(dy, type, i, left) * elements_load(r->weight, DTYPE_F32, i, left);
        VecF d = (g - mean_g - xhat * mean_gx) * r->rstd;
        if (r->accumulate)
            d += elements_load(dx, DTYPE_F32, i, left);
        elements_store(dx, DTYPE_F32, i, left, d);
    }
}

static void norm_backward(DType type, const NormBackwardRow *r, const float *x, const void *dy,
                          float *dx)
{
    if (type == DTYPE_BF16)
        backward_of(DTYPE_BF16, r, x, dy, dx);
    else
        backward_of(DTYPE_F32, r, x, dy, dx);
}

const NormKernels ISA_SYMBOL(norm_kernels) = {norm, norm_backward};
