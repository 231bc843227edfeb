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

enum { ROOF_M = 1024, ROOF_N = 2048, ROOF_K = 2048 };

Status bench_roof_init(BenchRoof *roof, const BenchRun *how, Err *err)
{
    *roof = (BenchRoof){.device = how->device,
                        .product = {.a = tensor_2d(NULL, how->dtype, ROOF_M, ROOF_K),
                                    .b = tensor_2d(NULL, how->dtype, ROOF_N, ROOF_K),
                                    .c = tensor_2d(NULL, how->dtype, ROOF_M, ROOF_N),
                                    .b_transposed = true}};
    Tensor *const tensors[] = {&roof->product.a, &roof->product.b, &roof->product.c};
    for (int i = 0; i < 3; i++) {
        if (device_tensor(&roof->device, tensors[i], "a product", err) != STATUS_OK) {
            bench_roof_clear(roof);
            return STATUS_FAIL;
        }
        roof->device.ops->zero(roof->device.queue, tensors[i]->data, tensor_bytes(tensors[i]));
    }
    return STATUS_OK;
}

Status bench_roof_rate(BenchRoof *roof, double seconds, double *out, Err *err)
{
    BenchTimes times = {.count = 0};
    double end = clock_seconds() + seconds;
    while (times.count < 3 || clock_seconds() < end) {
        double start = clock_seconds();
        roof->device.ops->gemm(roof->device.queue, &roof->product);
        TRY(roof->device.ops->queue_wait(roof->device.queue, err));
        bench_time_add(&times, clock_seconds() - start);
    }
    *out = 2.0 * ROOF_M * ROOF_N * ROOF_K / bench_median(&times) * 1e-9;
    return STATUS_OK;
}

void bench_roof_clear(BenchRoof *roof)
{
    Tensor *const tensors[] = {&roof->product.a, &roof->product.b, &roof->product.c};
    for (int i = 0; i < 3; i++)
        if (tensors[i]->data)
            roof->device.ops->free(tensors[i]->data);
    *roof = (BenchRoof){0};
}

/* ---- reading -------------------------------------------------------------------------------- */

enum { READER_FLOATS = 64 << 20 };

Status bench_reader_init(BenchReader *reader, const Device *device, Err *err)
{
    *reader = (BenchReader){.device = *device,
                            .x = tensor_1d(NULL, DTYPE_F32, READER_FLOATS),
                            .norm = tensor_1d(NULL, DTYPE_F32, 1)};
    Status status = device_tensor(device, &reader->x, "memory to read", err);
    if (status == STATUS_OK)
        status = device_tensor(device, &reader->norm, "a number", err);
    if (status == STATUS_OK)
        device->ops->zero(device->queue, reader->x.data, tensor_bytes(&reader->x));
    else
        bench_reader_clear(reader);
    return status;
}

Status bench_reader_rate(BenchReader *reader, double seconds, double *out, Err *err)
{
    const Device *device = &reader->device;
    BenchTimes times = {.count = 0};
    double end = clock_seconds() + seconds;
    while (times.count < 3 || clock_seconds() < end) {
        double start = clock_seconds();
        GradNormArgs args = {.items = &reader->x, .n_items = 1, .norm = reader->norm};
        device->ops->grad_norm(device->queue, &args);
        TRY(device->ops->queue_wait(device->queue, err));
        bench_time_add(&times, clock_seconds() - start);
    }
    *out = 4.0 * READER_FLOATS / bench_median(&times) * 1e-9;
    return STATUS_OK;
}

void bench_reader_clear(BenchReader *reader)
{
    if (reader->x.data)
        reader->device.ops->free(reader->x.data);
    if (reader->norm.data)
        reader->device.ops->free(reader->norm.data);
    *reader = (BenchReader){0};
}
