/* head_loss against its reference, and the reference's gradients against finite differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/cpu/cpu.h"
#include "tests/support/parity.h"

static const DType types[2] = {DTYPE_F32, DTYPE_BF16};

typedef struct HeadCase {
    bool bias, dx, dweight, dbias;
    float grad_scale;
    bool accumulate;
} HeadCase;

/* Tensors: x, weight, bias, targets, losses, dx, dweight, dbias. */
static void call_head_loss(const Device *device, const Tensor *t, const void *context)
{
    const HeadCase *h = context;
    HeadLossArgs args = {.x = t[0],
                         .weight = t[1],
                         .targets = t[3],
                         .losses = t[4],
                         .grad_scale = h->grad_scale,
                         .accumulate = h->accumulate};
    if (h->bias)
        args.bias = t[2];
    if (h->dx)
        args.dx = t[5];
    if (h->dweight)
        args.dweight = t[6];
    if (h->dbias)
        args.dbias = t[7];
    device->ops->head_loss(device->queue, &args);
}

typedef struct HeadShape {
    int64_t N, C, V;
    DType type, dx;
} HeadShape;

static void build(Parity *p, const HeadCase *h, const HeadShape *s)
{
    parity_begin(p, "head_loss %s, dx %s, N %d C %d V %d, bias %d dx %d dweight %d dbias %d",
                 dtype_name(s->type), dtype_name(s->dx), (int)s->N, (int)s->C, (int)s->V, h->bias,
                 h->dx, h->dweight, h->dbias);
    parity_normal(p, tensor_2d(NULL, s->type, s->N, s->C), 0, 1);
    parity_normal(p, tensor_2d(NULL, s->type, s->V, s->C), 0, 1.5 / sqrt((double)s->C));
    parity_normal(p, tensor_1d(NULL, DTYPE_F32, s->V), 0, 1);
    parity_integers(p, tensor_1d(NULL, DTYPE_I32, s->N), s->N > 4 ? -(s->V / 4) : 0, s->V);
    parity_output(p, tensor_1d(NULL, DTYPE_F32, s->N));
    parity_output(p, h->dx ? tensor_2d(NULL, s->dx, s->N, s->C) : tensor_1d(NULL, DTYPE_F32, 1));
    double deviation = (double)h->grad_scale;
    parity_normal(p, tensor_2d(NULL, DTYPE_F32, s->V, s->C), 0, deviation);
    parity_normal(p, tensor_1d(NULL, DTYPE_F32, s->V), 0, deviation);
}

static const HeadCase cases[] = {
    {false, true, true, false, 0.01f, true},   {true, true, true, true, 1.0f, true},
    {false, false, false, false, 1.0f, false}, {true, true, false, false, 0.5f, false},
    {false, false, true, false, 0.01f, false}, {true, true, true, true, 0.01f, false},
};

static void check(const HeadCase *h, const HeadShape *s)
{
    Parity p;
    build(&p, h, s);
    parity_check(&p, "head_loss", s->type, call_head_loss, h);
    parity_end(&p);
}

static void head_loss_odd_sizes(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++)
        for (int k = 0; k < (int)(sizeof cases / sizeof *cases); k++)
            for (int i = 0; i < 5; i++)
                for (int j = 0; j < 5; j++)
                    check(&cases[k],
                          &(HeadShape){parity_sizes[i], parity_sizes[(i + j) % 5], parity_sizes[j],
                                       types[type], types[type && j % 2]});
}

/* More rows and more words than one chunk holds. */
static void head_loss_many_chunks(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        check(&cases[0], &(HeadShape){130, 24, 5003, types[type], types[type]});
        check(&cases[1], &(HeadShape){515, 8, 1031, types[type], DTYPE_F32});
        check(&cases[2], &(HeadShape){130, 24, 5003, types[type], types[type]});
        check(&cases[5], &(HeadShape){150, 16, 1208, types[type], types[type]});
        check(&cases[2], &(HeadShape){70, 16, 1208, types[type], types[type]});
        check(&cases[1], &(HeadShape){40, 24, 769, types[type], types[type]}); /* 2 x 384 + 1 */
    }
}

/* A rank without tokens adds nothing, and what is not added to becomes zero. */
static void head_loss_no_rows(void **state)
{
    (void)state;
    for (int k = 0; k < (int)(sizeof cases / sizeof *cases); k++)
        check(&cases[k], &(HeadShape){0, 7, 19, DTYPE_BF16, DTYPE_F32});
}

/* Ignored rows cost nothing and give nothing, also when all are. */
static void head_loss_all_ignored(void **state)
{
    (void)state;
    const int32_t none[3] = {-1, -100, -1};
    HeadShape s = {3, 7, 19, DTYPE_F32, DTYPE_F32};
    Parity p;
    build(&p, &cases[1], &s);
    memcpy(p.items[3].host, none, sizeof none);
    parity_check(&p, "head_loss", DTYPE_F32, call_head_loss, &cases[1]);
    float *losses = parity_reference(&p, call_head_loss, &cases[1], 4);
    for (int i = 0; i < 3; i++)
        assert_true(losses[i] == 0.0f);
    free(losses);
    parity_end(&p);
}

/* Logits of hundreds neither overflow nor lose the loss. */
static void head_loss_large_logits(void **state)
{
    (void)state;
    HeadShape s = {17, 16, 63, DTYPE_F32, DTYPE_F32};
    Parity p;
    build(&p, &cases[0], &s);
    float *x = p.items[0].host;
    for (int i = 0; i < 17 * 16; i++)
        x[i] *= 200.0f;
    parity_check(&p, "head_loss", DTYPE_F32, call_head_loss, &cases[0]);
    parity_end(&p);
}

static void head_loss_gradients(void **state)
{
    (void)state;
    const HeadCase h = {true, true, true, true, 1.0f, true};
    HeadShape s = {6, 5, 9, DTYPE_F32, DTYPE_F32};
    Parity p;
    build(&p, &h, &s);
    memset(p.items[6].host, 0, sizeof(float) * 9 * 5);
    memset(p.items[7].host, 0, sizeof(float) * 9);
    const int inputs[3] = {0, 1, 2}, outputs[3] = {5, 6, 7};
    for (int i = 0; i < 3; i++) {
        float *gradient = parity_reference(&p, call_head_loss, &h, outputs[i]);
        parity_gradient(
            &p, call_head_loss, &h,
            &(ParityGradient){
                .x = inputs[i], .out = 4, .gradient = gradient, .step = 1e-2, .tolerance = 2e-3});
        free(gradient);
    }
    parity_end(&p);
}

int main(void)
{
    backend_cpu_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_loss_odd_sizes),    cmocka_unit_test(head_loss_many_chunks),
        cmocka_unit_test(head_loss_no_rows),      cmocka_unit_test(head_loss_all_ignored),
        cmocka_unit_test(head_loss_large_logits), cmocka_unit_test(head_loss_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
