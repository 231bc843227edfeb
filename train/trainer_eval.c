#include <math.h>

#include "core/io/json_put.h"
#include "train/sweep.h"
#include "train/trainer_impl.h"

/* Sums over one source's validation split. */
typedef struct Tally {
    double nats;
    int64_t targets, bytes;
} Tally;

static Status sweep_source(Trainer *t, const Pack *pack, Tally *tally, Err *err)
{
    TrainRank *rank = &t->ranks[0];
    int64_t B = t->micro_batch, T = t->setup.config.context;
    Sweep sweep;
    TRY(sweep_init(&sweep, pack, PACK_VALIDATION, T, t->setup.config.eval_tokens, err));
    while (sweep_next(&sweep, B, rank->ids, rank->targets, rank->bytes) > 0) {
        PassInput input = {.ids = rank->ids, .targets = rank->targets};
        double loss;
        int64_t count;
        TRY(pass_run(rank->pass, &input, &loss, &count, err));
        tally->nats += loss;
        tally->targets += count;
        for (int64_t i = 0; i < B * T; i++)
            tally->bytes += rank->bytes[i];
    }
    return STATUS_OK;
}

static double bits_per_byte(const Tally *tally)
{
    return tally->nats / log(2.0) / (double)tally->bytes; /* NaN without text */
}

void trainer_write_reading(const Trainer *t)
{
    if (!t->setup.metrics)
        return;
    json_t *line = trainer_line(t, "data"), *parts = json_array();
    for (int64_t i = 0; i < t->setup.n_sources; i++) {
        const PackInfo *info = pack_info(t->sources[i].pack);
        ReadCoverage c = loader_coverage(t->ranks[0].loader, i);
        json_array_append_new(parts, json_pack("{s:o, s:I, s:I, s:I, s:I, s:f}", "data",
                                               json_name(info->path), "tokens",
                                               (json_int_t)info->tokens[PACK_TRAIN], "read",
                                               (json_int_t)c.read, "seen", (json_int_t)c.seen,
                                               "never", (json_int_t)c.never, "epochs", c.epochs));
    }
    json_object_set_new(line, "sources", parts);
    metrics_write(t->setup.metrics, line);
}

Status trainer_evaluate(Trainer *t, Err *err)
{
    Tally all = {0};
    json_t *parts = json_array();
    Status status = STATUS_OK;
    for (int64_t i = 0; i < t->setup.n_sources && status == STATUS_OK; i++) {
        const PackInfo *info = pack_info(t->sources[i].pack);
        if (info->tokens[PACK_VALIDATION] == 0)
            continue;
        Tally own = {0};
        status = sweep_source(t, t->sources[i].pack, &own, err);
        all.nats += own.nats;
        all.targets += own.targets;
        all.bytes += own.bytes;
        json_array_append_new(parts, json_pack("{s:o, s:f, s:f}", "data", json_name(info->path),
                                               "loss", own.nats / (double)own.targets, "bpb",
                                               bits_per_byte(&own)));
    }
    if (status == STATUS_OK && all.targets > 0) {
        t->status.eval_loss = all.nats / (double)all.targets;
        t->status.eval_bpb = bits_per_byte(&all);
        t->status.seconds = clock_seconds() - t->started;
        if (t->setup.metrics) {
            json_t *line = trainer_line(t, "eval");
            json_object_set_new(line, "loss", json_real(t->status.eval_loss));
            json_object_set_new(line, "bpb", json_real(t->status.eval_bpb));
            json_object_set(line, "sources", parts);
            metrics_write(t->setup.metrics, line);
        }
        log_debug("step %lld: validation loss %.4f, %.4f bits per byte", (long long)t->status.step,
                  t->status.eval_loss, t->status.eval_bpb);
    }
    /* Evaluation is not training: the pace starts anew. */
    t->pace_time = clock_seconds();
    t->pace_tokens = t->status.tokens;
    json_decref(parts);
    return status;
}
