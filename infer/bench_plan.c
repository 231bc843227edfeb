/* The planner against measurement: what `plan --hardware this` predicts of ranks that share this
 * machine beside what decoding steps take, in time and in memory. A machine that others use changes
 * its speed from second to second: each step is compared with the prediction for the memory's rate
 * as it is measured right after that step, and the ratio is the median of those. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "infer/long_case.h"
#include "infer/plan/planner.h"

enum { LAYERS = 2, KV_HEADS = 2 };

typedef struct PlanCase {
    const char *name;
    int ranks;
    const char *grid;
    PlanLayout layout;
    int64_t batch, context;
    bool lockstep;
    int64_t kv_heads; /* of the model that is run */
} PlanCase;

/* Ranks beyond the KV heads keep each of them twice: a model of so many reads and holds the same.
 */
static const PlanCase cases[] = {
    {.name = "one",
     .ranks = 1,
     .grid = "auto",
     .layout = {PLAN_HELIX, {1, 1, 1, 1}, 1, 1},
     .batch = 1,
     .context = 256 << 10,
     .kv_heads = KV_HEADS},
    {.name = "kvp2",
     .ranks = 2,
     .grid = "kvp=2",
     .layout = {PLAN_HELIX, {2, 1, 2, 1}, 1, 1},
     .batch = 1,
     .context = 512 << 10,
     .kv_heads = KV_HEADS},
    {.name = "tpa2",
     .ranks = 2,
     .grid = "tpa=2",
     .layout = {PLAN_HELIX, {1, 2, 2, 1}, 1, 1},
     .batch = 8,
     .context = 64 << 10,
     .kv_heads = KV_HEADS},
    {.name = "helix",
     .ranks = 4,
     .grid = "kvp=2,tpa=2",
     .layout = {PLAN_HELIX, {2, 2, 4, 1}, 1, 1},
     .batch = 8,
     .context = 256 << 10,
     .kv_heads = KV_HEADS},
    {.name = "lockstep",
     .ranks = 4,
     .grid = "kvp=2,tpa=2",
     .layout = {PLAN_HELIX, {2, 2, 4, 1}, 1, 1},
     .batch = 8,
     .context = 256 << 10,
     .lockstep = true,
     .kv_heads = KV_HEADS},
    {.name = "tp",
     .ranks = 4,
     .grid = "tpa=4",
     .layout = {PLAN_TP, {1, 4, 4, 1}, 1, 1},
     .batch = 8,
     .context = 256 << 10,
     .kv_heads = 2 * KV_HEADS},
};
enum { CASES = sizeof cases / sizeof *cases };

static Status predict(const PlanCase *c, PlanHardware hardware, double bandwidth, PlanPoint *out,
                      Err *err)
{
    ModelConfig config = long_config(LAYERS, KV_HEADS);
    const ModelConfig *configs[] = {&config};
    PlanModel model;
    PlanRequest request = {.context = (double)c->context,
                           .ranks = c->ranks,
                           .min_ranks = c->ranks,
                           .batch = c->batch,
                           .weights = hardware.weights,
                           .kv = hardware.weights,
                           .lockstep = c->lockstep};
    TRY(plan_model_of("bench", configs, 1, &model, err));
    hardware.bandwidth = bandwidth;
    *out = plan_point(&model, &hardware, &request, &c->layout, c->batch);
    return STATUS_OK;
}

static Status put_case(const PlanCase *c, const PlanHardware *hardware, const LongTimes *times,
                       BenchResult *result, Err *err)
{
    BenchTimes predicted = {.count = 0}, ratios = {.count = 0};
    PlanPoint point = {.cost = {.total = 0.0}};
    for (int64_t i = 0; i < times->steps.count; i++) {
        TRY(predict(c, *hardware, times->rates.items[i] * 1e9, &point, err));
        bench_time_add(&predicted, point.cost.total);
        bench_time_add(&ratios, times->steps.items[i] / point.cost.total);
    }
    double bytes = (point.cost.weight_bytes + point.cost.cache_bytes) * c->ranks;
    bench_put_of(result, c->name, "predicted_seconds", bench_median(&predicted), "s");
    bench_put_of(result, c->name, "measured_seconds", bench_median(&times->steps), "s");
    bench_put_of(result, c->name, "seconds_ratio", bench_median(&ratios), "");
    bench_put_of(result, c->name, "read_gb_per_second", bench_median(&times->rates), "GB/s");
    bench_put_of(result, c->name, "predicted_bytes", bytes, "bytes");
    bench_put_of(result, c->name, "measured_bytes", times->bytes_used, "bytes");
    bench_put_of(result, c->name, "bytes_ratio", times->bytes_used / bytes, "");
    return STATUS_OK;
}

static Status compare(const BenchRun *how, PlanCase c, const PlanHardware *hardware,
                      BenchResult *result, Err *err)
{
    c.context = how->context ? how->context : c.context;
    LongCase what = {.config = long_config(LAYERS, c.kv_heads),
                     .ranks = c.ranks,
                     .grid = c.grid,
                     .batch = c.batch,
                     .context = c.context,
                     .lockstep = c.lockstep};
    LongTimes *times = xcalloc(1, sizeof *times);
    Status status = long_case(how, &what, times, err);
    if (status == STATUS_OK)
        status = put_case(&c, hardware, times, result, err);
    free(times->logits);
    free(times);
    return status;
}

static Status against_measurement(const BenchRun *how, BenchResult *result, Err *err)
{
    PlanHardware hardware;
    BenchRun each = *how;
    each.seconds = how->seconds / (CASES + 1);
    TRY(plan_hardware_measure(how->device.ops->name, 4, each.seconds, &hardware, err));
    hardware.weights = how->dtype == DTYPE_F32 ? PLAN_F32 : PLAN_BF16;
    for (int i = 0; i < CASES; i++)
        TRY(compare(&each, cases[i], &hardware, result, err));
    return STATUS_OK;
}

const Bench bench_plan[] = {
    {"plan",
     "steps of ranks that share this machine, beside what 'plan' predicts (4 GB, or --context)",
     against_measurement},
    {0},
};
