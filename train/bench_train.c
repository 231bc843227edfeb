/* Training speed of fixed models, whole and as a growth stage: two for a CPU, two for a GPU. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/bench.h"
#include "train/rig.h"
#include "train/trainer.h"

/* A model, and the rows and context of a micro-batch. */
typedef struct Subject {
    ModelConfig config;
    int64_t rows, context;
} Subject;

static ModelConfig config_a(void)
{
    ModelConfig c = model_config_default();
    c.embedding = EMBEDDING_LEARNED;
    return c;
}

static ModelConfig config_b(void)
{
    ModelConfig c = model_config_default();
    c.vocab_size = 65536;
    c.n_layers = 9;
    c.n_embed = c.d_model = 512;
    c.n_heads = c.n_kv_heads = 8;
    c.d_ff = 2048;
    return c;
}

static Subject small_subject(ModelConfig config)
{
    return (Subject){.config = config, .rows = 4, .context = 256};
}

/* GPT-2's shapes: 124 and 350 million parameters with a vocabulary of 50,304. */
static Subject gpt_subject(int64_t layers, int64_t d, int64_t heads, int64_t vocab)
{
    ModelConfig c = model_config_default();
    c.embedding = EMBEDDING_LEARNED;
    c.vocab_size = vocab;
    c.n_layers = layers;
    c.n_embed = c.d_model = d;
    c.n_heads = c.n_kv_heads = heads;
    c.head_dim = d / heads;
    c.d_ff = 4 * d;
    c.context = 1024;
    return (Subject){.config = c, .rows = 16, .context = 1024};
}

static RigSetup setup_of(const BenchRun *how, const Subject *subject, const TrainSet *set)
{
    return (RigSetup){.device = &how->device,
                      .config = &subject->config,
                      .compute = how->dtype,
                      .trained = *set,
                      .rows = subject->rows,
                      .context = subject->context};
}

static double tokens_of(const Rig *rig)
{
    return (double)(rig->setup.rows * rig->setup.context);
}

/* One optimizer step on random tokens; its time goes to `times`. */
static Status step(Rig *rig, const PrefixCache *cache, BenchTimes *times, Err *err)
{
    TRY(rig_step(rig, cache, err));
    bench_time_add(times, rig->pass_seconds + rig->optimizer_seconds);
    return STATUS_OK;
}

static Status plan_of(const Rig *rig, const TrainSet *set, TrainPlan *plan, Err *err)
{
    TrainConfig config = train_config_default();
    config.batch = rig->setup.rows;
    config.context = rig->setup.context;
    return train_plan(&rig->model->device, &rig->model->config, rig->model->compute,
                      rig->model->substrate.table.dtype, set, &config, plan, err);
}

static Status whole(const BenchRun *how, Subject subject, BenchResult *result, Err *err)
{
    TrainSet set = {.head = true, .block_end = subject.config.n_layers};
    set.embedding = subject.config.embedding == EMBEDDING_LEARNED;
    Rig rig;
    BenchRoof roof;
    TrainPlan plan;
    BenchTimes times = {.count = 0}, roofs = {.count = 0}, warm = {.count = 0};
    bench_reset_peak();
    double before = how->device.ops->memory ? bench_used_bytes(&how->device) : 0.0;
    RigSetup setup = setup_of(how, &subject, &set);
    TRY(rig_init(&rig, &setup, err));
    Status status = plan_of(&rig, &set, &plan, err);
    for (int i = 0; i < 2 && status == STATUS_OK; i++)
        status = step(&rig, NULL, &warm, err);
    double peak = bench_used_bytes(&how->device) - before;
    if (status == STATUS_OK)
        status = bench_roof_init(&roof, how, err);
    if (status != STATUS_OK) {
        rig_clear(&rig);
        return status;
    }
    double end = clock_seconds() + how->seconds;
    /* The roof is measured in between, because shared machines change their speed. */
    while (status == STATUS_OK && (times.count < 3 || clock_seconds() < end)) {
        double rate = 0.0;
        status = bench_roof_rate(&roof, 0.0, &rate, err);
        bench_time_add(&roofs, rate);
        for (int i = 0; i < 3 && status == STATUS_OK; i++)
            status = step(&rig, NULL, &times, err);
    }
    if (status == STATUS_OK) {
        double seconds = bench_median(&times), tokens = tokens_of(&rig);
        double rate = plan.flops_per_token * tokens / seconds * 1e-9;
        bench_put(result, "tokens_per_second", tokens / seconds, "tokens/s");
        bench_put(result, "step_seconds", seconds, "s");
        bench_put(result, "peak_bytes", peak, "bytes");
        bench_put(result, "planned_bytes", (double)plan.bytes, "bytes");
        bench_put(result, "gflops", rate, "GFLOP/s");
        bench_put(result, "product_gflops", bench_median(&roofs), "GFLOP/s");
        bench_put(result, "share_of_products", rate / bench_median(&roofs), "");
    }
    bench_roof_clear(&roof);
    rig_clear(&rig);
    return status;
}

static Status train_a(const BenchRun *how, BenchResult *result, Err *err)
{
    return whole(how, small_subject(config_a()), result, err);
}

static Status train_b(const BenchRun *how, BenchResult *result, Err *err)
{
    return whole(how, small_subject(config_b()), result, err);
}

static Status train_124m(const BenchRun *how, BenchResult *result, Err *err)
{
    return whole(how, gpt_subject(12, 768, 12, 50304), result, err);
}

static Status train_350m(const BenchRun *how, BenchResult *result, Err *err)
{
    return whole(how, gpt_subject(24, 1024, 16, 50304), result, err);
}

/* A cache that knows everything: what is left is the cost of what trains. */
static Status always_known(void *context, const int64_t *windows, int64_t rows, const Tensor *x,
                           bool *found, Err *err)
{
    (void)windows, (void)rows, (void)err;
    const Device *device = context;
    device->ops->zero(device->queue, x->data, tensor_bytes(x));
    *found = true;
    return STATUS_OK;
}

static Status never_kept(void *context, const int64_t *windows, int64_t rows, const Tensor *x,
                         Err *err)
{
    (void)context, (void)windows, (void)rows, (void)x, (void)err;
    return STATUS_OK;
}

/* Three new blocks and the head on six frozen blocks, with and without a cached prefix, in turns
 * with the whole model; each against what its FLOPs predict from the whole model's step. */
static Status grow(const BenchRun *how, Subject subject, BenchResult *result, Err *err)
{
    TrainSet all = {.head = true, .block_end = 9}, newest = all;
    newest.block_begin = 6;
    Device device = how->device;
    PrefixCache cache = {.context = &device, .get = always_known, .put = never_kept};
    Rig big, grown;
    TrainPlan big_plan, plan;
    BenchTimes whole_times = {.count = 0}, times = {.count = 0}, cached = {.count = 0},
               warm = {.count = 0};
    RigSetup big_setup = setup_of(how, &subject, &all),
             grown_setup = setup_of(how, &subject, &newest);
    TRY(rig_init(&big, &big_setup, err));
    Status status = rig_init(&grown, &grown_setup, err);
    if (status != STATUS_OK) {
        rig_clear(&big);
        return status;
    }
    status = plan_of(&big, &all, &big_plan, err);
    if (status == STATUS_OK)
        status = plan_of(&grown, &newest, &plan, err);
    double end = clock_seconds() + how->seconds;
    for (int round = 0; status == STATUS_OK && (round < 4 || clock_seconds() < end); round++) {
        bool counts = round > 0; /* the first round warms up */
        status = step(&big, NULL, counts ? &whole_times : &warm, err);
        if (status == STATUS_OK)
            status = step(&grown, NULL, counts ? &times : &warm, err);
        if (status == STATUS_OK)
            status = step(&grown, &cache, counts ? &cached : &warm, err);
    }
    if (status == STATUS_OK) {
        double base = bench_median(&whole_times) / big_plan.flops_per_token;
        double tokens = tokens_of(&grown);
        bench_put(result, "whole_tokens_per_second", tokens / bench_median(&whole_times),
                  "tokens/s");
        bench_put(result, "tokens_per_second", tokens / bench_median(&times), "tokens/s");
        bench_put(result, "cached_tokens_per_second", tokens / bench_median(&cached), "tokens/s");
        bench_put(result, "time_over_predicted",
                  bench_median(&times) / (base * plan.flops_per_token), "");
        bench_put(result, "cached_time_over_predicted",
                  bench_median(&cached) / (base * plan.flops_per_token_cached), "");
    }
    rig_clear(&grown);
    rig_clear(&big);
    return status;
}

static Status grow_b(const BenchRun *how, BenchResult *result, Err *err)
{
    return grow(how, small_subject(config_b()), result, err);
}

/* The same on a GPU's scale: d 1,024, vocabulary 65,536, a frozen table. */
static Status grow_1024(const BenchRun *how, BenchResult *result, Err *err)
{
    Subject subject = gpt_subject(9, 1024, 16, 65536);
    subject.config.embedding = model_config_default().embedding;
    return grow(how, subject, result, err);
}

/* How the time of a step follows what trains and what is frozen: few and many blocks of each, with
 * cached prefixes, in turns. */
static Status grow_scaling(const BenchRun *how, BenchResult *result, Err *err)
{
    enum { SHORT, LONG, TWO, FOUR, SHAPES };
    static const struct {
        int64_t frozen, trained;
    } shapes[SHAPES] = {[SHORT] = {2, 1}, [LONG] = {8, 1}, [TWO] = {2, 2}, [FOUR] = {2, 4}};
    Device device = how->device;
    PrefixCache cache = {.context = &device, .get = always_known, .put = never_kept};
    Rig rigs[SHAPES];
    memset(rigs, 0, sizeof rigs);
    BenchTimes *times = xcalloc(SHAPES + 1, sizeof *times), *warm = &times[SHAPES];
    Status status = STATUS_OK;
    for (int i = 0; i < SHAPES && status == STATUS_OK; i++) {
        Subject subject = small_subject(config_b());
        subject.config.vocab_size = 8192;
        subject.config.n_layers = shapes[i].frozen + shapes[i].trained;
        TrainSet set = {
            .head = true, .block_begin = shapes[i].frozen, .block_end = subject.config.n_layers};
        RigSetup setup = setup_of(how, &subject, &set);
        status = rig_init(&rigs[i], &setup, err);
    }
    double end = clock_seconds() + how->seconds;
    for (int round = 0; status == STATUS_OK && (round < 4 || clock_seconds() < end); round++)
        for (int i = 0; i < SHAPES && status == STATUS_OK; i++)
            status = step(&rigs[i], &cache, round > 0 ? &times[i] : warm, err);
    if (status == STATUS_OK) {
        double t[SHAPES];
        for (int i = 0; i < SHAPES; i++)
            t[i] = bench_median(&times[i]);
        double block = (t[FOUR] - t[SHORT]) / 3.0;
        bench_put(result, "training_block_seconds", block, "s");
        bench_put(result, "frozen_block_share", (t[LONG] - t[SHORT]) / 6.0 / block, "");
        bench_put(result, "further_block_ratio", (t[FOUR] - t[TWO]) / 2.0 / (t[TWO] - t[SHORT]),
                  "");
    }
    for (int i = 0; i < SHAPES; i++)
        rig_clear(&rigs[i]);
    free(times);
    return status;
}

const Bench bench_train[] = {
    {"train-a", "6 layers, d 384, vocabulary 8,192, everything trains", train_a},
    {"train-b", "9 layers, d 512, vocabulary 65,536, frozen table", train_b},
    {"grow-b", "3 new blocks on 6 frozen ones of the model of train-b", grow_b},
    {"train-124m", "12 layers, d 768, vocabulary 50,304, T 1024 (for a GPU)", train_124m},
    {"train-350m", "24 layers, d 1,024, vocabulary 50,304, T 1024 (for a GPU)", train_350m},
    {"grow-1024", "3 new blocks on 6 frozen ones, d 1,024, vocabulary 65,536 (for a GPU)",
     grow_1024},
    {"grow-scaling", "time of a step over what trains and over what is frozen and cached",
     grow_scaling},
    {0},
};
