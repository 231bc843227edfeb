#include <math.h>

#include "core/cpu/cpu.h"
#include "core/cpu/ref_ops.h"
#include "core/tensor/shapes.h"

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

void ref_act(Queue *queue, const ActArgs *args)
{
    (void)queue;
    act_check(args);
    int64_t n = tensor_count(&args->x);
    const void *x = cpu_ptr(&args->x), *gate = cpu_ptr(&args->gate);
    void *y = cpu_ptr(&args->y);
    DType dtype = args->x.dtype;
    for (int64_t i = 0; i < n; i++) {
        double v = (double)element_get(x, dtype, i);
        if (args->act == ACT_GELU) {
            v = 0.5 * v * (1.0 + erf(v * M_SQRT1_2));
        } else {
            double g = (double)element_get(gate, dtype, i);
            v *= g * sigmoid(g);
        }
        element_put(y, dtype, i, (float)v);
    }
}

void ref_act_backward(Queue *queue, const ActBackwardArgs *args)
{
    (void)queue;
    act_backward_check(args);
    int64_t n = tensor_count(&args->x);
    const void *x = cpu_ptr(&args->x), *gate = cpu_ptr(&args->gate), *dy = cpu_ptr(&args->dy);
    void *dx = cpu_ptr(&args->dx), *dgate = cpu_ptr(&args->dgate);
    DType dtype = args->x.dtype;
    for (int64_t i = 0; i < n; i++) {
        double v = (double)element_get(x, dtype, i), d = (double)element_get(dy, dtype, i);
        if (args->act == ACT_GELU) {
            /* The derivative is the normal distribution's Phi(x) + x phi(x). */
            double density = exp(-0.5 * v * v) / sqrt(2.0 * M_PI);
            double slope = 0.5 * (1.0 + erf(v * M_SQRT1_2)) + v * density;
            element_put(dx, dtype, i, (float)(d * slope));
        } else {
            double g = (double)element_get(gate, dtype, i), s = sigmoid(g);
            element_put(dx, dtype, i, (float)(d * g * s));
            element_put(dgate, dtype, i, (float)(d * v * s * (1.0 + g * (1.0 - s))));
        }
    }
}
