/* act, act_backward and dropout against their references; gradients against finite differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/cpu/cpu.h"
#include "tests/support/parity.h"

static const DType types[2] = {DTYPE_F32, DTYPE_BF16};

/* Tensors: x, gate, y. */
static void call_act(const Device *device, const Tensor *t, const void *context)
{
    ActArgs args = {.act = *(const Activation *)context, .x = t[0], .y = t[2]};
    if (args.act == ACT_SWIGLU)
        args.gate = t[1];
    device->ops->act(device->queue, &args);
}

typedef struct BackwardCase {
    Activation act;
    bool in_place; /* dx is dy */
} BackwardCase;

/* Tensors: x, gate, dy, dx, dgate. */
static void call_backward(const Device *device, const Tensor *t, const void *context)
{
    const BackwardCase *b = context;
    ActBackwardArgs args = {.act = b->act, .x = t[0], .dy = t[2], .dx = b->in_place ? t[2] : t[3]};
    if (b->act == ACT_SWIGLU) {
        args.gate = t[1];
        args.dgate = t[4];
    }
    device->ops->act_backward(device->queue, &args);
}

static void build_act(Parity *p, Tensor shape, double deviation)
{
    parity_normal(p, shape, 0, deviation);
    parity_normal(p, shape, 0, deviation);
}

static void act_odd_sizes(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        for (int i = 0; i < 26; i++) {
            for (int act = ACT_GELU; act <= ACT_SWIGLU; act++) {
                Activation which = (Activation)act;
                Tensor shape = tensor_2d(NULL, types[type], i < 25 ? parity_sizes[i / 5] : 3,
                                         i < 25 ? parity_sizes[i % 5] : 20001);
                Parity p;
                parity_begin(&p, "act %d %s %d x %d", act, dtype_name(types[type]),
                             (int)shape.shape[0], (int)shape.shape[1]);
                build_act(&p, shape, 2);
                parity_output(&p, shape);
                parity_check(&p, "act", types[type], call_act, &which);
                parity_end(&p);
                parity_begin(&p, "act_backward %d %s %d x %d", act, dtype_name(types[type]),
                             (int)shape.shape[0], (int)shape.shape[1]);
                build_act(&p, shape, 2);
                parity_normal(&p, shape, 0, 1);
                parity_output(&p, shape);
                parity_output(&p, shape);
                parity_check(&p, "act_backward", types[type], call_backward,
                             &(BackwardCase){which, i % 2});
                parity_end(&p);
            }
        }
    }
}

/* Far values: saturation, infinities and NaN behave as in the reference. */
static void act_extreme_values(void **state)
{
    (void)state;
    enum { COUNT = 24 };
    const float x[COUNT] = {0,  -0.0f, 1e-30f, -1e-30f, 1e-8f, -1e-8f, 0.5f, -0.5f,
                            3,  -3,    5,      -5,      6,     -6,     9,    -9,
                            12, -12,   30,     -30,     88,    -88,    1e4f, -1e4f};
    float gate[COUNT];
    for (int i = 0; i < COUNT; i++)
        gate[i] = x[COUNT - 1 - i];
    Tensor shape = tensor_1d(NULL, DTYPE_F32, COUNT);
    for (int act = ACT_GELU; act <= ACT_SWIGLU; act++) {
        Activation which = (Activation)act;
        Parity p;
        parity_begin(&p, "act %d of extreme values", act);
        parity_values(&p, shape, x);
        parity_values(&p, shape, gate);
        parity_output(&p, shape);
        parity_check(&p, "act", DTYPE_F32, call_act, &which);
        parity_end(&p);
        parity_begin(&p, "act_backward %d of extreme values", act);
        parity_values(&p, shape, x);
        parity_values(&p, shape, gate);
        parity_normal(&p, shape, 0, 1);
        parity_output(&p, shape);
        parity_output(&p, shape);
        parity_check(&p, "act_backward", DTYPE_F32, call_backward, &(BackwardCase){which, false});
        parity_end(&p);
    }
}

static void act_gradients(void **state)
{
    (void)state;
    Tensor shape = tensor_2d(NULL, DTYPE_F32, 5, 8);
    for (int act = ACT_GELU; act <= ACT_SWIGLU; act++) {
        Activation which = (Activation)act;
        Parity forward, backward;
        parity_begin(&forward, "act gradient %d", act);
        build_act(&forward, shape, 2);
        parity_output(&forward, shape);
        parity_begin(&backward, "act gradient %d", act);
        parity_values(&backward, shape, forward.items[0].host);
        parity_values(&backward, shape, forward.items[1].host);
        parity_normal(&backward, shape, 0, 1);
        parity_output(&backward, shape);
        parity_output(&backward, shape);
        for (int i = 0; i < (which == ACT_SWIGLU ? 2 : 1); i++) {
            float *gradient =
                parity_reference(&backward, call_backward, &(BackwardCase){which, false}, 3 + i);
            parity_gradient(&forward, call_act, &which,
                            &(ParityGradient){.x = i,
                                              .out = 2,
                                              .weights = backward.items[2].host,
                                              .gradient = gradient,
                                              .step = 1e-2,
                                              .tolerance = 2e-3});
            free(gradient);
        }
        parity_end(&forward);
        parity_end(&backward);
    }
}

static void call_dropout(const Device *device, const Tensor *t, const void *context)
{
    DropoutArgs args = {.x = t[0], .y = t[1], .p = *(const float *)context, .seed = 77};
    device->ops->dropout(device->queue, &args);
}

static void dropout_parity(void **state)
{
    (void)state;
    const float rates[3] = {0.0f, 0.1f, 0.9f};
    for (int type = 0; type < 2; type++) {
        for (int i = 0; i < 15; i++) {
            Tensor shape = tensor_2d(NULL, types[type], parity_sizes[i / 3], 37);
            Parity p;
            parity_begin(&p, "dropout %g %s", (double)rates[i % 3], dtype_name(types[type]));
            parity_normal(&p, shape, 0, 1);
            parity_output(&p, shape);
            parity_check(&p, "dropout", types[type], call_dropout, &rates[i % 3]);
            parity_end(&p);
        }
    }
}

/* The mask has the rate asked for, and another seed gives another mask. */
static void dropout_statistics(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    uint32_t threshold = (uint32_t)(0.2 * 4294967296.0);
    int kept = 0, agree = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        kept += dropout_keeps(1, i, threshold);
        agree += dropout_keeps(1, i, threshold) == dropout_keeps(2, i, threshold);
    }
    /* Five standard deviations of a binomial count. */
    assert_true(abs(kept - 80000) < 5 * 127);
    assert_true(abs(agree - 68000) < 5 * 148);
}

int main(void)
{
    backend_cpu_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(act_odd_sizes),      cmocka_unit_test(act_extreme_values),
        cmocka_unit_test(act_gradients),      cmocka_unit_test(dropout_parity),
        cmocka_unit_test(dropout_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
