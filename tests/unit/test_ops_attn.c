/* Attention for training, against the reference and finite differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cpu/cpu.h"
#include "tests/support/assert_ok.h"
#include "tests/support/parity.h"

typedef struct Shape {
    int64_t B, T, H, K, D;
} Shape;

static float scale_of(const Shape *s)
{
    return 1.0f / sqrtf((float)s->D);
}

static Tensor heads(const Shape *s, int64_t n, DType type)
{
    return tensor_4d(NULL, type, s->B, s->T, n, s->D);
}

static void call_attn(const Device *device, const Tensor *t, const void *context)
{
    AttnArgs args = {t[0], t[1], t[2], t[3], t[4], scale_of(context)};
    device->ops->attn(device->queue, &args);
}

static void try_attn(Shape s, DType type)
{
    Parity p;
    parity_begin(&p, "attn B %d T %d H %d K %d D %d %s", (int)s.B, (int)s.T, (int)s.H, (int)s.K,
                 (int)s.D, dtype_name(type));
    parity_normal(&p, heads(&s, s.H, type), 0.0, 2.0);
    parity_normal(&p, heads(&s, s.K, type), 0.1, 1.5);
    parity_normal(&p, heads(&s, s.K, type), 0.2, 1.0);
    parity_output(&p, heads(&s, s.H, type));
    parity_output(&p, tensor_3d(NULL, DTYPE_F32, s.B, s.H, s.T));
    parity_check(&p, "attn", type, call_attn, &s);
    parity_end(&p);
}

/* Tensors: q, k, v, out, lse, dout, dq, dk, dv, scratch. */
static void call_backward(const Device *device, const Tensor *t, const void *context)
{
    AttnBackwardArgs args = {
        t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], scale_of(context)};
    device->ops->attn_backward(device->queue, &args);
}

/* A case whose out and lse are what the forward reference makes of q, k and v. */
static void backward_case(Parity *p, const Shape *s, DType type)
{
    parity_begin(p, "attn_backward B %d T %d H %d K %d D %d %s", (int)s->B, (int)s->T, (int)s->H,
                 (int)s->K, (int)s->D, dtype_name(type));
    parity_normal(p, heads(s, s->H, type), 0.0, 1.5);
    parity_normal(p, heads(s, s->K, type), 0.1, 1.0);
    parity_normal(p, heads(s, s->K, type), 0.2, 1.0);
    parity_output(p, heads(s, s->H, type));
    parity_output(p, tensor_3d(NULL, DTYPE_F32, s->B, s->H, s->T));
    for (int i = 3; i <= 4; i++) {
        void *made = parity_reference(p, call_attn, s, i);
        memcpy(p->items[i].host, made, tensor_bytes(&p->items[i].shape));
        free(made);
    }
    parity_normal(p, heads(s, s->H, type), 0.0, 1.0);
    parity_output(p, heads(s, s->H, type));
    parity_output(p, heads(s, s->K, type));
    parity_output(p, heads(s, s->K, type));
    parity_scratch(p, tensor_3d(NULL, DTYPE_F32, s->B, s->H, s->T));
}

static void try_backward(Shape s, DType type)
{
    Parity p;
    backward_case(&p, &s, type);
    parity_check(&p, "attn_backward", type, call_backward, &s);
    parity_end(&p);
}

static const Shape shapes[] = {
    {1, 1, 1, 1, 1},   {2, 3, 3, 1, 3},    {1, 17, 2, 2, 17},  {2, 63, 4, 2, 63},
    {1, 65, 3, 3, 65}, {2, 65, 6, 6, 32},  {1, 130, 8, 2, 64}, {1, 300, 5, 1, 128},
    {3, 64, 2, 1, 16}, {1, 257, 1, 1, 80},
};

static void attn_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        try_attn(shapes[i], DTYPE_F32);
        try_attn(shapes[i], DTYPE_BF16);
    }
}

static void attn_backward_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        try_backward(shapes[i], DTYPE_F32);
        try_backward(shapes[i], DTYPE_BF16);
    }
}

/* Heads for which a GPU with little shared memory takes smaller tiles. */
static void attn_of_wide_heads_agrees(void **state)
{
    (void)state;
    const Shape wide[] = {{1, 70, 2, 1, 128}, {1, 67, 2, 1, 136}, {1, 33, 1, 1, 255}};
    for (int i = 0; i < 6; i++) {
        try_attn(wide[i / 2], i % 2 ? DTYPE_BF16 : DTYPE_F32);
        try_backward(wide[i / 2], i % 2 ? DTYPE_BF16 : DTYPE_F32);
    }
}

/* The emulated GPU, or NULL: there cuDNN can be emulated, too. */
static const Backend *emulated(void)
{
    const Backend *ops;
    Err err;
    const char *name = getenv("TEST_BACKEND");
    if (!name || backend_open(name, &ops, &err) != STATUS_OK ||
        !strstr(ops->description(), "emulated"))
        return NULL;
    return ops;
}

/* cuDNN's way, in pieces: rows of the batch, and groups of heads. */
static void attn_agrees_with_a_library(void **state)
{
    (void)state;
    const Shape more[] = {{4, 65, 2, 2, 8}, {1, 130, 8, 4, 8}, {2, 17, 12, 6, 8}, {6, 3, 1, 1, 8}};
    if (!emulated())
        skip();
    setenv("CAMBIUM_EMULATE_CUDNN", "1", 1);
    attn_agrees(state);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        try_backward(shapes[i], DTYPE_BF16);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        try_backward(more[i], DTYPE_BF16);
    unsetenv("CAMBIUM_EMULATE_CUDNN");
}

/* Bytes that a queue keeps after a gradient; the inputs' contents do not matter. */
static size_t kept_by_gradient(const Backend *ops, Shape s)
{
    Tensor t[11];
    Err err;
    Device device = {.ops = ops};
    size_t before, after, total;
    ASSERT_OK(ops->queue_new(&device.queue, &err));
    for (int i = 0; i < 10; i++) {
        bool keys = i == 1 || i == 2 || i == 7 || i == 8, statistic = i == 4 || i == 9;
        t[i] = statistic ? tensor_3d(NULL, DTYPE_F32, s.B, s.H, s.T)
                         : heads(&s, keys ? s.K : s.H, DTYPE_BF16);
        ASSERT_OK(device_tensor(&device, &t[i], "a test", &err));
        ops->zero(device.queue, t[i].data, tensor_bytes(&t[i]));
    }
    ops->memory(&before, &total);
    AttnBackwardArgs args = {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], 1.0f};
    ops->attn_backward(device.queue, &args);
    ASSERT_OK(ops->queue_wait(device.queue, &err));
    ops->memory(&after, &total);
    for (int i = 0; i < 10; i++)
        ops->free(t[i].data);
    device_close(&device);
    return before - after;
}

static void what_a_library_takes_is_planned(void **state)
{
    (void)state;
    const Backend *ops = emulated();
    static char wanted;
    if (!ops)
        skip();
    setenv("CAMBIUM_EMULATE_CUDNN", "1", 1);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        Shape s = shapes[i];
        AttnShape attn = {s.B, s.T, s.H, s.K, s.D};
        HeadLossArgs loss = {.x = tensor_2d(NULL, DTYPE_BF16, s.B * s.T, s.H * s.D),
                             .weight = tensor_2d(NULL, DTYPE_BF16, 16, s.H * s.D),
                             .dx = tensor_2d(&wanted, DTYPE_F32, s.B * s.T, s.H * s.D)};
        size_t kept = kept_by_gradient(ops, s), planned = ops->loss_scratch(&loss, &attn);
        if (kept > planned || kept == 0)
            fail_msg("shape %zu: %zu bytes kept, %zu planned", i, kept, planned);
    }
    unsetenv("CAMBIUM_EMULATE_CUDNN");
}

/* With loss = <out, dout>, the reference's dq, dk and dv are its derivatives. */
static void attn_backward_is_the_gradient(void **state)
{
    (void)state;
    Shape s = {2, 5, 4, 2, 6};
    for (int input = 0; input < 3; input++) {
        Parity p;
        backward_case(&p, &s, DTYPE_F32);
        float *gradient = parity_reference(&p, call_backward, &s, 6 + input);
        ParityGradient check = {.x = input,
                                .out = 3,
                                .weights = p.items[5].host,
                                .gradient = gradient,
                                .step = 1e-2,
                                .tolerance = 2e-3};
        parity_gradient(&p, call_attn, &s, &check);
        free(gradient);
        parity_end(&p);
    }
}

/* Tensors: x, positions, inv_freq. */
typedef struct Turn {
    bool inverse;
    float scale;
} Turn;

static void call_rope(const Device *device, const Tensor *t, const void *context)
{
    const Turn *turn = context;
    RopeArgs args = {t[0], t[1], t[2], turn->inverse, turn->scale};
    device->ops->rope(device->queue, &args);
}

static void rope_agrees(void **state)
{
    (void)state;
    const int64_t sizes[] = {2, 6, 34, 64, 128, 130, 300};
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < 4; j++) {
            DType type = j % 2 ? DTYPE_BF16 : DTYPE_F32;
            Turn turn = {j > 1, j > 1 ? 1.1f : 1.0f};
            int64_t N = parity_sizes[i % 5], D = sizes[i];
            Parity p;
            parity_begin(&p, "rope N %d D %d %s", (int)N, (int)D, dtype_name(type));
            parity_normal(&p, tensor_3d(NULL, type, N, 3, D), 0.0, 1.0);
            parity_integers(&p, tensor_1d(NULL, DTYPE_I32, N), -5, 1000000);
            parity_normal(&p, tensor_1d(NULL, DTYPE_F32, D / 2), 0.0, 0.3);
            ((float *)p.items[2].host)[0] = 1.0f;
            parity_check(&p, "rope", type, call_rope, &turn);
            parity_end(&p);
        }
}

int main(void)
{
    backend_cpu_register();
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attn_agrees),
        cmocka_unit_test(attn_backward_agrees),
        cmocka_unit_test(attn_of_wide_heads_agrees),
        cmocka_unit_test(attn_agrees_with_a_library),
        cmocka_unit_test(what_a_library_takes_is_planned),
        cmocka_unit_test(attn_backward_is_the_gradient),
        cmocka_unit_test(rope_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
