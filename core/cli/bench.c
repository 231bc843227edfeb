#include "core/cli/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"

void bench_put(BenchResult *result, const char *name, double value, const char *unit)
{
    /* What is counted is told to the last one; what is measured, with the six digits of reals. */
    bool whole = fabs(value) < 0x1p53 && value == floor(value);
    json_object_set_new(result->values, name,
                        whole ? json_integer((json_int_t)value) : json_real(value));
    json_object_set_new(result->units, name, json_string(unit));
}

void bench_put_of(BenchResult *result, const char *name, const char *what, double value,
                  const char *unit)
{
    char key[64];
    snprintf(key, sizeof key, "%s_%s", name, what);
    bench_put(result, key, value, unit);
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

double bench_used_bytes(const Device *device)
{
    if (!device->ops->memory)
        return bench_peak_bytes();
    size_t free_bytes, total;
    device->ops->memory(&free_bytes, &total);
    return (double)(total - free_bytes);
}

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

/* A GPU needs a larger product to be busy, and random values: it draws less power, and so runs
 * faster, on zeros. */
static void roof_shape(const Device *device, int64_t *m, int64_t *n, int64_t *k)
{
    bool gpu = strcmp(device->ops->name, "cuda") == 0;
    *m = gpu ? 8192 : 1024;
    *n = *k = gpu ? 8192 : 2048;
}

Status bench_fill(const Device *device, const Tensor *t, Err *err)
{
    enum { PIECE = 1 << 20 };
    int64_t count = tensor_count(t), piece = count < PIECE ? count : PIECE;
    Tensor part = tensor_1d(NULL, t->dtype, piece);
    char *host = xmalloc(tensor_bytes(&part));
    Rng rng;
    rng_init(&rng, 5, 5);
    for (int64_t i = 0; i < piece; i++) {
        float value = (float)rng_normal(&rng);
        uint16_t narrow = f32_to_bf16(value);
        if (t->dtype == DTYPE_F32)
            memcpy(host + 4 * i, &value, 4);
        else
            memcpy(host + 2 * i, &narrow, 2);
    }
    size_t bytes = tensor_bytes(t), step = tensor_bytes(&part);
    for (size_t at = 0; at < bytes; at += step)
        device->ops->upload(device->queue, (char *)t->data + at, host,
                            bytes - at < step ? bytes - at : step);
    Status status = device->ops->queue_wait(device->queue, err);
    free(host);
    return status;
}

Status bench_roof_init(BenchRoof *roof, const BenchRun *how, Err *err)
{
    int64_t M, N, K;
    roof_shape(&how->device, &M, &N, &K);
    *roof = (BenchRoof){.device = how->device,
                        .product = {.a = tensor_2d(NULL, how->dtype, M, K),
                                    .b = tensor_2d(NULL, how->dtype, N, K),
                                    .c = tensor_2d(NULL, how->dtype, M, N),
                                    .b_transposed = true}};
    Tensor *const tensors[] = {&roof->product.a, &roof->product.b, &roof->product.c};
    for (int i = 0; i < 3; i++) {
        if (device_tensor(&roof->device, tensors[i], "a product", err) != STATUS_OK ||
            bench_fill(&roof->device, tensors[i], err) != STATUS_OK) {
            bench_roof_clear(roof);
            return STATUS_FAIL;
        }
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
    double flops =
        2.0 * (double)tensor_count(&roof->product.c) * (double)tensor_cols(&roof->product.a);
    *out = flops / bench_median(&times) * 1e-9;
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

enum { READER_FLOATS = 64 << 20, READER_FLOATS_GPU = 512 << 20 };

Status bench_reader_init(BenchReader *reader, const Device *device, Err *err)
{
    int64_t floats = strcmp(device->ops->name, "cuda") == 0 ? READER_FLOATS_GPU : READER_FLOATS;
    *reader = (BenchReader){.device = *device,
                            .width = parallel_width(),
                            .x = tensor_1d(NULL, DTYPE_F32, floats),
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

static Status read_passes(BenchReader *reader, double seconds, double *out, Err *err)
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
    *out = (double)tensor_bytes(&reader->x) / bench_median(&times) * 1e-9;
    return STATUS_OK;
}

Status bench_reader_rate(BenchReader *reader, double seconds, double *out, Err *err)
{
    int width = parallel_width();
    parallel_set_width(reader->width);
    Status status = read_passes(reader, seconds, out, err);
    parallel_set_width(width);
    return status;
}

Status bench_copy_rate(BenchReader *reader, double seconds, double *out, Err *err)
{
    const Device *device = &reader->device;
    size_t half = tensor_bytes(&reader->x) / 2;
    BenchTimes times = {.count = 0};
    double end = clock_seconds() + seconds;
    while (times.count < 3 || clock_seconds() < end) {
        double start = clock_seconds();
        for (int i = 0; i < 8; i++) /* one wait for several, so that a GPU's latency is hidden */
            device->ops->copy(device->queue, reader->x.data, (char *)reader->x.data + half, half);
        TRY(device->ops->queue_wait(device->queue, err));
        bench_time_add(&times, (clock_seconds() - start) / 8.0);
    }
    *out = 2.0 * (double)half / bench_median(&times) * 1e-9;
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
