/* Attention for training, against the reference and finite differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/cpu/cpu.h"
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

int main(void)
{
    backend_cpu_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attn_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
