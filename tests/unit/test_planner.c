/* The planner against every figure of the Helix paper's appendix that can be derived, against the
 * published ratios as bands, and laws that any plan must keep. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "infer/plan/planner.h"
#include "infer/plan/roofline.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"
#include "tests/support/tiny_model.h"

/* `value` rounds to what is printed with `decimals` digits. */
static void expect_printed(double value, double printed, int decimals)
{
    if (fabs(value - printed) > 0.5001 * pow(10.0, -decimals))
        fail_msg("%.6f is not %.*f", value, decimals, printed);
}

static void expect_band(const char *what, double value, double low, double high)
{
    if (!(value >= low && value <= high))
        fail_msg("%s is %g, not from %g to %g", what, value, low, high);
}

/* ---- the appendix: FP4, 8 TB/s, microseconds per layer --------------------------------------- */

enum { BATCH = 8 };
static const double GB200_BANDWIDTH = 8e12;

/* Figure 1: Q = 128, K = 8, D = 128, F = 65536. */
static const PlanStack figure = {.n_layers = 1,
                                 .n_dense = 1,
                                 .d_model = 16384,
                                 .n_heads = 128,
                                 .n_kv_heads = 8,
                                 .head_dim = 128,
                                 .d_ff = 65536,
                                 .ffn_matrices = 3};

static double kv_us(const PlanStack *stack, PlanType type, double context, int64_t tpa, int64_t kvp)
{
    return kv_bytes(stack, type, BATCH, context, tpa, kvp) / GB200_BANDWIDTH * 1e6;
}

static double weights_us(int64_t tpa, int64_t out, int64_t tpf, bool attention_only)
{
    double elements = attention_elements(&figure, tpa, out);
    if (!attention_only)
        elements += dense_elements(&figure, tpf);
    return elements * plan_type_bytes(PLAN_FP4, 16384) / GB200_BANDWIDTH * 1e6;
}

static void appendix_tensor_parallel(void **state)
{
    (void)state;
    static const double kv[] = {1024, 512, 256, 128, 128, 128, 128};
    static const double all[] = {236.98, 118.49, 59.24, 29.62, 14.94, 7.60, 3.93};
    static const double attention[] = {35.65, 17.83, 8.91, 4.46, 2.36, 1.31, 0.79};
    for (int i = 0; i < 7; i++) {
        int64_t tp = 1 << i;
        expect_printed(kv_us(&figure, PLAN_FP4, 1e6, tp, 1), kv[i], 0);
        expect_printed(weights_us(tp, tp, tp, false), all[i], 2);
        expect_printed(weights_us(tp, tp, tp, true), attention[i], 2);
    }
}

static void appendix_context(void **state)
{
    (void)state;
    static const double contexts[] = {1e4, 1e5, 2.5e5, 5e5, 1e6, 2e6, 4e6};
    static const double kv[] = {1.28, 12.8, 32, 64, 128, 256, 512};
    for (int i = 0; i < 7; i++)
        expect_printed(kv_us(&figure, PLAN_FP4, contexts[i], 8, 1), kv[i], 2);
    expect_printed(weights_us(8, 8, 8, false), 29.62, 2);
    /* The context at which the cache takes as long as the weights: about 231 thousand. */
    expect_printed(weights_us(8, 8, 8, false) / kv_us(&figure, PLAN_FP4, 1e3, 8, 1), 231, 0);
}

static void appendix_helix(void **state)
{
    (void)state;
    static const double kv[] = {128, 64, 32, 16};
    static const double literal[] = {29.62, 17.04, 10.75, 7.60};
    static const double corrected[] = {29.62, 15.99, 9.18, 5.77};
    for (int i = 0; i < 4; i++) {
        int64_t kvp = 1 << i, ranks = 8 * kvp;
        expect_printed(kv_us(&figure, PLAN_FP4, 1e6, 8, kvp), kv[i], 0);
        expect_printed(weights_us(8, 8, ranks, false), literal[i], 2);
        expect_printed(weights_us(8, ranks, ranks, false), corrected[i], 2);
    }
}

static void appendix_latent(void **state)
{
    (void)state;
    static const PlanStack latent = {.n_layers = 1,
                                     .n_heads = 128,
                                     .n_kv_heads = 1,
                                     .head_dim = 128,
                                     .latent = {.kv_rank = 512, .rope = 64, .value = 128}};
    for (int64_t tp = 1; tp <= 64; tp *= 2)
        expect_printed(kv_us(&latent, PLAN_FP8, 1e6, tp, 1), 576, 0);
    static const double kv[] = {288, 144, 72, 36, 18, 9};
    for (int i = 0; i < 6; i++)
        expect_printed(kv_us(&latent, PLAN_FP8, 1e6, 1, INT64_C(2) << i), kv[i], 0);
}

/* ---- the exchange ---------------------------------------------------------------------------- */

static void exchange_volumes(void **state)
{
    (void)state;
    static const struct {
        int64_t heads, width, tpa, kvp;
        double output, lse;
    } rows[] = {
        {128, 128, 8, 2, 2048, 32},     {128, 128, 8, 4, 3072, 48},   {128, 128, 8, 8, 3584, 56},
        {128, 128, 4, 2, 4096, 64},     {128, 128, 4, 4, 6144, 96},   {128, 128, 4, 8, 7168, 112},
        {128, 128, 1, 2, 16384, 256},   {128, 128, 1, 4, 24576, 384}, {128, 128, 1, 8, 28672, 448},
        {128, 128, 1, 64, 32256, 504},  {128, 512, 1, 2, 65536, 256}, {128, 512, 1, 8, 114688, 448},
        {128, 512, 1, 64, 129024, 504}, {64, 128, 8, 8, 1792, 28},    {64, 128, 2, 4, 6144, 96},
        {32, 128, 1, 2, 4096, 64},      {32, 128, 1, 4, 6144, 96},    {32, 128, 1, 8, 7168, 112},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ExchangeBytes e =
            exchange_bytes(1.0, rows[i].heads / rows[i].tpa, rows[i].width, rows[i].kvp, 2.0);
        expect_printed(e.output, rows[i].output, 0);
        expect_printed(e.lse, rows[i].lse, 0);
    }
    /* 64 requests of the 405B model: 229 KB, half a microsecond at 450 GB/s. */
    ExchangeBytes e = exchange_bytes(64.0, 16, 128, 8, 2.0);
    expect_printed(e.output / 1e3, 229, 0);
    expect_printed(e.output / 450e9 * 1e6, 0.5, 1);
}

static void pipeline(void **state)
{
    (void)state;
    expect_printed(hopb_seconds(8, 2.0, 1.2), 17.2, 6);
    expect_printed(8 * 2.0 + 8 * 1.2, 25.6, 6);
    /* What it saves over one after the other: (n - 1) times the shorter of the two. */
    expect_printed(25.6 - hopb_seconds(8, 2.0, 1.2), 7 * 1.2, 6);
    expect_printed(8 * 5.0 - hopb_seconds(8, 2.0, 3.0), 7 * 2.0, 6);
    expect_printed(hopb_seconds(1, 2.0, 1.2), 3.2, 6);
}

/* ---- whole models ---------------------------------------------------------------------------- */

static PlanModel preset(const char *name)
{
    PlanModel model;
    assert_true(plan_model_preset(name, &model));
    return model;
}

static PlanHardware machine(const char *name)
{
    PlanHardware hardware;
    assert_true(plan_hardware_preset(name, &hardware));
    return hardware;
}

static void whole_models(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double bytes, gib_128k, gib_1m;
        int decimals; /* of the GiB */
        double h100, h200, billions;
    } rows[] = {
        {"llama-405b", 516096, 63, 504, 0, 161.5, 112.7, 405.85},
        {"llama-70b", 327680, 40, 320, 0, 102.6, 71.6, 70.55},
        {"llama-8b", 131072, 16, 128, 0, 41.0, 28.6, 8.03},
        {"deepseek-r1", 70272, 8.6, 68.6, 1, 22.0, 15.4, 671.03},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        PlanModel model = preset(rows[i].name);
        double bytes = plan_model_kv_bytes(&model, PLAN_BF16);
        double million = bytes * 0x1p20;
        expect_printed(bytes, rows[i].bytes, 0);
        expect_printed(bytes * 0x1p17 / 0x1p30, rows[i].gib_128k, rows[i].decimals);
        expect_printed(million / 0x1p30, rows[i].gib_1m, rows[i].decimals);
        expect_printed(million / machine("h100").bandwidth * 1e3, rows[i].h100, 1);
        expect_printed(million / machine("h200").bandwidth * 1e3, rows[i].h200, 1);
        expect_printed(plan_model_kv_bytes(&model, PLAN_FP8), rows[i].bytes / 2, 0);
        expect_printed(plan_model_kv_bytes(&model, PLAN_FP4), rows[i].bytes / 4, 0);
        expect_printed(plan_model_params(&model) / 1e9, rows[i].billions, 2);
    }
}

static void intensity(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double flops_per_byte;
    } rows[] = {{"llama-405b", 16}, {"llama-70b", 8}, {"llama-8b", 4}, {"deepseek-r1", 242}};
    for (size_t i = 0; i < 4; i++) {
        PlanModel model = preset(rows[i].name);
        const PlanStack *s = &model.stacks[0];
        expect_printed(attention_flops(s, 3, 1e5, 1, 4) / kv_bytes(s, PLAN_BF16, 3, 1e5, 1, 4),
                       rows[i].flops_per_byte, 0);
    }
    /* So latent attention waits for arithmetic on an H200 and for memory on an H100. */
    PlanModel r1 = preset("deepseek-r1");
    PlanHardware h200 = machine("h200"), h100 = machine("h100");
    h200.efficiency = h100.efficiency = 1.0;
    PlanRequest request = {.context = 1e6, .ranks = 8, .weights = PLAN_BF16, .kv = PLAN_BF16};
    PlanLayout layout = {.grid = {8, 1, 8, 1}, .dp = 1, .pp = 1};
    assert_true(plan_point(&r1, &h200, &request, &layout, 1).cost.compute_bound);
    assert_false(plan_point(&r1, &h100, &request, &layout, 1).cost.compute_bound);
}

static void experts_read(void **state)
{
    (void)state;
    PlanRouting routing = preset("deepseek-r1").stacks[0].routing;
    expect_printed(distinct_experts(&routing, 1.0), 8.0, 9);
    expect_printed(distinct_experts(&routing, 2.0), 256.0 * (1.0 - 0.96875 * 0.96875), 9);
    expect_printed(distinct_experts(&routing, 1e5), 256.0, 6);
    /* Over 64 ranks, W_UV (8.39 M elements) and W_O are cut and the rest of attention is not. */
    PlanModel r1 = preset("deepseek-r1");
    const PlanStack *s = &r1.stacks[0];
    double of_64 = attention_elements(s, 1, 1) - attention_elements(s, 1, 64);
    double o = 128.0 * 128.0 * 7168.0, uv = 128.0 * 128.0 * 512.0;
    expect_printed(uv / 1e6, 8.39, 2);
    expect_printed(of_64, (o + uv) * 63.0 / 64.0, 0);
}

/* ---- searches -------------------------------------------------------------------------------- */

static PlanRequest a_million(void)
{
    return (PlanRequest){.context = 1e6, .ranks = 64, .weights = PLAN_FP4, .kv = PLAN_FP4};
}

static PlanSearch search_of(const char *model_name, const PlanHardware *hardware,
                            const PlanRequest *request)
{
    Err err = {.text = ""};
    PlanModel model = preset(model_name);
    PlanSearch search;
    ASSERT_OK(planner_search(&model, hardware, request, &search, &err));
    return search;
}

static PlanGain gain_of(const char *model, double latency, double overhead)
{
    PlanHardware hardware = machine("gb200-nvl72");
    PlanRequest request = a_million();
    hardware.links[0].all_to_all.latency = hardware.links[0].all_reduce.latency = latency;
    hardware.layer_overhead = overhead;
    PlanSearch search = search_of(model, &hardware, &request);
    PlanGain gain = plan_gain(&search);
    plan_search_clear(&search);
    return gain;
}

/* The published ratios with the preset's latency and overhead, and how they move with those. */
static void headlines(void **state)
{
    (void)state;
    PlanGain dense = gain_of("llama-405b", 5e-6, 30e-6), mla = gain_of("deepseek-r1", 5e-6, 30e-6);
    expect_band("405B interactivity (paper: 1.13)", dense.interactivity, 1.05, 1.3);
    expect_band("405B throughput (paper: 4)", dense.throughput, 2.0, 6.0);
    expect_band("R1 interactivity (paper: 1.5)", mla.interactivity, 1.3, 1.8);
    expect_band("R1 throughput (paper: 32)", mla.throughput, 16.0, 40.0);

    static const struct {
        double latency, overhead, dense[2], mla[2]; /* interactivity and throughput */
    } sweep[] = {
        {0, 0, {2.66, 5.7}, {7.35, 38.6}},  {2, 10, {1.44, 4.5}, {2.44, 35.1}},
        {4, 30, {1.17, 4.1}, {1.60, 33.1}}, {6, 30, {1.11, 2.1}, {1.50, 32.2}},
        {8, 20, {1.08, 2.0}, {1.50, 18.8}},
    };
    for (size_t i = 0; i < sizeof sweep / sizeof *sweep; i++) {
        dense = gain_of("llama-405b", sweep[i].latency * 1e-6, sweep[i].overhead * 1e-6);
        mla = gain_of("deepseek-r1", sweep[i].latency * 1e-6, sweep[i].overhead * 1e-6);
        expect_band("405B interactivity", dense.interactivity / sweep[i].dense[0], 0.97, 1.03);
        expect_band("405B throughput", dense.throughput / sweep[i].dense[1], 0.9, 1.1);
        expect_band("R1 interactivity", mla.interactivity / sweep[i].mla[0], 0.97, 1.03);
        /* Batches are powers of two: the factor may be half where a batch just misses. */
        expect_band("R1 throughput", mla.throughput / sweep[i].mla[1], 0.5, 1.1);
    }
}

/* The layouts that win are those of the notes' sweep. */
static void winners(void **state)
{
    (void)state;
    PlanHardware hardware = machine("gb200-nvl72");
    PlanRequest request = a_million();
    PlanSearch search = search_of("llama-405b", &hardware, &request);
    const PlanPoint *helix = plan_pick(&search, 1u << PLAN_HELIX, 0.0);
    const PlanPoint *tp = plan_pick(&search, PLAN_BASELINES, 0.0);
    assert_true(tp->layout.strategy == PLAN_TP && tp->layout.grid.tpa == 64 && tp->batch == 1);
    assert_true(helix->layout.grid.tpa == 8 && helix->layout.grid.kvp == 8 && helix->batch == 1);
    assert_int_equal(helix->layout.grid.tpf, 64);
    const PlanPoint *same = plan_pick(&search, 1u << PLAN_HELIX, tp->cost.total);
    assert_true(same->layout.grid.kvp == 8 && same->batch == 4);
    /* The exchange is 8.5 to 9.6 % of the time of one to four requests. */
    for (int64_t i = 0; i < search.count; i++) {
        const PlanPoint *p = &search.points[i];
        if (p->layout.strategy == PLAN_HELIX && p->layout.grid.kvp == 8 &&
            p->layout.grid.tpa == 8 && p->batch <= 4)
            expect_band("the exchange's share", p->cost.exchange / p->cost.total, 0.083, 0.098);
    }
    plan_search_clear(&search);

    search = search_of("deepseek-r1", &hardware, &request);
    helix = plan_pick(&search, 1u << PLAN_HELIX, 0.0);
    tp = plan_pick(&search, PLAN_BASELINES, 0.0);
    assert_true(tp->layout.strategy == PLAN_TP && tp->layout.grid.tpa == 64 && tp->batch == 1);
    assert_true(helix->layout.grid.kvp == 64 && helix->layout.grid.tpa == 1);
    assert_true(helix->layout.grid.tpf == 64 && helix->layout.grid.ep == 1 && helix->batch == 1);
    plan_search_clear(&search);
}

static void expect_front(const PlanSearch *search, unsigned strategies)
{
    const PlanPoint **front = xmalloc((size_t)search->count * sizeof *front);
    int64_t n = plan_front(search, strategies, front);
    assert_true(n > 0);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < search->count; k++) {
            const PlanPoint *p = &search->points[k];
            bool is_among = (strategies >> p->layout.strategy & 1u) != 0;
            bool beats = p->per_user >= front[i]->per_user && p->per_rank >= front[i]->per_rank &&
                         (p->per_user > front[i]->per_user || p->per_rank > front[i]->per_rank);
            assert_false(is_among && beats);
        }
    for (int64_t i = 1; i < n; i++)
        assert_true(front[i]->per_user < front[i - 1]->per_user);
    free(front);
}

/* Every point found, on every machine and model. */
static void laws_of_points(void **state)
{
    (void)state;
    static const char *const models[] = {"llama-405b", "llama-70b", "llama-8b", "deepseek-r1"};
    static const char *const machines[] = {"gb200-nvl72", "h100", "h200"};
    for (int m = 0; m < 4; m++)
        for (int h = 0; h < 3; h++) {
            PlanHardware hardware = machine(machines[h]);
            PlanModel model = preset(models[m]);
            PlanRequest request = {
                .context = 131072, .ranks = 8, .weights = PLAN_FP4, .kv = PLAN_FP8};
            PlanSearch search;
            Err err = {.text = ""};
            ASSERT_OK(planner_search(&model, &hardware, &request, &search, &err));
            int64_t helix = 0;
            for (int64_t i = 0; i < search.count; i++) {
                const PlanPoint *p = &search.points[i];
                const PlanCost *c = &p->cost;
                assert_true(c->weight_bytes + c->cache_bytes <= hardware.memory * hardware.usable);
                assert_true(plan_ranks(&p->layout) <= 8);
                double sum = c->attention + c->attention_weights + c->feed_forward + c->head +
                             c->exchange + c->reduce + c->overhead;
                assert_true(fabs(sum - c->total) < 1e-9 * sum);
                assert_true(fabs(p->per_user * c->total - 1.0) < 1e-9);
                if (p->layout.strategy != PLAN_HELIX)
                    continue;
                helix++;
                assert_int_equal(plan_grid_check(&model, &p->layout.grid, &err), STATUS_OK);
                assert_true(p->layout.grid.tpa <= model.stacks[0].n_kv_heads);
            }
            assert_true(helix > 0);
            expect_front(&search, PLAN_ALL);
            expect_front(&search, 1u << PLAN_HELIX);
            plan_search_clear(&search);
        }
}

static PlanPoint point_of(const PlanModel *model, PlanStrategy strategy, PlanGrid grid,
                          double context, int64_t batch)
{
    PlanHardware hardware = machine("gb200-nvl72");
    PlanRequest request = a_million();
    request.context = context;
    PlanLayout layout = {.strategy = strategy, .grid = grid, .dp = 1, .pp = 1};
    return plan_point(model, &hardware, &request, &layout, batch);
}

static void laws_of_grids(void **state)
{
    (void)state;
    PlanModel model = preset("llama-405b");
    /* TPA beyond the KV heads never makes the cache faster to read. */
    double at_8 = point_of(&model, PLAN_TP, (PlanGrid){1, 8, 8, 1}, 1e6, 4).cost.attention;
    for (int64_t tp = 16; tp <= 64; tp *= 2)
        assert_true(point_of(&model, PLAN_TP, (PlanGrid){1, tp, tp, 1}, 1e6, 4).cost.attention ==
                    at_8);
    /* The cache's time and memory fall as 1 / KVP; the cut part of the weights as 1 / N. */
    PlanCost one = point_of(&model, PLAN_HELIX, (PlanGrid){1, 8, 8, 1}, 1e6, 4).cost;
    for (int64_t kvp = 2; kvp <= 8; kvp *= 2) {
        PlanCost c = point_of(&model, PLAN_HELIX, (PlanGrid){kvp, 8, 8 * kvp, 1}, 1e6, 4).cost;
        assert_true(fabs(c.attention * (double)kvp / one.attention - 1.0) < 1e-9);
        assert_true(fabs(c.cache_bytes * (double)kvp / one.cache_bytes - 1.0) < 1e-9);
        assert_true(fabs(c.feed_forward * (double)kvp / one.feed_forward - 1.0) < 1e-9);
        assert_true(c.attention_weights < one.attention_weights);
        assert_true(c.attention_weights * (double)kvp > one.attention_weights);
    }
    /* Helix without KV shards is TP. */
    for (int64_t tp = 1; tp <= 8; tp *= 2) {
        PlanPoint a = point_of(&model, PLAN_HELIX, (PlanGrid){1, tp, tp, 1}, 1e6, 2);
        PlanPoint b = point_of(&model, PLAN_TP, (PlanGrid){1, tp, tp, 1}, 1e6, 2);
        assert_memory_equal(&a.cost, &b.cost, sizeof a.cost);
    }
}

/* For each speed that `other` reaches, Helix makes as many tokens per rank. */
static void expect_ahead(const PlanSearch *search, PlanStrategy other)
{
    for (int64_t i = 0; i < search->count; i++) {
        const PlanPoint *p = &search->points[i];
        if (p->layout.strategy != other)
            continue;
        const PlanPoint *helix = plan_pick(search, 1u << PLAN_HELIX, p->cost.total);
        assert_true(helix && helix->per_rank >= p->per_rank);
    }
}

static void helix_wins_at_a_million(void **state)
{
    (void)state;
    PlanHardware hardware = machine("gb200-nvl72");
    PlanRequest request = a_million();
    PlanSearch search = search_of("llama-405b", &hardware, &request);
    expect_ahead(&search, PLAN_TP);
    expect_ahead(&search, PLAN_KVP);
    plan_search_clear(&search);
    /* At a thousand tokens the exchange costs more than it saves. */
    request.context = 1e3;
    search = search_of("llama-405b", &hardware, &request);
    const PlanPoint *best = plan_pick(&search, 1u << PLAN_HELIX, 0.0);
    assert_true(plan_pick(&search, 1u << PLAN_TP, 0.0)->per_user > best->per_user);
    plan_search_clear(&search);
    PlanModel small = preset("llama-8b");
    assert_true(point_of(&small, PLAN_HELIX, (PlanGrid){1, 8, 8, 1}, 1e3, 1).per_user >
                point_of(&small, PLAN_HELIX, (PlanGrid){2, 4, 8, 1}, 1e3, 1).per_user);
    assert_true(point_of(&small, PLAN_HELIX, (PlanGrid){1, 8, 8, 1}, 4e6, 1).per_user <
                point_of(&small, PLAN_HELIX, (PlanGrid){2, 8, 16, 1}, 4e6, 1).per_user);
}

/* Bytes that a rank sends in a step of `batch` tokens, 16-bit activations, counted by hand. */
static void volumes(void **state)
{
    (void)state;
    PlanHardware hardware = machine("gb200-nvl72");
    PlanRequest request = a_million();
    PlanModel dense = preset("llama-8b"), r1 = preset("deepseek-r1");
    PlanLayout layout = {.grid = {2, 4, 8, 1}, .dp = 1, .pp = 1};
    double all_reduce = 2.0 * 7.0 / 8.0, tokens = 3.0;
    double merge = tokens * 8.0 / 2.0 * (128.0 * 2.0 + 4.0);
    expect_printed(plan_point(&dense, &hardware, &request, &layout, 3).cost.sent,
                   32.0 * (merge + 2.0 * all_reduce * tokens * 4096.0 * 2.0), 3);

    /* A mixture: a sum inside each group of 4, then the other group's part of it. */
    double row = tokens * 7168.0 * 2.0;
    layout.grid = (PlanGrid){8, 1, 4, 2};
    merge = tokens * 128.0 * 7.0 / 8.0 * (512.0 * 2.0 + 4.0);
    expect_printed(
        plan_point(&r1, &hardware, &request, &layout, 3).cost.sent,
        61.0 * (merge + all_reduce * row) + 3.0 * all_reduce * row + 58.0 * (1.5 * row + row), 3);

    /* Requests divided: each token goes to 8 experts' ranks, 7 of 8 of them elsewhere, and back. */
    layout = (PlanLayout){PLAN_EP, {1, 1, 1, 8}, 8, 1};
    expect_printed(plan_point(&r1, &hardware, &request, &layout, 24).cost.sent,
                   58.0 * 2.0 * row * 8.0 * 7.0 / 8.0, 3);

    /* Merged experts, one for each rank: both residuals are summed, then exchanged. */
    Err err = {.text = ""};
    ModelConfig config = model_config_default();
    const ModelConfig *two[] = {&config, &config};
    PlanModel merged;
    ASSERT_OK(plan_model_of("two", two, 2, &merged, &err));
    layout = (PlanLayout){PLAN_HELIX, {1, 2, 1, 2}, 1, 1};
    row = tokens * 2.0 * 384.0 * 2.0;
    expect_printed(plan_point(&merged, &hardware, &request, &layout, 3).cost.sent,
                   6.0 * (row + row / 2.0), 3);
    layout.grid = (PlanGrid){1, 2, 2, 1};
    expect_printed(plan_point(&merged, &hardware, &request, &layout, 3).cost.sent, 6.0 * 2.0 * row,
                   3);
}

static void overlap(void **state)
{
    (void)state;
    PlanModel model = preset("deepseek-r1");
    PlanHardware hardware = machine("gb200-nvl72");
    PlanRequest request = a_million();
    PlanLayout layout = {.grid = {64, 1, 64, 1}, .dp = 1, .pp = 1};
    for (int64_t batch = 1; batch <= 256; batch *= 4) {
        request.lockstep = false;
        PlanCost on = plan_point(&model, &hardware, &request, &layout, batch).cost;
        request.lockstep = true;
        PlanCost off = plan_point(&model, &hardware, &request, &layout, batch).cost;
        assert_true(on.total <= off.total);
        assert_true(fabs(off.total - on.total - on.hidden) < 1e-9 * off.total);
        assert_true(off.hidden == 0.0 && (batch > 1 || on.hidden == 0.0));
        assert_true(batch < 64 || on.hidden > 0.2 * off.exchange);
    }
}

/* ---- ranks that share a machine -------------------------------------------------------------- */

static PlanHardware shared_machine(void)
{
    return (PlanHardware){
        .name = "two cores",
        .ranks = 8,
        .shared = true,
        .memory = 16e9,
        .usable = 1.0,
        .bandwidth = 32e9,
        .efficiency = 1.0,
        .flops = {[PLAN_F32] = 400e9, [PLAN_BF16] = 800e9},
        .weights = PLAN_BF16,
        .n_links = 2,
        .links = {{.ranks = 2, .all_to_all = {1e-5, 4e9}, .all_reduce = {1e-5, 4e9}},
                  {.ranks = 8, .all_to_all = {9e-5, 1e9}, .all_reduce = {9e-5, 1e9}}}};
}

static ModelConfig small_config(int64_t layers)
{
    ModelConfig c = model_config_default();
    c.d_model = c.n_embed = 512;
    c.n_heads = 8;
    c.n_kv_heads = 2;
    c.d_ff = 2048;
    c.n_layers = layers;
    c.act = ACT_SWIGLU;
    return c;
}

static void shared_bandwidth(void **state)
{
    (void)state;
    Err err = {.text = ""};
    ModelConfig config = small_config(4);
    const ModelConfig *configs[] = {&config};
    PlanModel model;
    ASSERT_OK(plan_model_of("small", configs, 1, &model, &err));
    assert_true(
        plan_model_params(&model) ==
        (double)(2 * config.vocab_size * 512 + 4 * (512 * (512 + 2 * 128 + 512) + 3 * 512 * 2048)));
    PlanHardware hardware = shared_machine();
    PlanRequest request = {.context = 262144, .ranks = 8, .weights = PLAN_BF16, .kv = PLAN_BF16};
    PlanPoint one, four, wide;
    ASSERT_OK(planner_predict(&model, &hardware, &request, &(PlanGrid){1, 1, 1, 1}, 8, &one, &err));
    ASSERT_OK(
        planner_predict(&model, &hardware, &request, &(PlanGrid){4, 1, 4, 1}, 8, &four, &err));
    /* Four ranks read the same bytes with a quarter of the bandwidth each: no gain, and what every
     * rank repeats is a loss. */
    assert_true(fabs(four.cost.attention / one.cost.attention - 1.0) < 1e-9);
    assert_true(four.cost.attention_weights > 2.0 * one.cost.attention_weights);
    assert_true(fabs(4.0 * four.cost.cache_bytes / one.cost.cache_bytes - 1.0) < 1e-9);
    expect_printed(one.cost.attention, 8.0 * 262144.0 * 4 * 2 * 2 * 64 * 2 / 32e9, 9);
    /* Their messages are moved by the cores that compute: HOP-B has nothing to hide them behind. */
    assert_true(four.cost.exchange > 0.0 && four.cost.hidden == 0.0);
    hardware.shared = false;
    ASSERT_OK(
        planner_predict(&model, &hardware, &request, &(PlanGrid){4, 1, 4, 1}, 8, &wide, &err));
    assert_true(wide.cost.hidden > 0.0);
    hardware.shared = true;
    /* TP wider than the KV heads copies the cache, and the machine reads it twice. */
    PlanLayout tp = {.strategy = PLAN_TP, .grid = {1, 4, 4, 1}, .dp = 1, .pp = 1};
    wide = plan_point(&model, &hardware, &request, &tp, 8);
    assert_true(fabs(wide.cost.attention / one.cost.attention - 2.0) < 1e-9);
    assert_true(fabs(wide.cost.cache_bytes / four.cost.cache_bytes - 2.0) < 1e-9);
    /* Links by the number of ranks at work. */
    assert_int_equal(plan_link(&hardware, 2)->ranks, 2);
    assert_int_equal(plan_link(&hardware, 3)->ranks, 8);
    assert_int_equal(plan_link(&hardware, 64)->ranks, 8);
    assert_true(plan_rank_memory(&hardware, 4) == 4e9);
}

static void merged_models(void **state)
{
    (void)state;
    Err err = {.text = ""};
    ModelConfig deep = small_config(6), flat = small_config(4);
    const ModelConfig *both[] = {&deep, &flat, &deep, &deep};
    PlanModel one, four;
    ASSERT_OK(plan_model_of("one", both, 1, &one, &err));
    ASSERT_OK(plan_model_of("four", both, 4, &four, &err));
    assert_int_equal(plan_model_experts(&one), 1);
    assert_int_equal(plan_model_experts(&four), 4);
    assert_int_equal(plan_model_layers(&four), 6);
    PlanHardware hardware = machine("h100");
    PlanRequest request = {.context = 4096, .ranks = 8, .weights = PLAN_BF16, .kv = PLAN_BF16};
    PlanPoint p, q, r;
    ASSERT_OK(planner_predict(&one, &hardware, &request, &(PlanGrid){2, 2, 4, 1}, 2, &p, &err));
    ASSERT_OK(planner_predict(&four, &hardware, &request, &(PlanGrid){2, 2, 4, 1}, 2, &q, &err));
    ASSERT_OK(planner_predict(&four, &hardware, &request, &(PlanGrid){2, 2, 1, 4}, 2, &r, &err));
    /* 22 layers instead of 6, in time and in cache; the overhead is that of the deepest. */
    assert_true(fabs(q.cost.attention / p.cost.attention - 22.0 / 6.0) < 1e-9);
    assert_true(fabs(q.cost.cache_bytes / p.cost.cache_bytes - 22.0 / 6.0) < 1e-9);
    assert_true(fabs(q.cost.feed_forward / p.cost.feed_forward - 22.0 / 6.0) < 1e-9);
    assert_true(q.cost.overhead == p.cost.overhead);
    /* An expert for each rank: the deepest decides, and all read as much as when all are cut. */
    assert_true(fabs(r.cost.feed_forward / p.cost.feed_forward - 4.0) < 1e-9);
    assert_true(r.cost.attention == q.cost.attention);

    ModelConfig lonely = small_config(1);
    const ModelConfig *many[PLAN_STACKS + 1];
    for (int i = 0; i <= PLAN_STACKS; i++)
        many[i] = &lonely;
    assert_int_equal(plan_model_of("many", many, PLAN_STACKS + 1, &four, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "33 experts"));
}

/* What is read from a file is what the models of it are. */
static void model_files(void **state)
{
    (void)state;
    Err err = {.text = ""};
    ModelConfig config = tiny_config();
    Model *models[2];
    for (uint64_t i = 0; i < 2; i++)
        models[i] = tiny_model(&config, DTYPE_F32, i, 7);
    Ensemble *two = tiny_ensemble(models, 2, MERGE_MEAN);
    TokenizerSpec spec;
    folder_begin();
    spec_start(&spec);
    CheckpointSave save = {.path = folder_path("two.h5"), .ensemble = two, .tokenizer = &spec};
    ASSERT_OK(checkpoint_save(&save, &err));
    PlanModel model;
    ASSERT_OK(plan_model_read(folder_path("two.h5"), &model, &err));
    assert_string_equal(model.name, "two.h5");
    assert_int_equal(model.n_stacks, 2);
    assert_int_equal(model.vocab, config.vocab_size);
    assert_int_equal(model.stacks[1].d_ff, config.d_ff);
    expect_printed(plan_model_kv_bytes(&model, PLAN_F32),
                   (double)(2 * config.n_layers * 2 * config.n_kv_heads * config.head_dim * 4), 0);
    assert_int_equal(plan_model_read(folder_put("no.h5", "text", -1), &model, &err), STATUS_FAIL);
    tokenizer_spec_clear(&spec);
    folder_end();
    ensemble_free(two);
}

/* Head counts that ranks do not divide: 9 query and 3 KV heads. */
static void uneven_heads(void **state)
{
    (void)state;
    static const PlanStack s = {
        .d_model = 576, .n_heads = 9, .n_kv_heads = 3, .head_dim = 64, .d_ff = 1536};
    assert_int_equal(rank_kv_heads(&s, 2), 2);
    assert_int_equal(rank_heads(&s, 2), 6);
    assert_int_equal(rank_heads(&s, 1), 9);
    assert_int_equal(rank_heads(&s, 8), 2);
    /* 9 heads of one TPA rank over 8 ranks: the busiest projects two. */
    assert_true(attention_elements(&s, 1, 8) == 576.0 * 64.0 * (9 + 2 * 3 + 2));
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refusals(void **state)
{
    (void)state;
    static const struct {
        PlanGrid grid;
        const char *words;
    } cases[] = {
        {{2, 16, 32, 1}, "tpa is 16, above the 8 KV heads"},
        {{4, 8, 16, 1}, "kvp x tpa is 32 and tpf x ep 16"},
        {{8, 8, 32, 2}, "ep is 2, above the 1 experts"},
        {{64, 4, 256, 1}, "256 ranks are more than the 128 heads"},
        {{0, 8, 8, 1}, "kvp is 0"},
        {{1, 8, INT64_MAX, 1}, "tpf is"},
    };
    PlanModel model = preset("llama-405b");
    PlanHardware hardware = machine("gb200-nvl72");
    PlanRequest request = a_million();
    PlanPoint point;
    Err err = {.text = ""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            planner_predict(&model, &hardware, &request, &cases[i].grid, 1, &point, &err),
            STATUS_FAIL);
        if (!strstr(err.text, cases[i].words))
            fail_msg("'%s' is not in '%s'", cases[i].words, err.text);
    }
    request.ttl = 1e-4;
    assert_int_equal(planner_best(&model, &hardware, &request, &point, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "in 0.1 ms; the fastest takes 6.63 ms"));
    request.ttl = 0.02;
    ASSERT_OK(planner_best(&model, &hardware, &request, &point, &err));
    assert_true(point.cost.total <= 0.02 && point.cost.fits);
    request.ranks = request.min_ranks = 16;
    request.batch = 2;
    ASSERT_OK(planner_best(&model, &hardware, &request, &point, &err));
    assert_true(plan_ranks(&point.layout) == 16 && point.batch == 2);
    request.ranks = request.min_ranks = 1;
    assert_int_equal(planner_best(&model, &hardware, &request, &point, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "does not fit: a rank would hold at least"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appendix_tensor_parallel),
        cmocka_unit_test(appendix_context),
        cmocka_unit_test(appendix_helix),
        cmocka_unit_test(appendix_latent),
        cmocka_unit_test(exchange_volumes),
        cmocka_unit_test(pipeline),
        cmocka_unit_test(whole_models),
        cmocka_unit_test(intensity),
        cmocka_unit_test(experts_read),
        cmocka_unit_test(headlines),
        cmocka_unit_test(winners),
        cmocka_unit_test(laws_of_points),
        cmocka_unit_test(laws_of_grids),
        cmocka_unit_test(helix_wins_at_a_million),
        cmocka_unit_test(volumes),
        cmocka_unit_test(overlap),
        cmocka_unit_test(shared_bandwidth),
        cmocka_unit_test(merged_models),
        cmocka_unit_test(model_files),
        cmocka_unit_test(uneven_heads),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
