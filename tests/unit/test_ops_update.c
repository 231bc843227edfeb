/* The streaming operations against their references: adamw, grad_norm, weighted_sum, cast,
 * gather_rows, non_finite. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/cpu/cpu.h"
#include "tests/support/parity.h"

static const DType types[2] = {DTYPE_F32, DTYPE_BF16};

/* Two parameters of five tensors each (param, grad, m, v, copy), then the gradient's scale. */
static void call_adamw(const Device *device, const Tensor *t, const void *context)
{
    int64_t step = *(const int64_t *)context;
    AdamwItem items[2] = {{t[0], t[1], t[2], t[3], t[4], 0.1f},
                          {t[5], t[6], t[7], t[8], {0}, 0.0f}};
    AdamwArgs args = {.items = items,
                      .n_items = 2,
                      .lr = 1e-2f,
                      .beta1 = 0.9f,
                      .beta2 = 0.95f,
                      .eps = 1e-8f,
                      .step = step};
    if (step > 1)
        args.grad_scale = t[9];
    device->ops->adamw(device->queue, &args);
}

static void adamw_parity(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        for (int i = 0; i < 10; i++) {
            int64_t step = i % 2 ? 1 : 1000, n = i < 8 ? parity_sizes[i / 2] : 70001;
            Parity p;
            parity_begin(&p, "adamw %s, %d elements, step %d", dtype_name(types[type]), (int)n,
                         (int)step);
            for (int k = 0; k < 2; k++) {
                Tensor shape = tensor_1d(NULL, DTYPE_F32, k ? 65 : n);
                parity_normal(&p, shape, 0, 1);
                parity_normal(&p, shape, 0, 0.1);
                parity_normal(&p, shape, 0, 0.1);
                parity_integers(&p, shape, 0, 3);
                if (k == 0)
                    parity_output(&p, tensor_1d(NULL, types[type], n));
            }
            parity_normal(&p, tensor_1d(NULL, DTYPE_F32, 1), 0.5, 0);
            parity_check(&p, "adamw", types[type], call_adamw, &step);
            parity_end(&p);
        }
    }
}

/* One step by hand: with zero moments and step 1, AdamW moves by lr * sign(grad). */
static void adamw_first_step(void **state)
{
    (void)state;
    int64_t step = 1;
    const float param[2] = {1.0f, -2.0f}, grad[2] = {0.5f, -3.0f}, zero[2] = {0, 0};
    Tensor shape = tensor_1d(NULL, DTYPE_F32, 2);
    Parity p;
    parity_begin(&p, "adamw, first step");
    parity_values(&p, shape, param);
    parity_values(&p, shape, grad);
    parity_values(&p, shape, zero);
    parity_values(&p, shape, zero);
    parity_output(&p, shape);
    for (int k = 0; k < 4; k++)
        parity_values(&p, shape, zero);
    float *after = parity_reference(&p, call_adamw, &step, 0);
    assert_true(fabsf(after[0] - (1.0f * (1.0f - 1e-3f) - 1e-2f)) < 1e-6f);
    assert_true(fabsf(after[1] - (-2.0f * (1.0f - 1e-3f) + 1e-2f)) < 1e-6f);
    free(after);
    parity_end(&p);
}

enum { MANY = 101, MANY_COLUMNS = 67 }; /* parameters, more than a GPU takes with one launch */

/* Tensors (MANY, MANY_COLUMNS) whose rows are the parameters, most of them unaligned. */
static void call_adamw_of_many(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    AdamwItem items[MANY];
    for (int i = 0; i < MANY; i++) {
        Tensor rows[5];
        for (int k = 0; k < 5; k++)
            rows[k] = tensor_slice(&t[k], i, 1);
        items[i] = (AdamwItem){rows[0], rows[1], rows[2], rows[3], rows[4], 0.001f * (float)i};
    }
    AdamwArgs args = {.items = items,
                      .n_items = MANY,
                      .lr = 1e-2f,
                      .beta1 = 0.9f,
                      .beta2 = 0.95f,
                      .eps = 1e-8f,
                      .step = 3};
    device->ops->adamw(device->queue, &args);
    for (int i = 0; i < MANY; i++)
        items[i] = (AdamwItem){0}; /* the list is the caller's again */
}

static void adamw_of_many(void **state)
{
    (void)state;
    Tensor shape = tensor_2d(NULL, DTYPE_F32, MANY, MANY_COLUMNS);
    for (int type = 0; type < 2; type++) {
        Parity p;
        parity_begin(&p, "adamw of many, copies %s", dtype_name(types[type]));
        for (int k = 0; k < 3; k++)
            parity_normal(&p, shape, 0, 1);
        parity_integers(&p, shape, 0, 3);
        parity_output(&p, tensor_2d(NULL, types[type], MANY, MANY_COLUMNS));
        parity_check(&p, "adamw", types[type], call_adamw_of_many, NULL);
        parity_end(&p);
    }
}

static void call_grad_norm_of_many(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    Tensor items[MANY];
    for (int i = 0; i < MANY; i++)
        items[i] = tensor_slice(&t[0], i, 1);
    GradNormArgs args = {
        .items = items, .n_items = MANY, .max_norm = 1.0f, .norm = t[1], .clip = t[2]};
    device->ops->grad_norm(device->queue, &args);
    for (int i = 0; i < MANY; i++)
        items[i] = (Tensor){0};
}

static void grad_norm_of_many(void **state)
{
    (void)state;
    Parity p;
    parity_begin(&p, "grad_norm of many");
    parity_normal(&p, tensor_2d(NULL, DTYPE_F32, MANY, MANY_COLUMNS), 0, 1);
    parity_output(&p, tensor_1d(NULL, DTYPE_F32, 1));
    parity_output(&p, tensor_1d(NULL, DTYPE_F32, 1));
    parity_check(&p, "grad_norm", DTYPE_F32, call_grad_norm_of_many, NULL);
    parity_end(&p);
}

static void call_grad_norm(const Device *device, const Tensor *t, const void *context)
{
    GradNormArgs args = {
        .items = t, .n_items = 3, .max_norm = *(const float *)context, .norm = t[3], .clip = t[4]};
    device->ops->grad_norm(device->queue, &args);
}

static void grad_norm_parity(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        float max_norm = i % 2 ? 1.0f : 1e6f;
        Parity p;
        parity_begin(&p, "grad_norm of %d", i);
        parity_normal(&p, tensor_1d(NULL, DTYPE_F32, i / 2 < 5 ? parity_sizes[i / 2] : 200003), 0,
                      1);
        parity_normal(&p, tensor_2d(NULL, DTYPE_F32, 17, 3), 0, 1);
        parity_normal(&p, tensor_1d(NULL, DTYPE_F32, 65), 0, 1);
        parity_output(&p, tensor_1d(NULL, DTYPE_F32, 1));
        parity_output(&p, tensor_1d(NULL, DTYPE_F32, 1));
        parity_check(&p, "grad_norm", DTYPE_F32, call_grad_norm, &max_norm);
        parity_end(&p);
    }
}

typedef struct SumCase {
    int64_t n;
    bool accumulate, in_place; /* in place: y is the first input */
} SumCase;

static void call_weighted_sum(const Device *device, const Tensor *t, const void *context)
{
    const SumCase *s = context;
    const float weights[3] = {0.5f, -1.25f, 3.0f};
    WeightedSumArgs args = {.x = t,
                            .weights = weights,
                            .n = s->n,
                            .y = s->in_place ? t[0] : t[3],
                            .accumulate = s->accumulate};
    device->ops->weighted_sum(device->queue, &args);
}

static void weighted_sum_parity(void **state)
{
    (void)state;
    static const SumCase cases[] = {{1, false, false}, {2, true, false}, {3, false, false},
                                    {3, true, false},  {2, false, true}, {0, false, false}};
    for (int type = 0; type < 4; type++) {
        for (int k = 0; k < 6; k++) {
            for (int i = 0; i < 5; i++) {
                Parity p;
                parity_begin(&p, "weighted_sum case %d, types %d, %d elements", k, type,
                             (int)parity_sizes[i]);
                int64_t n = parity_sizes[i];
                parity_normal(&p, tensor_1d(NULL, types[type & 1], n), 0, 1);
                parity_normal(&p, tensor_1d(NULL, types[type >> 1], n), 0, 1);
                parity_normal(&p, tensor_1d(NULL, DTYPE_F32, n), 0, 1);
                parity_normal(&p, tensor_1d(NULL, types[type >> 1], n), 0, 1);
                DType y = cases[k].in_place ? types[type & 1] : types[type >> 1];
                parity_check(&p, "weighted_sum", y, call_weighted_sum, &cases[k]);
                parity_end(&p);
            }
        }
    }
}

static void call_sum_of_many(const Device *device, const Tensor *t, const void *context)
{
    Tensor x[MANY];
    float weights[MANY];
    for (int i = 0; i < MANY; i++) {
        x[i] = tensor_slice(&t[0], i, 1);
        weights[i] = 0.01f * (float)(i - 40);
    }
    WeightedSumArgs args = {
        .x = x, .weights = weights, .n = MANY, .y = t[1], .accumulate = *(const bool *)context};
    device->ops->weighted_sum(device->queue, &args);
    for (int i = 0; i < MANY; i++)
        x[i] = (Tensor){0}, weights[i] = NAN;
}

static void weighted_sum_of_many(void **state)
{
    (void)state;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        for (int type = 0; type < 4; type++) {
            bool adds = accumulate != 0;
            Parity p;
            parity_begin(&p, "weighted_sum of many, types %d, accumulate %d", type, accumulate);
            parity_normal(&p, tensor_2d(NULL, types[type & 1], MANY, MANY_COLUMNS), 0, 1);
            parity_normal(&p, tensor_1d(NULL, types[type >> 1], MANY_COLUMNS), 0, 1);
            parity_check(&p, "weighted_sum", types[type >> 1], call_sum_of_many, &adds);
            parity_end(&p);
        }
    }
}

static void call_cast(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    CastArgs args = {.x = t[0], .y = t[1]};
    device->ops->cast(device->queue, &args);
}

static void cast_parity(void **state)
{
    (void)state;
    /* Ties, overflow to infinity, denormals and the values that are not numbers. */
    const float special[] = {1.00390625f, 1.01171875f, -1.00390625f, 3.4028235e38f, -3.4028235e38f,
                             1e-40f,      -1e-45f,     INFINITY,     -INFINITY,     NAN,
                             0.0f,        -0.0f,       1.0f,         1e-30f,        65504.0f};
    for (int from = 0; from < 2; from++) {
        for (int to = 0; to < 2; to++) {
            for (int i = 0; i < 6; i++) {
                int64_t n = i < 5 ? parity_sizes[i] : 5000;
                Parity p;
                parity_begin(&p, "cast %s to %s, %d elements", dtype_name(types[from]),
                             dtype_name(types[to]), (int)n);
                parity_normal(&p, tensor_1d(NULL, types[from], n), 0, 100);
                for (int64_t k = 0; k < n && k < 15; k++)
                    element_put(p.items[0].host, types[from], k, special[k]);
                parity_output(&p, tensor_1d(NULL, types[to], n));
                parity_check(&p, "cast", types[to], call_cast, NULL);
                parity_end(&p);
            }
        }
    }
}

static void call_gather_rows(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    GatherRowsArgs args = {.x = t[0], .rows = t[1], .out = t[2]};
    device->ops->gather_rows(device->queue, &args);
}

static void gather_rows_parity(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        for (int i = 0; i < 26; i++) { /* the last: rows of whole vectors */
            int64_t M = parity_sizes[i / 5 % 5], C = i < 25 ? parity_sizes[i % 5] : 40;
            Parity p;
            parity_begin(&p, "gather_rows %d of 19 x %d", (int)M, (int)C);
            parity_normal(&p, tensor_2d(NULL, types[type], 19, C), 0, 1);
            parity_integers(&p, tensor_1d(NULL, DTYPE_I32, M), 0, 19);
            parity_output(&p, tensor_2d(NULL, types[type], M, C));
            parity_check(&p, "gather_rows", types[type], call_gather_rows, NULL);
            parity_end(&p);
        }
    }
}

static void call_non_finite(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    NonFiniteArgs args = {.x = t[0], .out = t[1]};
    device->ops->non_finite(device->queue, &args);
}

static void non_finite_finds_each(void **state)
{
    (void)state;
    const float bad[4] = {INFINITY, -INFINITY, NAN, 3e38f};
    for (int type = 0; type < 2; type++) {
        for (int i = 0; i < 20; i++) {
            int64_t n = i / 4 < 4 ? parity_sizes[i / 4] : 9001;
            Parity p;
            parity_begin(&p, "non_finite %d", i);
            parity_normal(&p, tensor_1d(NULL, types[type], n), 0, 1);
            element_put(p.items[0].host, types[type], n - 1, bad[i % 4]);
            parity_output(&p, tensor_1d(NULL, DTYPE_I32, 1));
            parity_check(&p, "non_finite", types[type], call_non_finite, NULL);
            int32_t *found = parity_reference(&p, call_non_finite, NULL, 1);
            assert_int_equal(*found, i % 4 != 3);
            free(found);
            parity_end(&p);
        }
    }
}

static void call_dropout(const Device *device, const Tensor *t, const void *context)
{
    DropoutArgs args = {.x = t[0],
                        .y = t[1],
                        .p = *(const float *)context,
                        .seed = 0x123456789abcdefu,
                        .first = 0xfffffff0u}; /* crosses 2^32 */
    device->ops->dropout(device->queue, &args);
}

/* More elements than one piece holds, and a piece that ends in the middle of a vector. */
static void dropout_parity(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 17, 65, 8191, 40007};
    static const float shares[] = {0.0f, 0.1f, 0.9f};
    for (int type = 0; type < 2; type++)
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < 3; k++) {
                Parity p;
                parity_begin(&p, "dropout %s, %d elements, p %g", dtype_name(types[type]),
                             (int)sizes[i], (double)shares[k]);
                parity_normal(&p, tensor_1d(NULL, types[type], sizes[i]), 0, 1);
                parity_output(&p, tensor_1d(NULL, types[type], sizes[i]));
                parity_check(&p, "dropout", types[type], call_dropout, &shares[k]);
                parity_end(&p);
            }
}

static void cast_large(void **state)
{
    (void)state;
    for (int from = 0; from < 2; from++) {
        Parity p;
        parity_begin(&p, "cast from %s, 40007 elements", dtype_name(types[from]));
        parity_normal(&p, tensor_1d(NULL, types[from], 40007), 0, 1);
        parity_output(&p, tensor_1d(NULL, types[1 - from], 40007));
        parity_check(&p, "cast", types[1 - from], call_cast, NULL);
        parity_end(&p);
    }
}

int main(void)
{
    backend_cpu_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_parity),         cmocka_unit_test(adamw_first_step),
        cmocka_unit_test(grad_norm_parity),     cmocka_unit_test(weighted_sum_parity),
        cmocka_unit_test(cast_parity),          cmocka_unit_test(cast_large),
        cmocka_unit_test(adamw_of_many),        cmocka_unit_test(grad_norm_of_many),
        cmocka_unit_test(weighted_sum_of_many), cmocka_unit_test(dropout_parity),
        cmocka_unit_test(gather_rows_parity),   cmocka_unit_test(non_finite_finds_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
