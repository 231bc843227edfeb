/* The machine's own limits. */
#include "core/base/log.h"
#include "core/cli/bench.h"

static Status products(const BenchRun *how, BenchResult *result, Err *err)
{
    BenchRoof roof;
    double rate;
    TRY(bench_roof_init(&roof, how, err));
    Status status = bench_roof_rate(&roof, how->seconds, &rate, err);
    if (status == STATUS_OK)
        bench_put(result, "gflops", rate, "GFLOP/s");
    bench_roof_clear(&roof);
    return status;
}

/* Reads memory much larger than the caches, with the operation that reads fastest and whose result
 * is a single number. */
static Status bandwidth(const BenchRun *how, BenchResult *result, Err *err)
{
    enum { N = 64 << 20 };
    const Device *device = &how->device;
    Tensor x = tensor_1d(NULL, DTYPE_F32, N), norm = tensor_1d(NULL, DTYPE_F32, 1);
    TRY(device_tensor(device, &x, "memory to read", err));
    Status status = device_tensor(device, &norm, "a number", err);
    BenchTimes times = {.count = 0};
    double end = clock_seconds() + how->seconds;
    if (status == STATUS_OK)
        device->ops->zero(device->queue, x.data, tensor_bytes(&x));
    while (status == STATUS_OK && (times.count < 3 || clock_seconds() < end)) {
        double start = clock_seconds();
        GradNormArgs args = {.items = &x, .n_items = 1, .norm = norm};
        device->ops->grad_norm(device->queue, &args);
        status = device->ops->queue_wait(device->queue, err);
        bench_time_add(&times, clock_seconds() - start);
    }
    if (status == STATUS_OK)
        bench_put(result, "read_gb_per_second", 4.0 * N / bench_median(&times) * 1e-9, "GB/s");
    device->ops->free(x.data);
    if (norm.data)
        device->ops->free(norm.data);
    return status;
}

const Bench bench_machine[] = {
    {"products", "rate of a large matrix product", products},
    {"bandwidth", "rate of reading memory", bandwidth},
    {0},
};
