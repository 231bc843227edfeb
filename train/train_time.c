#include "train/train_time.h"

#include "core/base/log.h"
#include "core/cli/bench.h"
#include "train/rig.h"

enum { KINDS = 3 };
/* Of blocks: below all that trains; training; frozen but passed by the gradient. */
enum { BELOW, TRAINED, PASSED };

static const double pair_seconds = 0.5; /* of measuring one kind of block, at the least */

typedef struct Counts {
    int64_t of[KINDS];
} Counts;

static Counts count_blocks(const ModelConfig *c, const TrainSet *s)
{
    Counts n = {{0}};
    bool gradient = s->embedding || s->lora; /* reaches every block */
    for (int64_t l = 0; l < c->n_layers; l++) {
        bool trains = l >= s->block_begin && l < s->block_end;
        bool passed = gradient || (s->block_end > s->block_begin && l >= s->block_begin);
        n.of[trains ? TRAINED : passed ? PASSED : BELOW]++;
    }
    return n;
}

/* The setup of a model with these few blocks, frozen ones below those that train. */
static RigSetup small_setup(const RigSetup *whole, const Counts *blocks, ModelConfig *config)
{
    RigSetup small = *whole;
    *config = *whole->config;
    int64_t frozen = blocks->of[BELOW] + blocks->of[PASSED];
    config->n_layers = frozen + blocks->of[TRAINED];
    small.config = config;
    small.trained.block_begin = frozen;
    small.trained.block_end = config->n_layers;
    return small;
}

/* Medians of what was measured. */
typedef struct Times {
    double pass, optimizer, eval;
} Times;

static Status time_rig(Rig *rig, Times *out, Err *err)
{
    TRY(rig_step(rig, NULL, err));
    *out = (Times){.pass = rig->pass_seconds, .optimizer = rig->optimizer_seconds};
    TRY(rig_evaluate(rig, err));
    out->eval = rig->pass_seconds;
    return STATUS_OK;
}

/* Times of `base`, and by how much those of `more` (or of nothing: NULL) are longer. Both are
 * measured in turns, because shared machines change their speed. */
static Status time_pair(Rig *base, Rig *more, Times *of_base, Times *longer, Err *err)
{
    static const int at_least = 3;
    BenchTimes pass = {.count = 0}, optimizer = {.count = 0}, eval = {.count = 0};
    BenchTimes more_pass = {.count = 0}, more_optimizer = {.count = 0}, more_eval = {.count = 0};
    double end = 0.0;
    for (int round = 0; round <= at_least || clock_seconds() < end; round++) {
        Times a, b = {0};
        TRY(time_rig(base, &a, err));
        if (more)
            TRY(time_rig(more, &b, err));
        if (round == 0) { /* warms up */
            end = clock_seconds() + pair_seconds;
            continue;
        }
        bench_time_add(&pass, a.pass);
        bench_time_add(&optimizer, a.optimizer);
        bench_time_add(&eval, a.eval);
        bench_time_add(&more_pass, b.pass - a.pass);
        bench_time_add(&more_optimizer, b.optimizer - a.optimizer);
        bench_time_add(&more_eval, b.eval - a.eval);
    }
    *of_base = (Times){bench_median(&pass), bench_median(&optimizer), bench_median(&eval)};
    *longer =
        (Times){bench_median(&more_pass), bench_median(&more_optimizer), bench_median(&more_eval)};
    return STATUS_OK;
}

/* Times of the base model, and of one more block of each kind that the run has more of. */
static Status time_kinds(const RigSetup *whole, const Counts *counts, const Counts *base_blocks,
                         Times *base_times, Times kinds[KINDS], Err *err)
{
    ModelConfig config;
    RigSetup setup = small_setup(whole, base_blocks, &config);
    Rig base;
    TRY(rig_init(&base, &setup, err));
    Status status = STATUS_OK;
    bool measured = false;
    for (int kind = 0; kind < KINDS && status == STATUS_OK; kind++) {
        if (counts->of[kind] == base_blocks->of[kind])
            continue;
        Counts blocks = *base_blocks;
        blocks.of[kind]++;
        ModelConfig more_config;
        RigSetup more_setup = small_setup(whole, &blocks, &more_config);
        Rig more;
        status = rig_init(&more, &more_setup, err);
        if (status == STATUS_OK) {
            status = time_pair(&base, &more, base_times, &kinds[kind], err);
            rig_clear(&more);
        }
        measured = true;
    }
    Times nothing;
    if (status == STATUS_OK && !measured)
        status = time_pair(&base, NULL, base_times, &nothing, err);
    rig_clear(&base);
    return status;
}

Status train_time(const Device *device, const ModelConfig *model, DType compute,
                  const TrainSet *trained, const TrainConfig *config, TrainTime *out, Err *err)
{
    /* Ranks that are threads share the cores: together they are as fast as one with their rows. */
    int64_t own = config->batch / config->ranks;
    int64_t rows = (config->micro_batch ? config->micro_batch : own) * train_own_ranks(config);
    RigSetup whole = {.device = device,
                      .config = model,
                      .compute = compute,
                      .trained = *trained,
                      .rows = rows,
                      .context = config->context};
    Counts counts = count_blocks(model, trained), base = {{0}};
    if (counts.of[TRAINED] > 0)
        base.of[TRAINED] = 1;
    else if (counts.of[PASSED] > 0)
        base.of[PASSED] = 1;
    Times sum, kinds[KINDS] = {{0}};
    TRY(time_kinds(&whole, &counts, &base, &sum, kinds, err));
    for (int kind = 0; kind < KINDS; kind++) {
        double n = (double)(counts.of[kind] - base.of[kind]);
        sum.pass += n * kinds[kind].pass;
        sum.optimizer += n * kinds[kind].optimizer;
        sum.eval += n * kinds[kind].eval;
    }
    double passes = (double)config->batch / (double)rows;
    *out = (TrainTime){
        .step = passes * sum.pass + sum.optimizer,
        .eval = sum.eval / (double)(rows * config->context),
    };
    out->cached_step = out->step - passes * (double)counts.of[BELOW] * kinds[BELOW].pass;
    return STATUS_OK;
}

double train_time_total(const TrainTime *time, int64_t steps, int64_t cached_steps,
                        int64_t eval_tokens, int64_t eval_every)
{
    /* The last step is followed by an evaluation in any case. */
    int64_t evaluations = eval_every ? (steps + eval_every - 1) / eval_every : 1;
    return (double)(steps - cached_steps) * time->step + (double)cached_steps * time->cached_step +
           (double)(evaluations * eval_tokens) * time->eval;
}
