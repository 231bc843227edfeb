/* norm and norm_backward against their references, and the reference's gradients against finite
 * differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/cpu/cpu.h"
#include "tests/support/parity.h"

static const DType types[2] = {DTYPE_F32, DTYPE_BF16};

typedef struct NormCase {
    NormKind kind;
    bool residual, bias, keep, in_place;
} NormCase;

/* Tensors: x, residual, sum, weight, bias, y, mean, rstd. */
static void call_norm(const Device *device, const Tensor *t, const void *context)
{
    const NormCase *n = context;
    NormArgs args = {.kind = n->kind, .eps = 1e-5f, .x = t[0], .weight = t[3], .y = t[5]};
    if (n->residual) {
        args.residual = t[1];
        args.sum = n->in_place ? t[1] : t[2];
    }
    if (n->bias)
        args.bias = t[4];
    if (n->keep && n->kind == NORM_LAYER)
        args.mean = t[6];
    if (n->keep)
        args.rstd = t[7];
    device->ops->norm(device->queue, &args);
}

static void build_norm(Parity *p, DType x, DType y, int64_t N, int64_t C)
{
    parity_normal(p, tensor_2d(NULL, x, N, C), 0.3, 1);
    parity_normal(p, tensor_2d(NULL, DTYPE_F32, N, C), 0, 1);
    parity_output(p, tensor_2d(NULL, DTYPE_F32, N, C));
    parity_normal(p, tensor_1d(NULL, DTYPE_F32, C), 1, 0.2);
    parity_normal(p, tensor_1d(NULL, DTYPE_F32, C), 0, 0.2);
    parity_output(p, tensor_2d(NULL, y, N, C));
    parity_output(p, tensor_1d(NULL, DTYPE_F32, N));
    parity_output(p, tensor_1d(NULL, DTYPE_F32, N));
}

static const NormCase norm_cases[] = {
    {NORM_LAYER, false, true, true, false}, {NORM_LAYER, true, true, true, false},
    {NORM_LAYER, true, false, false, true}, {NORM_RMS, false, false, true, false},
    {NORM_RMS, true, true, false, true},
};

static void norm_odd_sizes(void **state)
{
    (void)state;
    for (int type = 0; type < 4; type++) {
        DType x = types[type / 2], y = types[type % 2];
        for (int k = 0; k < (int)(sizeof norm_cases / sizeof *norm_cases); k++) {
            for (int i = 0; i < 5; i++) {
                for (int j = 0; j < 5; j++) {
                    Parity p;
                    parity_begin(&p, "norm case %d, %s to %s, %d x %d", k, dtype_name(x),
                                 dtype_name(y), (int)parity_sizes[i], (int)parity_sizes[j]);
                    build_norm(&p, x, y, parity_sizes[i], parity_sizes[j]);
                    parity_check(&p, "norm", y, call_norm, &norm_cases[k]);
                    parity_end(&p);
                }
            }
        }
    }
}

/* Rows longer than a GPU's shared memory holds, in vectors and one by one; and those that fill the
 * 48 KB that a kernel has without asking, with its other variables and without. */
static void norm_long_rows(void **state)
{
    (void)state;
    static const int64_t lengths[] = {4096,  16384, 16388, 20001, 65536,
                                      12256, 12257, 12260, 12288, 12292};
    for (int i = 0; i < 20; i++) {
        const NormCase *n = &norm_cases[i % 5];
        Parity p;
        parity_begin(&p, "norm case %d, rows of %d", i % 5, (int)lengths[i / 2]);
        build_norm(&p, types[i % 2], types[i / 2 % 2], 2, lengths[i / 2]);
        parity_check(&p, "norm", types[i / 2 % 2], call_norm, n);
        parity_end(&p);
    }
}

typedef struct BackwardCase {
    NormKind kind;
    bool accumulate, weights;
} BackwardCase;

/* Tensors: x, weight, mean, rstd, dy, dx, dweight, dbias. */
static void call_backward(const Device *device, const Tensor *t, const void *context)
{
    const BackwardCase *b = context;
    NormBackwardArgs args = {.kind = b->kind,
                             .x = t[0],
                             .weight = t[1],
                             .mean = t[2],
                             .rstd = t[3],
                             .dy = t[4],
                             .dx = t[5],
                             .accumulate = b->accumulate};
    if (b->weights) {
        args.dweight = t[6];
        args.dbias = t[7];
    }
    device->ops->norm_backward(device->queue, &args);
}

static void check_backward(const BackwardCase *b, DType type, int64_t N, int64_t C)
{
    Parity p;
    parity_begin(&p, "norm_backward kind %d acc %d weights %d %s %d x %d", (int)b->kind,
                 b->accumulate, b->weights, dtype_name(type), (int)N, (int)C);
    parity_normal(&p, tensor_2d(NULL, DTYPE_F32, N, C), 0.2, 1);
    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, C), 1, 0.2);
    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, N), 0.2, 0.1);
    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, N), 1, 0.1);
    parity_normal(&p, tensor_2d(NULL, type, N, C), 0, 1);
    if (b->accumulate)
        parity_normal(&p, tensor_2d(NULL, DTYPE_F32, N, C), 0, 1);
    else
        parity_output(&p, tensor_2d(NULL, DTYPE_F32, N, C));
    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, C), 0, 1);
    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, C), 0, 1);
    parity_check(&p, "norm_backward", type, call_backward, b);
    parity_end(&p);
}

static const BackwardCase backward_cases[] = {
    {NORM_LAYER, false, true}, {NORM_LAYER, true, false}, {NORM_RMS, true, true}};

static void norm_backward_odd_sizes(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++)
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < 6; i++)
                for (int j = 0; j < 5; j++)
                    check_backward(&backward_cases[k], types[type], i < 5 ? parity_sizes[i] : 300,
                                   parity_sizes[j]);
}

/* Long rows, and so many rows that they are added up in larger groups. */
static void norm_backward_large_sizes(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{5, 1024}, {6, 8192}, {5, 8200}, {2, 20001}, {4500, 3},
                                       {5, 6128}, {5, 6129}, {5, 6132}, {5, 6144},  {5, 6148}};
    for (int i = 0; i < 20; i++)
        check_backward(&backward_cases[i % 3], types[i % 2], sizes[i / 2][0], sizes[i / 2][1]);
}

/* Gradients of sum(y * r): backward gets r as dy. */
static void gradients_of(NormKind kind)
{
    enum { N = 3, C = 11 };
    NormCase forward_case = {.kind = kind, .bias = true, .keep = true};
    BackwardCase backward_case = {.kind = kind, .weights = true};
    Parity forward, backward;
    parity_begin(&forward, "norm gradient, kind %d", (int)kind);
    build_norm(&forward, DTYPE_F32, DTYPE_F32, N, C);
    float *mean = parity_reference(&forward, call_norm, &forward_case, 6);
    float *rstd = parity_reference(&forward, call_norm, &forward_case, 7);
    parity_begin(&backward, "norm gradient, kind %d", (int)kind);
    Tensor rows = tensor_2d(NULL, DTYPE_F32, N, C), one = tensor_1d(NULL, DTYPE_F32, C);
    parity_values(&backward, rows, forward.items[0].host);
    parity_values(&backward, one, forward.items[3].host);
    parity_values(&backward, tensor_1d(NULL, DTYPE_F32, N), mean);
    parity_values(&backward, tensor_1d(NULL, DTYPE_F32, N), rstd);
    parity_normal(&backward, rows, 0, 1);
    parity_output(&backward, rows);
    const float zeros[C] = {0};
    parity_values(&backward, one, zeros);
    parity_values(&backward, one, zeros);
    const int inputs[3] = {0, 3, 4}, outputs[3] = {5, 6, 7};
    for (int i = 0; i < 3; i++) {
        float *gradient = parity_reference(&backward, call_backward, &backward_case, outputs[i]);
        parity_gradient(&forward, call_norm, &forward_case,
                        &(ParityGradient){.x = inputs[i],
                                          .out = 5,
                                          .weights = backward.items[4].host,
                                          .gradient = gradient,
                                          .step = 1e-2,
                                          .tolerance = 2e-3});
        free(gradient);
    }
    free(mean);
    free(rstd);
    parity_end(&forward);
    parity_end(&backward);
}

static void norm_gradients(void **state)
{
    (void)state;
    gradients_of(NORM_LAYER);
    gradients_of(NORM_RMS);
}

int main(void)
{
    backend_cpu_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_odd_sizes),          cmocka_unit_test(norm_long_rows),
        cmocka_unit_test(norm_backward_odd_sizes), cmocka_unit_test(norm_backward_large_sizes),
        cmocka_unit_test(norm_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
