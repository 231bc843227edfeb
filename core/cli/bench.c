#include "core/cli/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"

void bench_put(BenchResult *result, const char *name, double value, const char *unit)
{
    json_object_set_new(result->values, name, json_real(value));
    json_object_set_new(result->units, name, json_string(unit));
}

void bench_time_add(BenchTimes *times, double seconds)
{
    if (times->count < (int64_t)(sizeof times->items / sizeof *times->items))
        times->items[times->count++] = seconds;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const BenchTimes *times)
{
    CHECK(times->count > 0, "no times were taken");
    BenchTimes *sorted = xmalloc(sizeof *sorted);
    memcpy(sorted, times, sizeof *sorted);
    qsort(sorted->items, (size_t)sorted->count, sizeof *sorted->items, compare);
    double median = sorted->items[sorted->count / 2];
    free(sorted);
    return median;
}

/* ---- memory --------------------------------------------------------------------------------- */

double bench_peak_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    double kilobytes = 0.0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kilobytes = strtod(line + 6, NULL);
    if (file)
        fclose(file);
    return kilobytes * 1024.0;
}

void bench_reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return;
    fputs("5", file); /* "reset the peak resident set size" (proc(5)) */
    fclose(file);
}

/* ---- products ------------------------------------------------------------------------------- */

Status bench_product_rate(const Device *device, DType dtype, double seconds, double *out, Err *err)
{
    enum { M = 1024, N = 2048, K = 2048 };
    GemmArgs args = {.a = tensor_2d(NULL, dtype, M, K),
                     .b = tensor_2d(NULL, dtype, N, K),
                     .c = tensor_2d(NULL, dtype, M, N),
                     .b_transposed = true};
    Tensor *const tensors[] = {&args.a, &args.b, &args.c};
    Status status = STATUS_OK;
    for (int i = 0; i < 3 && status == STATUS_OK; i++) {
        status = device_tensor(device, tensors[i], "a product", err);
        if (status == STATUS_OK)
            device->ops->zero(device->queue, tensors[i]->data, tensor_bytes(tensors[i]));
    }
    BenchTimes times = {.count = 0};
    double end = clock_seconds() + seconds;
    while (status == STATUS_OK && (times.count < 3 || clock_seconds() < end)) {
        double start = clock_seconds();
        device->ops->gemm(device->queue, &args);
        status = device->ops->queue_wait(device->queue, err);
        bench_time_add(&times, clock_seconds() - start);
    }
    if (status == STATUS_OK)
        *out = 2.0 * M * N * K / bench_median(&times) * 1e-9;
    for (int i = 0; i < 3; i++)
        if (tensors[i]->data)
            device->ops->free(tensors[i]->data);
    return status;
}
