/* Pieces of the softmax over the vocabulary. */
#include "core/cpu/isa/elements.h"
#include "core/cpu/kernels.h"

KERNEL_INLINE float exp_row_of(const float *x, int64_t n, DType type, void *terms, float *max)
{
    VecF most = vec_set(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        most = vec_max(most, vec_load(x + i));
    float m = vec_hmax(most);
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    VecF sum = {0};
    for (i = 0; i + LANES <= n; i += LANES) {
        VecF e = vec_exp2((vec_load(x + i) - m) * 1.44269504f);
        sum += e;
        if (terms)
            elements_store_quick(terms, type, i, LANES, e);
    }
    if (i < n) {
        VecF e = vec_exp2((elements_load(x, DTYPE_F32, i, n - i) - m) * 1.44269504f);
        float lanes[LANES];
        vec_store(lanes, e);
        for (int64_t k = n - i; k < LANES; k++)
            lanes[k] = 0.0f;
        sum += vec_load(lanes);
        if (terms)
            elements_store_quick(terms, type, i, n - i, e);
    }
    *max = m;
    return vec_sum(sum);
}

static float exp_row(const float *x, int64_t n, DType type, void *terms, float *max)
{
    return type == DTYPE_BF16 ? exp_row_of(x, n, DTYPE_BF16, terms, max)
                              : exp_row_of(x, n, DTYPE_F32, terms, max);
}

KERNEL_INLINE void scale_row_of(DType type, void *x, float factor, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES)
        elements_store_quick(x, type, i, n - i, elements_load(x, type, i, n - i) * factor);
}

static void scale_row(DType type, void *x, float factor, int64_t n)
{
    if (type == DTYPE_BF16)
        scale_row_of(DTYPE_BF16, x, factor, n);
    else
        scale_row_of(DTYPE_F32, x, factor, n);
}

const HeadKernels ISA_SYMBOL(head_kernels) = {exp_row, scale_row};
