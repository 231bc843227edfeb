/* How much of the summing of gradients over ranks is hidden behind the backward pass. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/bench.h"
#include "train/buckets.h"
#include "train/rig.h"

enum { RANKS = 2, ROWS = 4, CONTEXT = 256, BUCKET = 8 << 20 };

typedef struct RanksBench {
    const BenchRun *how;
    BenchTimes local, whole, buckets; /* seconds of a step: without sums, in one piece, in many */
    int64_t bytes, pieces;
} RanksBench;

/* One pass, and the sums of its gradients in pieces of at least `bytes` (0: none). */
static Status step(Rig *rig, Comm *comm, int64_t bytes, BenchTimes *times, int64_t *pieces,
                   Err *err)
{
    BucketSum sum;
    PassInput input = {.ids = rig->ids, .targets = rig->targets, .backward = true};
    input.grad_scale = 1.0f / (float)(ROWS * CONTEXT);
    double loss, start;
    int64_t count;
    bucket_sum_init(&sum, rig->grads, bytes);
    bucket_sum_begin(&sum, comm, rig->model->device.queue);
    if (bytes > 0) {
        input.ready = bucket_sum_ready;
        input.ready_context = &sum;
    }
    *pieces = sum.count;
    TRY(comm_barrier(comm, err));
    start = clock_seconds();
    Status status = pass_run(rig->pass, &input, &loss, &count, err);
    if (status == STATUS_OK && bytes > 0)
        status = bucket_sum_end(&sum, err);
    if (status == STATUS_OK)
        status = comm_barrier(comm, err);
    if (comm->rank == 0)
        bench_time_add(times, clock_seconds() - start);
    bucket_sum_clear(&sum);
    return status;
}

static Status measure(RanksBench *bench, Rig *rig, Comm *comm, Err *err)
{
    BenchTimes ignored = {.count = 0};
    int64_t pieces;
    double go_on = 1.0, start = clock_seconds();
    TRY(rig_step(rig, NULL, err));
    TRY(step(rig, comm, INT64_MAX, &ignored, &pieces, err));
    while (go_on > 0.0) {
        TRY(step(rig, comm, 0, &bench->local, &pieces, err));
        TRY(step(rig, comm, INT64_MAX, &bench->whole, &pieces, err));
        TRY(step(rig, comm, BUCKET, &bench->buckets, &pieces, err));
        go_on = clock_seconds() - start < bench->how->seconds;
        TRY(comm_max_host(comm, &go_on, 1, err));
    }
    if (comm->rank == 0) {
        bench->bytes = (int64_t)tensor_bytes(&rig->grads->flat);
        bench->pieces = pieces;
    }
    return STATUS_OK;
}

static Status rank_main(void *context, Comm *comm, Err *err)
{
    RanksBench *bench = context;
    ModelConfig config = model_config_default();
    config.n_embed = config.d_model;
    Device device = {.ops = comm->ops};
    TRY(comm->ops->queue_new(&device.queue, err));
    RigSetup setup = {.device = &device,
                      .config = &config,
                      .compute = bench->how->dtype,
                      .trained = {.head = true, .block_end = config.n_layers},
                      .rows = ROWS,
                      .context = CONTEXT};
    Rig rig;
    Status status = rig_init(&rig, &setup, err);
    if (status == STATUS_OK) {
        status = measure(bench, &rig, comm, err);
        rig_clear(&rig);
    }
    device_close(&device);
    return status;
}

static Status ranks(const BenchRun *how, BenchResult *result, Err *err)
{
    RanksBench *bench = xcalloc(1, sizeof *bench);
    bench->how = how;
    CommWire wire = {.latency = 1e-4, .bandwidth = 0.5e9};
    Status status = comm_run_threads(how->device.ops, RANKS, &wire, rank_main, bench, err);
    if (status == STATUS_OK) {
        double local = bench_median(&bench->local), whole = bench_median(&bench->whole);
        double buckets = bench_median(&bench->buckets);
        bench_put(result, "gradient_bytes", (double)bench->bytes, "bytes");
        bench_put(result, "pieces", (double)bench->pieces, "");
        bench_put(result, "wire_seconds", (double)bench->bytes / wire.bandwidth, "s");
        bench_put(result, "local_seconds", local, "s");
        bench_put(result, "one_sum_seconds", whole, "s");
        bench_put(result, "bucket_sums_seconds", buckets, "s");
        bench_put(result, "share_hidden", (whole - buckets) / (whole - local), "");
    }
    free(bench);
    return status;
}

const Bench bench_ranks[] = {
    {"ranks", "gradients of two ranks summed over a slow wire, in one piece and beside backward",
     ranks},
    {NULL, NULL, NULL},
};
