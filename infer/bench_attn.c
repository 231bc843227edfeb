/* Decode attention alone: one query token over a long KV cache, against the rate of copying memory.
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/bench.h"

enum { HEAD_DIM = 128, GROUP = 8, PAGE_SIZE = 64, CALLS = 8 };

typedef struct AttnRig {
    Device device;
    AttnDecodeArgs args;
} AttnRig;

static void rig_clear(AttnRig *rig)
{
    Tensor *const tensors[] = {
        &rig->args.q,      &rig->args.out,        &rig->args.lse,        &rig->args.rows,
        &rig->args.limits, &rig->args.kv.k_pages, &rig->args.kv.v_pages, &rig->args.kv.page_table};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        if (tensors[i]->data)
            rig->device.ops->free(tensors[i]->data);
}

/* Pages in an order that is not that of memory, as a cache in use has them. */
static Status fill_table(AttnRig *rig, int64_t pages, int64_t positions, Err *err)
{
    const Device *device = &rig->device;
    int32_t *table = xmalloc((size_t)pages * sizeof *table);
    for (int64_t i = 0; i < pages; i++)
        table[i] = (int32_t)(i * 7919 % pages);
    int32_t zero = 0, limit = (int32_t)positions;
    Status status = device_upload(device, &rig->args.kv.page_table, table, err);
    if (status == STATUS_OK)
        status = device_upload(device, &rig->args.rows, &zero, err);
    if (status == STATUS_OK)
        status = device_upload(device, &rig->args.limits, &limit, err);
    free(table);
    return status;
}

static Status rig_init(AttnRig *rig, const BenchRun *how, int64_t positions, int64_t kv_heads,
                       Err *err)
{
    int64_t pages = positions / PAGE_SIZE, H = kv_heads * GROUP;
    CHECK(pages % 7919 != 0 && positions % PAGE_SIZE == 0, "%lld pages", (long long)pages);
    AttnDecodeArgs *a = &rig->args;
    *rig = (AttnRig){.device = how->device};
    a->q = tensor_3d(NULL, how->dtype, 1, H, HEAD_DIM);
    a->out = a->q;
    a->lse = tensor_2d(NULL, DTYPE_F32, 1, H);
    a->rows = a->limits = tensor_1d(NULL, DTYPE_I32, 1);
    a->kv.k_pages = tensor_4d(NULL, how->dtype, pages, kv_heads, PAGE_SIZE, HEAD_DIM);
    a->kv.v_pages = a->kv.k_pages;
    a->kv.page_table = tensor_2d(NULL, DTYPE_I32, 1, pages);
    a->scale = 1.0f / sqrtf((float)HEAD_DIM);
    Tensor *const tensors[] = {&a->q,      &a->out,        &a->lse,        &a->rows,
                               &a->limits, &a->kv.k_pages, &a->kv.v_pages, &a->kv.page_table};
    Status status = STATUS_OK;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors && status == STATUS_OK; i++)
        status = device_tensor(&rig->device, tensors[i], "KV pages", err);
    Tensor *const random[] = {&a->q, &a->kv.k_pages, &a->kv.v_pages};
    for (int i = 0; i < 3 && status == STATUS_OK; i++)
        status = bench_fill(&rig->device, random[i], err);
    if (status == STATUS_OK)
        status = fill_table(rig, pages, positions, err);
    if (status != STATUS_OK)
        rig_clear(rig);
    return status;
}

/* Several calls for one wait: a GPU's latency would count otherwise. */
static Status time_calls(AttnRig *rig, BenchTimes *times, Err *err)
{
    double start = clock_seconds();
    for (int i = 0; i < CALLS; i++)
        rig->device.ops->attn_decode(rig->device.queue, &rig->args);
    TRY(rig->device.ops->queue_wait(rig->device.queue, err));
    bench_time_add(times, (clock_seconds() - start) / CALLS);
    return STATUS_OK;
}

static Status attn_decode(const BenchRun *how, int64_t positions, int64_t kv_heads,
                          BenchResult *result, Err *err)
{
    AttnRig rig;
    BenchReader reader;
    BenchTimes times = {.count = 0}, rates = {.count = 0}, warm = {.count = 0};
    TRY(rig_init(&rig, how, positions, kv_heads, err));
    Status status = bench_reader_init(&reader, &how->device, err);
    if (status != STATUS_OK) {
        rig_clear(&rig);
        return status;
    }
    status = time_calls(&rig, &warm, err);
    double end = clock_seconds() + how->seconds;
    while (status == STATUS_OK && (times.count < 3 || clock_seconds() < end)) {
        double rate = 0.0;
        status = bench_copy_rate(&reader, 0.0, &rate, err);
        bench_time_add(&rates, rate);
        if (status == STATUS_OK)
            status = time_calls(&rig, &times, err);
    }
    if (status == STATUS_OK) {
        double bytes = 2.0 * (double)tensor_bytes(&rig.args.kv.k_pages);
        double rate = bytes / bench_median(&times) * 1e-9;
        bench_put(result, "seconds", bench_median(&times), "s");
        bench_put(result, "gb_per_second", rate, "GB/s");
        bench_put(result, "copy_gb_per_second", bench_median(&rates), "GB/s");
        bench_put(result, "share_of_copy", rate / bench_median(&rates), "");
    }
    bench_reader_clear(&reader);
    rig_clear(&rig);
    return status;
}

static Status heads8_128k(const BenchRun *how, BenchResult *result, Err *err)
{
    return attn_decode(how, 128 << 10, 8, result, err);
}

static Status heads8_1m(const BenchRun *how, BenchResult *result, Err *err)
{
    return attn_decode(how, 1 << 20, 8, result, err);
}

static Status head1_128k(const BenchRun *how, BenchResult *result, Err *err)
{
    return attn_decode(how, 128 << 10, 1, result, err);
}

static Status head1_1m(const BenchRun *how, BenchResult *result, Err *err)
{
    return attn_decode(how, 1 << 20, 1, result, err);
}

const Bench bench_attn[] = {
    {"attn-8-128k", "decode attention, 8 KV heads of 128, 131,072 positions", heads8_128k},
    {"attn-8-1m", "the same with 1,048,576 positions (4 GB of bfloat16)", heads8_1m},
    {"attn-1-128k", "decode attention, 1 KV head of 128, 131,072 positions", head1_128k},
    {"attn-1-1m", "the same with 1,048,576 positions", head1_1m},
    {0},
};
