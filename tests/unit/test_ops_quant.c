/* Int8 weights: making them and multiplying with them, against the reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"
#include "tests/support/parity.h"

/* Tensors: a, w, scales, c, bias. */
static void call_gemm(const Device *device, const Tensor *t, const void *context)
{
    const bool *biased = context;
    GemmI8Args args = {.a = t[0], .w = t[1], .scales = t[2], .c = t[3]};
    if (*biased)
        args.bias = t[4];
    device->ops->gemm_i8(device->queue, &args);
}

static void try_gemm(int64_t M, int64_t N, int64_t K, DType type, DType out)
{
    bool biased = (M + N) % 2;
    Parity p;
    parity_begin(&p, "gemm_i8 %d %d %d %s to %s", (int)M, (int)N, (int)K, dtype_name(type),
                 dtype_name(out));
    parity_normal(&p, tensor_2d(NULL, type, M, K), 0.1, 1.0);
    parity_integers(&p, tensor_2d(NULL, DTYPE_I8, N, K), -127, 128);
    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, N), 0.01, 0.002);
    parity_output(&p, tensor_2d(NULL, out, M, N));
    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, N), 0.0, 1.0);
    element_put(p.items[0].host, type, K / 2, 300.0f); /* an outlier, as activations have */
    parity_check(&p, "gemm_i8", type, call_gemm, &biased);
    parity_end(&p);
}

static void gemm_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            int64_t M = 1 + (i * 5 + j) % 9, N = parity_sizes[i], K = parity_sizes[j];
            try_gemm(M, N, K, DTYPE_F32, DTYPE_F32);
            try_gemm(M, N, K, DTYPE_BF16, DTYPE_BF16);
            try_gemm(M, N, K, DTYPE_BF16, DTYPE_F32);
        }
    for (int64_t M = 1; M < 100; M = M * 3 + 1) {
        try_gemm(M, 130, 384, DTYPE_BF16, DTYPE_BF16);
        try_gemm(M, 66, 9001, DTYPE_BF16, DTYPE_F32);
        try_gemm(M, 34, 9001, DTYPE_F32, DTYPE_F32);
        try_gemm(M, 1300, 1024, DTYPE_BF16, DTYPE_BF16);
    }
    try_gemm(33, 66, 63, DTYPE_F32, DTYPE_BF16);
}

/* The largest sums that 32 bits must bear: every product is 127 times the largest activation. */
static void sums_do_not_overflow(void **state)
{
    (void)state;
    const int64_t K = 20000;
    bool biased = false;
    Parity p;
    parity_begin(&p, "gemm_i8 of extremes");
    parity_integers(&p, tensor_2d(NULL, DTYPE_BF16, 1, K), 3, 4);
    parity_integers(&p, tensor_2d(NULL, DTYPE_I8, 5, K), 127, 128);
    parity_integers(&p, tensor_1d(NULL, DTYPE_F32, 5), 1, 2);
    parity_output(&p, tensor_2d(NULL, DTYPE_F32, 1, 5));
    parity_check(&p, "gemm_i8", DTYPE_BF16, call_gemm, &biased);
    parity_end(&p);
}

/* A NaN or an infinity among the activations must not vanish. */
static void not_a_number_stays(void **state)
{
    (void)state;
    Err err;
    Device device;
    const char *name = getenv("TEST_BACKEND") ? getenv("TEST_BACKEND") : "cpu";
    assert_int_equal(device_open(&device, name, &err), STATUS_OK);
    Tensor t[4] = {tensor_2d(NULL, DTYPE_BF16, 1, 40), tensor_2d(NULL, DTYPE_I8, 6, 40),
                   tensor_1d(NULL, DTYPE_F32, 6), tensor_2d(NULL, DTYPE_F32, 1, 6)};
    uint16_t a[40];
    int8_t w[6 * 40];
    float scales[6], c[6];
    for (int i = 0; i < 40; i++)
        a[i] = f32_to_bf16(i == 17 ? NAN : 1.0f);
    memset(w, 1, sizeof w);
    for (int i = 0; i < 6; i++)
        scales[i] = 0.5f;
    const void *host[3] = {a, w, scales};
    for (int i = 0; i < 4; i++)
        assert_int_equal(device_tensor(&device, &t[i], "a test tensor", &err), STATUS_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(device_upload(&device, &t[i], host[i], &err), STATUS_OK);
    bool biased = false;
    call_gemm(&device, t, &biased);
    assert_int_equal(device_download(&device, &t[3], c, &err), STATUS_OK);
    for (int i = 0; i < 6; i++)
        assert_true(isnan(c[i]));
    for (int i = 0; i < 4; i++)
        device.ops->free(t[i].data);
    device_close(&device);
}

static void call_quantise(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    QuantiseArgs args = {t[0], t[1], t[2]};
    device->ops->quantise(device->queue, &args);
}

static void quantise_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            for (int k = 0; k < 2; k++) {
                DType type = k ? DTYPE_BF16 : DTYPE_F32;
                int64_t rows = parity_sizes[i], cols = j == 2 ? 528 : parity_sizes[j];
                Parity p;
                parity_begin(&p, "quantise %d %d %s", (int)rows, (int)cols, dtype_name(type));
                parity_normal(&p, tensor_2d(NULL, type, rows, cols), 0.0, 2.0);
                parity_output(&p, tensor_2d(NULL, DTYPE_I8, rows, cols));
                parity_output(&p, tensor_1d(NULL, DTYPE_F32, rows));
                float tiny = 0.0f;
                for (int64_t c = 0; c < cols && rows > 1; c++, tiny += 3e-44f) {
                    element_put(p.items[0].host, type, c, 0.0f);
                    element_put(p.items[0].host, type, cols + c, tiny); /* denormals */
                }
                parity_check(&p, "quantise", type, call_quantise, NULL);
                parity_end(&p);
            }
}

int main(void)
{
    backend_cpu_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_agrees),
        cmocka_unit_test(sums_do_not_overflow),
        cmocka_unit_test(not_a_number_stays),
        cmocka_unit_test(quantise_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
