/* What is equal is computed alike: a row's values do not depend on where it stands among the rows,
 * nor a text's on its place in the batch. Under the instruction set of CAMBIUM_ISA, which oneDNN
 * takes over once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/cpu/cpu.h"
#include "core/cpu/product.h"
#include "tests/support/assert_ok.h"
#include "tests/support/tiny_model.h"
#include "train/backward.h"

static Rng rng;

static Tensor fresh(Tensor shape)
{
    Err err;
    ASSERT_OK(device_tensor(tiny_device(), &shape, "test", &err));
    return shape;
}

static void done(const Tensor *t)
{
    tiny_device()->ops->free(t->data);
}

static Tensor random_tensor(Tensor shape)
{
    Tensor t = fresh(shape);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        element_put(cpu_ptr(&t), t.dtype, i, (float)(rng_uniform(&rng) - 0.5));
    return t;
}

/* (rows, cols): one random row again and again. */
static Tensor equal_rows(DType type, int64_t rows, int64_t cols)
{
    Tensor t = random_tensor(tensor_2d(NULL, type, rows, cols));
    size_t bytes = (size_t)cols * dtype_bytes(type);
    for (int64_t i = 1; i < rows; i++)
        memcpy((char *)cpu_ptr(&t) + (size_t)i * bytes, cpu_ptr(&t), bytes);
    return t;
}

static void check_rows(const Tensor *t, int64_t rows, const char *what, int64_t N, int64_t K)
{
    size_t bytes = (size_t)(tensor_count(t) / rows) * dtype_bytes(t->dtype);
    const char *data = cpu_ptr(t);
    for (int64_t i = 1; i < rows; i++)
        if (memcmp(data, data + (size_t)i * bytes, bytes) != 0)
            fail_msg("%s %lldx%lldx%lld, %s: row %lld differs from row 0", what, (long long)rows,
                     (long long)N, (long long)K, dtype_name(t->dtype), (long long)i);
}

static void gemm_of(DType type, DType out, int64_t M, int64_t N, int64_t K, bool b_transposed)
{
    const Device *device = tiny_device();
    Tensor a = equal_rows(type, M, K), c = equal_rows(out, M, N);
    Tensor b =
        random_tensor(b_transposed ? tensor_2d(NULL, type, N, K) : tensor_2d(NULL, type, K, N));
    bool accumulate = (M + N) % 3 == 0;
    device->ops->gemm(
        device->queue,
        &(GemmArgs){
            .a = a, .b = b, .c = c, .b_transposed = b_transposed, .accumulate = accumulate});
    check_rows(&c, M, "gemm", N, K);
    done(&a), done(&b), done(&c);
}

/* One tile, strips of rows with a rest, columns with a rest, among them one column, and the sizes
 * around the blocks of the products' kernels. */
static void products(void **state)
{
    (void)state;
    const int64_t sizes[][2] = {{32, 32}, {300, 100}, {257, 129}, {33, 31}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int64_t M = 1; M <= 700; M += M < 100 ? 3 : 101)
            for (int form = 0; form < 4; form++)
                gemm_of(form / 2 ? DTYPE_BF16 : DTYPE_F32, form == 3 ? DTYPE_BF16 : DTYPE_F32, M,
                        sizes[s][0], sizes[s][1], form % 2 || M % 2);
    gemm_of(DTYPE_F32, DTYPE_F32, 300, 512, 2048, true); /* oneDNN cuts long sums by M, too */
    gemm_of(DTYPE_BF16, DTYPE_BF16, 300, 512, 2048, true);
    gemm_of(DTYPE_BF16, DTYPE_F32, 777, 512, 1408, true);
}

/* Fewer rows than a plan has give what they give among others. */
static void parts_of_a_product(void **state)
{
    (void)state;
    enum { N = 40, K = 50, MOST = 203 };
    Queue *queue = tiny_device()->queue;
    Tensor a = random_tensor(tensor_2d(NULL, DTYPE_F32, MOST, K));
    Tensor b = random_tensor(tensor_2d(NULL, DTYPE_F32, N, K));
    Tensor whole = fresh(tensor_2d(NULL, DTYPE_F32, MOST, N));
    Product product = {
        .M = MOST, .N = N, .K = K, .lda = K, .ldb = K, .ldc = N, .b_transposed = true};
    product_begin(queue);
    const ProductPlan *plan = product_plan(queue, &product);
    product_run(plan, 0, cpu_ptr(&a), cpu_ptr(&b), NULL, cpu_ptr(&whole));
    for (int64_t rows = 1; rows < MOST; rows += 7) {
        Tensor part = equal_rows(DTYPE_F32, MOST, N);
        product_run_rows(plan, 0, rows, cpu_ptr(&a), cpu_ptr(&b), NULL, cpu_ptr(&part));
        assert_memory_equal(cpu_ptr(&part), cpu_ptr(&whole), (size_t)(rows * N) * sizeof(float));
        const float *rest = cpu_f32(&part) + (MOST - 1) * N;
        if (rows < MOST - 1) /* untouched */
            assert_memory_equal(rest, rest - N, N * sizeof(float));
        done(&part);
    }
    done(&a), done(&b), done(&whole);
}

static void losses_of(DType type, int64_t rows, int64_t C, int64_t V)
{
    const Device *device = tiny_device();
    Tensor x = equal_rows(type, rows, C);
    Tensor weight = random_tensor(tensor_2d(NULL, type, V, C));
    Tensor targets = fresh(tensor_1d(NULL, DTYPE_I32, rows));
    Tensor losses = fresh(tensor_1d(NULL, DTYPE_F32, rows));
    for (int64_t i = 0; i < rows; i++)
        ((int32_t *)cpu_ptr(&targets))[i] = (int32_t)(V / 2);
    device->ops->head_loss(
        device->queue,
        &(HeadLossArgs){.x = x, .weight = weight, .targets = targets, .losses = losses});
    check_rows(&losses, rows, "head_loss", V, C);
    done(&x), done(&weight), done(&targets), done(&losses);
}

static void losses(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++)
        for (int64_t rows = 2; rows < 1200; rows += rows < 40 ? 5 : 97)
            losses_of(type ? DTYPE_BF16 : DTYPE_F32, rows, 48, 900);
}

/* A batch of one text, so often that its tokens lie at every place of a block. */
static void texts(void **state)
{
    (void)state;
    enum { T = 37, BATCH = 13 };
    Err err;
    ModelConfig config = tiny_config();
    int32_t ids[BATCH * T], targets[BATCH * T];
    for (int type = 0; type < 2; type++) {
        Model *model = tiny_model(&config, type ? DTYPE_BF16 : DTYPE_F32, 5, 3);
        Pass *pass;
        for (int i = 0; i < BATCH * T; i++) {
            ids[i] = i % T * 7 % 97;
            targets[i] = i % T * 5 % 97;
        }
        ASSERT_OK(pass_new(&pass, model, NULL, BATCH, T, &err));
        double loss;
        int64_t count;
        ASSERT_OK(
            pass_run(pass, &(PassInput){.ids = ids, .targets = targets}, &loss, &count, &err));
        const float *found = pass_losses(pass);
        for (int i = 0; i < BATCH * T; i++)
            assert_true(found[i] == found[i % T]);
        pass_free(pass);
        model_free(model);
    }
}

int main(void)
{
    backend_cpu_register();
    rng_init(&rng, 11, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(parts_of_a_product),
        cmocka_unit_test(losses),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
