/* gemm and sum_rows against their references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/cpu/cpu.h"
#include "tests/support/parity.h"

static const DType types[2] = {DTYPE_F32, DTYPE_BF16};

/* One variant of a product: tensors 0 to 4 are a, b, c, bias, pre; absent ones are tiny. */
typedef struct GemmCase {
    bool a_transposed, b_transposed, accumulate, bias, pre;
    Activation act;
    int bias_at; /* elements of its tensor before it */
} GemmCase;

static void call_gemm(const Device *device, const Tensor *t, const void *context)
{
    const GemmCase *g = context;
    GemmArgs args = {.a = t[0],
                     .b = t[1],
                     .c = t[2],
                     .a_transposed = g->a_transposed,
                     .b_transposed = g->b_transposed,
                     .accumulate = g->accumulate,
                     .act = g->act};
    if (g->bias)
        args.bias = tensor_1d((float *)t[3].data + g->bias_at, DTYPE_F32, args.c.shape[1]);
    if (g->pre)
        args.pre = t[4];
    device->ops->gemm(device->queue, &args);
}

static void check_gemm_at(size_t offset, const GemmCase *g, DType type, DType out, int64_t M,
                          int64_t N, int64_t K)
{
    Parity p;
    parity_begin(&p, "gemm %s to %s %lldx%lldx%lld ta %d tb %d acc %d bias %d pre %d act %d",
                 dtype_name(type), dtype_name(out), (long long)M, (long long)N, (long long)K,
                 g->a_transposed, g->b_transposed, g->accumulate, g->bias, g->pre, (int)g->act);
    p.offset = offset;
    Tensor a = g->a_transposed ? tensor_2d(NULL, type, K, M) : tensor_2d(NULL, type, M, K);
    Tensor b = g->b_transposed ? tensor_2d(NULL, type, N, K) : tensor_2d(NULL, type, K, N);
    parity_normal(&p, a, 0, 1);
    parity_normal(&p, b, 0, 1);
    Tensor c = tensor_2d(NULL, out, M, N);
    if (g->accumulate)
        parity_normal(&p, c, 0, 1);
    else
        parity_output(&p, c);
    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, g->bias_at + N), 0, 1);
    parity_output(&p, g->pre ? c : tensor_1d(NULL, out, 1));
    parity_check(&p, "gemm", type, call_gemm, g);
    parity_end(&p);
}

static void check_gemm(const GemmCase *g, DType type, DType out, int64_t M, int64_t N, int64_t K)
{
    check_gemm_at(0, g, type, out, M, N, K);
}

static const GemmCase gemm_cases[] = {
    {0},
    {.b_transposed = true},
    {.b_transposed = true, .bias = true},
    {.b_transposed = true, .bias = true, .act = ACT_GELU},
    {.b_transposed = true, .bias = true, .act = ACT_GELU, .pre = true},
    {.b_transposed = true, .act = ACT_GELU},
    {.a_transposed = true},
    {.a_transposed = true, .accumulate = true},
    {.a_transposed = true, .b_transposed = true},
    {.b_transposed = true, .accumulate = true, .bias = true},
};

/* Every size in every position, against the others by turns. */
static void gemm_odd_sizes(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++)
        for (int g = 0; g < (int)(sizeof gemm_cases / sizeof *gemm_cases); g++)
            for (int i = 0; i < 5; i++)
                for (int j = 0; j < 5; j++)
                    check_gemm(&gemm_cases[g], types[type], j % 2 ? types[type] : DTYPE_F32,
                               parity_sizes[i], parity_sizes[j], parity_sizes[(i + 2 * j) % 5]);
}

static void gemm_model_sizes(void **state)
{
    (void)state;
    /* Cut by columns, by rows with a rest, a long sum, few rows, whole vectors. */
    const int64_t sizes[5][3] = {
        {100, 300, 96}, {333, 65, 70}, {17, 33, 2500}, {5, 700, 300}, {19, 264, 40}};
    for (int type = 0; type < 2; type++)
        for (int g = 0; g < (int)(sizeof gemm_cases / sizeof *gemm_cases); g++)
            for (int i = 0; i < 5; i++)
                check_gemm(&gemm_cases[g], types[type], types[(g + type) % 2 ? type : 0],
                           sizes[i][0], sizes[i][1], sizes[i][2]);
}

/* Parts of larger tensors begin anywhere: no vectors then. */
static void gemm_unaligned(void **state)
{
    (void)state;
    for (int g = 0; g < (int)(sizeof gemm_cases / sizeof *gemm_cases); g++)
        for (int type = 0; type < 2; type++)
            check_gemm_at(4, &gemm_cases[g], types[type], DTYPE_F32, 100, 300, 96);
    GemmCase biased = {.b_transposed = true, .bias = true, .bias_at = 1};
    check_gemm(&biased, DTYPE_F32, DTYPE_F32, 100, 300, 96);
}

/* Rank one updates and empty inner sizes are what decoding and sharding meet. */
static void gemm_inner_size_zero(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        check_gemm(&(GemmCase){.b_transposed = true}, types[type], DTYPE_F32, 5, 7, 0);
        check_gemm(&(GemmCase){.b_transposed = true, .accumulate = true}, types[type], DTYPE_F32, 5,
                   7, 0);
        check_gemm(&(GemmCase){.b_transposed = true, .bias = true}, types[type], DTYPE_F32, 0, 7,
                   3);
    }
}

static void call_sum_rows(const Device *device, const Tensor *t, const void *context)
{
    SumRowsArgs args = {.x = t[0], .out = t[1], .accumulate = *(const bool *)context};
    device->ops->sum_rows(device->queue, &args);
}

static void sum_rows(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        for (int i = 0; i < 7; i++) {
            for (int j = 0; j < 5; j++) {
                bool accumulate = (i + j) % 2;
                int64_t rows = i < 5 ? parity_sizes[i] : i == 5 ? 1000 : 0;
                int64_t N = i < 5 ? parity_sizes[j] : 97 * (j + 1);
                Parity p;
                parity_begin(&p, "sum_rows %s %lldx%lld", dtype_name(types[type]), (long long)rows,
                             (long long)N);
                parity_normal(&p, tensor_2d(NULL, types[type], rows, N), 0.1, 1);
                if (accumulate)
                    parity_normal(&p, tensor_1d(NULL, DTYPE_F32, N), 0, 1);
                else
                    parity_output(&p, tensor_1d(NULL, DTYPE_F32, N));
                parity_check(&p, "sum_rows", types[type], call_sum_rows, &accumulate);
                parity_end(&p);
            }
        }
    }
}

int main(void)
{
    backend_cpu_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_odd_sizes), cmocka_unit_test(gemm_model_sizes),
        cmocka_unit_test(gemm_unaligned), cmocka_unit_test(gemm_inner_size_zero),
        cmocka_unit_test(sum_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
