/* The Helix decoder: overlap of exchange and attention on a simulated wire, a context of a million
 * tokens, and Helix against tensor parallelism wider than the KV heads. Ranks are threads that
 * share this machine, its cores and its memory's bandwidth. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/bench.h"
#include "infer/helix/exchange.h"
#include "infer/long_case.h"

/* ---- HOP-B ---------------------------------------------------------------------------------- */

enum {
    HOPB_RANKS = 2, /* not more than cores: a rank that waits must not lend its core to the other */
    HOPB_REQUESTS = 8,
    HOPB_HEADS = 16,
    HOPB_KV_HEADS = 2,
    HOPB_DIM = 128,
    HOPB_POSITIONS = 8192, /* of a request on a rank */
    HOPB_PAGE = 64,
};

/* One rank's attention over its shard of every request. */
typedef struct HopbRank {
    Device device;
    Exchange exchange;
    ExchangeRun run;
    Stopwatch watch;
    void *memory;
} HopbRank;

typedef struct HopbBench {
    const BenchRun *how;
    bool overlap;
    BenchTimes steps, attention; /* rank 0's */
    double received;             /* bytes of one request's exchange */
} HopbBench;

static void hopb_place(HopbRank *r, DType type, Arena *arena)
{
    int64_t pages = HOPB_POSITIONS / HOPB_PAGE;
    ExchangeShape shape = {.chunk = HOPB_REQUESTS,
                           .heads = HOPB_HEADS,
                           .own = HOPB_HEADS / HOPB_RANKS,
                           .head_dim = HOPB_DIM,
                           .type = type,
                           .scale = 1.0f / sqrtf((float)HOPB_DIM)};
    for (int k = 0; k <= HOPB_RANKS; k++)
        shape.cuts[k] = k * HOPB_HEADS / HOPB_RANKS;
    exchange_plan(&r->exchange, &shape, HOPB_RANKS, arena);
    ExchangeRun *run = &r->run;
    run->q = tensor_take(arena, tensor_3d(NULL, type, HOPB_REQUESTS, HOPB_HEADS, HOPB_DIM));
    run->merged =
        tensor_take(arena, tensor_3d(NULL, type, HOPB_REQUESTS, HOPB_HEADS / HOPB_RANKS, HOPB_DIM));
    run->rows = tensor_take(arena, tensor_1d(NULL, DTYPE_I32, HOPB_REQUESTS));
    run->limits = tensor_take(arena, tensor_1d(NULL, DTYPE_I32, HOPB_REQUESTS));
    Tensor kv = tensor_4d(NULL, type, HOPB_REQUESTS * pages, HOPB_KV_HEADS, HOPB_PAGE, HOPB_DIM);
    run->kv.k_pages = tensor_take(arena, kv);
    run->kv.v_pages = tensor_take(arena, kv);
    run->kv.page_table = tensor_take(arena, tensor_2d(NULL, DTYPE_I32, HOPB_REQUESTS, pages));
}

static Status hopb_fill(HopbRank *r, Err *err)
{
    ExchangeRun *run = &r->run;
    int64_t pages = HOPB_REQUESTS * HOPB_POSITIONS / HOPB_PAGE;
    int32_t rows[HOPB_REQUESTS], limits[HOPB_REQUESTS];
    int32_t *table = xmalloc((size_t)pages * sizeof *table);
    for (int32_t i = 0; i < pages; i++)
        table[i] = i;
    for (int32_t i = 0; i < HOPB_REQUESTS; i++) {
        rows[i] = i;
        limits[i] = HOPB_POSITIONS;
    }
    Status status = device_upload(&r->device, &run->kv.page_table, table, err);
    free(table);
    TRY(status);
    TRY(device_upload(&r->device, &run->rows, rows, err));
    TRY(device_upload(&r->device, &run->limits, limits, err));
    TRY(bench_fill(&r->device, &run->q, err));
    TRY(bench_fill(&r->device, &run->kv.k_pages, err));
    return bench_fill(&r->device, &run->kv.v_pages, err);
}

/* Steps of both ranks, each begun together. */
static Status hopb_measure(HopbBench *bench, HopbRank *r, Comm *comm, Err *err)
{
    static const int64_t together[] = {0, HOPB_REQUESTS};
    int64_t single[HOPB_REQUESTS + 1];
    for (int i = 0; i <= HOPB_REQUESTS; i++)
        single[i] = i;
    r->run.comm = comm;
    r->run.groups = bench->overlap ? single : together;
    r->run.n_groups = bench->overlap ? HOPB_REQUESTS : 1;
    double end = clock_seconds() + bench->how->seconds / 6.0, more = 1.0;
    for (int step = 0; more > 0.0; step++) {
        TRY(comm_barrier(comm, err));
        r->watch.seconds[LAP_ATTENTION] = 0.0;
        double started = clock_seconds();
        TRY(exchange_run(&r->exchange, &r->run, err));
        TRY(r->device.ops->queue_wait(r->device.queue, err));
        TRY(comm_barrier(comm, err));
        double seconds = clock_seconds() - started;
        stopwatch_read(&r->watch);
        double attention = r->watch.seconds[LAP_ATTENTION];
        /* The slower rank's attention is what a step waits for. */
        TRY(comm_max_host(comm, &attention, 1, err));
        if (comm->rank == 0 && step > 1) {
            bench_time_add(&bench->steps, seconds);
            bench_time_add(&bench->attention, attention);
        }
        more = comm->rank == 0 && (step < 5 || clock_seconds() < end) ? 1.0 : 0.0;
        TRY(comm_max_host(comm, &more, 1, err));
    }
    return STATUS_OK;
}

static Status hopb_rank(void *context, Comm *comm, Err *err)
{
    HopbBench *bench = context;
    HopbRank r = {.device = {.ops = comm->ops}};
    Arena arena;
    arena_init(&arena, NULL, 0);
    hopb_place(&r, bench->how->dtype, &arena);
    size_t bytes = arena.used;
    TRY(comm->ops->queue_new(&r.device.queue, err));
    Status status = comm->ops->alloc(&r.memory, bytes, "KV pages", err);
    if (status == STATUS_OK) {
        arena_init(&arena, r.memory, bytes);
        hopb_place(&r, bench->how->dtype, &arena);
        r.run.device = r.watch.device = r.device;
        r.run.watch = &r.watch;
        status = hopb_fill(&r, err);
    }
    if (status == STATUS_OK)
        status = hopb_measure(bench, &r, comm, err);
    if (comm->rank == 0)
        bench->received = (double)tensor_bytes(&r.exchange.received) / HOPB_REQUESTS;
    stopwatch_clear(&r.watch);
    if (r.memory)
        comm->ops->free(r.memory);
    device_close(&r.device);
    return status;
}

/* A step with and without overlap on a wire on which a request's exchange takes `share` of its
 * attention's time; the pipeline's law is T = c + (n - 1) max(c, m) + m. */
static Status hopb_pair(const BenchRun *how, double share, const char *name, BenchResult *result,
                        Err *err)
{
    HopbBench *bench = xcalloc(3, sizeof *bench), *off = &bench[1], *on = &bench[2];
    for (int i = 0; i < 3; i++)
        bench[i] = (HopbBench){.how = how, .overlap = i == 2};
    Status status = comm_run_threads(how->device.ops, HOPB_RANKS, NULL, hopb_rank, bench, err);
    double c = bench_median(&bench->attention) / HOPB_REQUESTS;
    CommWire wire = {.bandwidth = bench->received / (share * c)};
    for (int i = 1; i < 3 && status == STATUS_OK; i++)
        status = comm_run_threads(how->device.ops, HOPB_RANKS, &wire, hopb_rank, &bench[i], err);
    if (status == STATUS_OK) {
        double own = bench_median(&on->attention) / HOPB_REQUESTS, m = share * c;
        double law = own + (HOPB_REQUESTS - 1) * fmax(own, m) + m, step = bench_median(&on->steps);
        bench_put_of(result, name, "attention_seconds", own, "s");
        bench_put_of(result, name, "exchange_seconds", m, "s");
        bench_put_of(result, name, "off_seconds", bench_median(&off->steps), "s");
        bench_put_of(result, name, "on_seconds", step, "s");
        bench_put_of(result, name, "law_seconds", law, "s");
        bench_put_of(result, name, "on_over_law", step / law, "");
        bench_put_of(result, name, "off_over_on", bench_median(&off->steps) / step, "");
    }
    free(bench);
    return status;
}

static Status hopb(const BenchRun *how, BenchResult *result, Err *err)
{
    TRY(hopb_pair(how, 0.6, "short", result, err)); /* the paper's figure 3: 1.2 against 2 */
    return hopb_pair(how, 1.5, "long", result, err);
}

/* ---- whole decoders over synthetic contexts ------------------------------------------------- */

static void put_long(BenchResult *result, const char *name, const LongTimes *times)
{
    double step = bench_median(&times->steps), rate = bench_median(&times->rates);
    double bound = times->bytes_read / (rate * 1e9);
    bench_put_of(result, name, "step_seconds", step, "s");
    bench_put_of(result, name, "bytes_read", times->bytes_read, "bytes");
    bench_put_of(result, name, "read_gb_per_second", rate, "GB/s");
    bench_put_of(result, name, "bound_seconds", bound, "s");
    bench_put_of(result, name, "step_over_bound", step / bound, "");
    bench_put_of(result, name, "memory_bytes", times->bytes_used, "bytes");
    bench_put_of(result, name, "planned_bytes", times->bytes_planned, "bytes");
    bench_put_of(result, name, "memory_over_planned", times->bytes_used / times->bytes_planned, "");
}

/* One sequence of 1,000,000 tokens over 4 ranks; the local decoder's logits beside. */
static Status million(const BenchRun *how, BenchResult *result, Err *err)
{
    LongCase what = {.config = long_config(4, 2),
                     .ranks = 4,
                     .grid = "kvp=2,tpa=2",
                     .batch = 1,
                     .context = 1000000};
    LongCase local = what;
    LongTimes *times = xcalloc(2, sizeof *times);
    local.ranks = 1;
    local.grid = "auto";
    Status status = long_case(how, &what, &times[0], err);
    if (status == STATUS_OK)
        status = long_case(how, &local, &times[1], err);
    if (status == STATUS_OK) {
        double worst = 0.0, top = 0.0;
        for (int64_t v = 0; v < what.config.vocab_size; v++) {
            double a = (double)times[0].logits[v], b = (double)times[1].logits[v];
            worst = fmax(worst, fabs(a - b));
            top = fmax(top, fabs(b));
        }
        put_long(result, "helix", &times[0]);
        put_long(result, "local", &times[1]);
        bench_put(result, "logits_difference", worst / top, "");
    }
    free(times[0].logits);
    free(times[1].logits);
    free(times);
    return status;
}

/* Four ranks and two KV heads: Helix cuts the sequence, tensor parallelism keeps every head twice
 * (a model of four KV heads reads and holds what that would). */
static Status against_tp(const BenchRun *how, BenchResult *result, Err *err)
{
    LongCase helix = {.config = long_config(1, 2),
                      .ranks = 4,
                      .grid = "kvp=2,tpa=2",
                      .batch = 8,
                      .context = 256 << 10};
    LongCase tp = helix;
    tp.config.n_kv_heads = 4;
    tp.grid = "tpa=4";
    LongTimes *times = xcalloc(2, sizeof *times);
    Status status = long_case(how, &helix, &times[0], err);
    if (status == STATUS_OK)
        status = long_case(how, &tp, &times[1], err);
    if (status == STATUS_OK) {
        put_long(result, "helix", &times[0]);
        put_long(result, "tp", &times[1]);
        bench_put(result, "tp_over_helix",
                  bench_median(&times[1].steps) / bench_median(&times[0].steps), "");
    }
    free(times[0].logits);
    free(times[1].logits);
    free(times);
    return status;
}

/* What is asked for: --model, --ranks, --grid, --context, --batch, --fill-kv. */
static Status on_demand(const BenchRun *how, BenchResult *result, Err *err)
{
    LongCase what = {.path = how->path,
                     .config = long_config(4, 2),
                     .ranks = (int)how->ranks,
                     .grid = how->grid,
                     .batch = how->batch,
                     .context = how->context ? how->context : 128 << 10,
                     .seed = (uint64_t)how->fill_kv};
    LongTimes *times = xcalloc(1, sizeof *times);
    Status status = long_case(how, &what, times, err);
    if (status == STATUS_OK) {
        bench_put(result, "tokens_per_second", (double)what.batch / bench_median(&times->steps),
                  "tokens/s");
        put_long(result, "ranks", times);
    }
    free(times->logits);
    free(times);
    return status;
}

const Bench bench_helix[] = {
    {"hopb", "exchange behind attention on a simulated wire, against the pipeline's law", hopb},
    {"helix", "steps over synthetic contexts: --ranks, --grid, --context, --batch, --model",
     on_demand},
    {"helix-1m", "a synthetic context of 1,000,000 tokens on 4 ranks (2 GB of bfloat16)", million},
    {"helix-tp", "4 ranks, 2 KV heads, 8 contexts of 256K: Helix against doubled heads",
     against_tp},
    {0},
};
