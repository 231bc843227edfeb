/* The optimizer's passes over memory. */
#include "core/cpu/isa/elements.h"
#include "core/cpu/kernels.h"

KERNEL_INLINE VecF root(VecF x)
{
#if defined(__AVX512F__)
    return _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
    return _mm256_sqrt_ps(x);
#else
    VecF y;
    for (int i = 0; i < LANES; i++)
        y[i] = sqrtf(x[i]);
    return y;
#endif
}

static void adamw(const AdamwTask *t, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += LANES) {
        int64_t left = end - i;
        VecF g = elements_load(t->grad, DTYPE_F32, i, left) * t->grad_scale;
        VecF m = elements_load(t->m, DTYPE_F32, i, left);
        VecF v = elements_load(t->v, DTYPE_F32, i, left);
        VecF p = elements_load(t->param, DTYPE_F32, i, left);
        m = m * t->beta1 + g * (1.0f - t->beta1);
        v = v * t->beta2 + g * g * (1.0f - t->beta2);
        p = p * t->keep - m * t->rate / (root(v * t->scale_v) + t->eps);
        elements_store(t->m, DTYPE_F32, i, left, m);
        elements_store(t->v, DTYPE_F32, i, left, v);
        elements_store(t->param, DTYPE_F32, i, left, p);
        if (t->copy)
            elements_store(t->copy, t->copy_type, i, left, p);
    }
}

static double sum_squares(const float *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

const UpdateKernels ISA_SYMBOL(update_kernels) = {adamw, sum_squares};
