/* Activations and their gradients, LANES elements at a time. */
#include "core/cpu/isa/elements.h"
#include "core/cpu/kernels.h"

#define LOG2_E 1.44269504f

/* exp(-x^2 / 2) and, from it, the normal distribution's Phi(x). */
typedef struct Normal {
    VecF bell, cumulative;
} Normal;

/* Phi(-z) = exp(-z^2 / 2) R(z) for z >= 0 keeps its relative precision in the tail, where
 * 1 + erf(x) has none. R is a polynomial in 1 / (1 + 0.3 z), fitted for least maximal relative
 * error (6e-8) on [0, 14]; beyond, the bell is zero. */
KERNEL_INLINE Normal normal(VecF x)
{
    VecF z = vec_select(x < 0.0f, -x, x);
    VecF t = 1.0f / (1.0f + 0.3f * z);
    VecF r = vec_set(0.0383784033f);
    r = r * t - 0.169166635f;
    r = r * t + 0.228661096f;
    r = r * t - 0.0765075562f;
    r = r * t + 0.142536209f;
    r = r * t + 0.0946832586f;
    r = r * t + 0.121920403f;
    r = r * t + 0.119487682f;
    r = r * t + 7.1692536e-6f;
    VecF bell = vec_exp2(z * z * (-0.5f * LOG2_E));
    VecF tail = bell * r;
    return (Normal){bell, vec_select(x < 0.0f, tail, 1.0f - tail)};
}

KERNEL_INLINE VecF sigmoid(VecF x)
{
    return 1.0f / (1.0f + vec_exp2(x * -LOG2_E));
}

KERNEL_INLINE void gelu_of(DType type, const void *x, void *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        VecF v = elements_load(x, type, i, n - i);
        elements_store(y, type, i, n - i, v * normal(v).cumulative);
    }
}

/* The derivative of x Phi(x) is Phi(x) + x phi(x). */
KERNEL_INLINE void gelu_backward_of(DType type, const void *x, const void *dy, void *dx, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        VecF v = elements_load(x, type, i, n - i), d = elements_load(dy, type, i, n - i);
        Normal p = normal(v);
        VecF slope = p.cumulative + v * p.bell * 0.398942280f;
        elements_store(dx, type, i, n - i, d * slope);
    }
}

KERNEL_INLINE void swiglu_of(DType type, const void *x, const void *gate, void *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        VecF v = elements_load(x, type, i, n - i), g = elements_load(gate, type, i, n - i);
        elements_store(y, type, i, n - i, v * g * sigmoid(g));
    }
}

KERNEL_INLINE void swiglu_backward_of(DType type, const void *x, const void *gate, const void *dy,
                                      void *dx, void *dgate, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        VecF v = elements_load(x, type, i, n - i), g = elements_load(gate, type, i, n - i);
        VecF d = elements_load(dy, type, i, n - i), s = sigmoid(g);
        elements_store(dx, type, i, n - i, d * g * s);
        elements_store(dgate, type, i, n - i, d * v * s * (1.0f + g * (1.0f - s)));
    }
}

/* Each body twice, with the type known to the compiler. */

static void gelu(DType type, const void *x, void *y, int64_t n)
{
    if (type == DTYPE_BF16)
        gelu_of(DTYPE_BF16, x, y, n);
    else
        gelu_of(DTYPE_F32, x, y, n);
}

static void gelu_backward(DType type, const void *x, const void *dy, void *dx, int64_t n)
{
    if (type == DTYPE_BF16)
        gelu_backward_of(DTYPE_BF16, x, dy, dx, n);
    else
        gelu_backward_of(DTYPE_F32, x, dy, dx, n);
}

static void swiglu(DType type, const void *x, const void *gate, void *y, int64_t n)
{
    if (type == DTYPE_BF16)
        swiglu_of(DTYPE_BF16, x, gate, y, n);
    else
        swiglu_of(DTYPE_F32, x, gate, y, n);
}

static void swiglu_backward(DType type, const void *x, const void *gate, const void *dy, void *dx,
                            void *dgate, int64_t n)
{
    if (type == DTYPE_BF16)
        swiglu_backward_of(DTYPE_BF16, x, gate, dy, dx, dgate, n);
    else
        swiglu_backward_of(DTYPE_F32, x, gate, dy, dx, dgate, n);
}

const ActKernels ISA_SYMBOL(act_kernels) = {gelu, gelu_backward, swiglu, swiglu_backward};
