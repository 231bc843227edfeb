/* Times of a queue's work are those of the work, not of enqueueing it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/cpu/cpu.h"
#include "core/tensor/stopwatch.h"
#include "tests/support/assert_ok.h"

static Device device;

/* A product that takes long beside what enqueueing one does. */
static void work(const Tensor *a, const Tensor *c)
{
    GemmArgs args = {.a = *a, .b = *a, .c = *c};
    device.ops->gemm(device.queue, &args);
}

static void a_lap_is_as_long_as_its_work(void **state)
{
    (void)state;
    enum { N = 250 };
    Tensor a = tensor_2d(NULL, DTYPE_F32, N, N), c = a;
    Stopwatch watch = {.device = device};
    Err err = {.text = ""};
    ASSERT_OK(device_tensor(&device, &a, "a", &err));
    ASSERT_OK(device_tensor(&device, &c, "c", &err));
    device.ops->zero(device.queue, a.data, tensor_bytes(&a));
    work(&a, &c);
    ASSERT_OK(device.ops->queue_wait(device.queue, &err));
    for (int round = 1; round <= 2; round++) {
        double started = clock_seconds(), before = watch.seconds[1];
        stopwatch_begin(&watch, 0);
        stopwatch_end(&watch, 0);
        stopwatch_begin(&watch, 1);
        work(&a, &c);
        work(&a, &c);
        stopwatch_end(&watch, 1);
        ASSERT_OK(device.ops->queue_wait(device.queue, &err));
        double whole = clock_seconds() - started;
        stopwatch_read(&watch);
        double lap = watch.seconds[1] - before;
        if (!(lap > 0.5 * whole && lap <= whole))
            fail_msg("round %d: %g of %g s", round, lap, whole);
        assert_true(watch.seconds[0] < 0.5 * watch.seconds[1]);
    }
    stopwatch_clear(&watch);
    device.ops->free(a.data);
    device.ops->free(c.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_lap_is_as_long_as_its_work)};
    const char *name = getenv("TEST_BACKEND");
    Err err;
    backend_cpu_register();
    CHECK(device_open(&device, name ? name : "cpu", &err) == STATUS_OK, "%s", err.text);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device_close(&device);
    return failed;
}
