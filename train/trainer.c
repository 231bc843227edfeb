#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "train/trainer_impl.h"

TrainConfig train_config_default(void)
{
    TrainConfig c = {.batch = 16,
                     .context = 256,
                     .ranks = 1,
                     .bucket_bytes = BUCKET_BYTES,
                     .eval_tokens = 65536,
                     .log_every = 10,
                     .seed = 1};
    c.schedule = schedule_default();
    c.adamw = adamw_default();
    return c;
}

/* ---- setting up ----------------------------------------------------------------------------- */

static Status check_config(const TrainerSetup *setup, Err *err)
{
    const TrainConfig *c = &setup->config;
    TRY(schedule_check(&c->schedule, err));
    if (c->batch < 1 || c->context < 1 || c->ranks < 1)
        return err_set(err, "batch, context and ranks are at least 1");
    if (c->batch % c->ranks)
        return err_set(err, "a batch of %" PRId64 " rows cannot be shared by %d ranks evenly",
                       c->batch, c->ranks);
    int64_t own = c->batch / c->ranks;
    if (c->micro_batch < 0 || (c->micro_batch && own % c->micro_batch))
        return err_set(err,
                       "micro-batches of %" PRId64 " rows do not fill the %" PRId64
                       " rows that a rank has; choose a divisor",
                       c->micro_batch, own);
    CHECK(c->processes == (setup->comm != NULL) && (!setup->comm || setup->comm->size == c->ranks),
          "the ranks of a trainer and of its communicator");
    if (setup->prefix && c->ranks != 1)
        return err_set(err, "a cached prefix works with one rank");
    if (setup->n_sources < 1 || setup->n_sources > LOADER_MAX_SOURCES)
        return err_set(err, "%" PRId64 " sources of data; from 1 to %d are possible",
                       setup->n_sources, LOADER_MAX_SOURCES);
    return STATUS_OK;
}

static Status rank_init(Trainer *t, int r, Err *err)
{
    const TrainConfig *c = &t->setup.config;
    TrainRank *rank = &t->ranks[r];
    rank->model = *t->setup.model;
    rank->number = c->processes ? t->setup.comm->rank : r;
    if (r > 0) {
        rank->model.device.queue = NULL;
        TRY(rank->model.device.ops->queue_new(&rank->model.device.queue, err));
    }
    /* The first rank's gradients belong to the real model: the optimizer writes through them. */
    Model *model = r == 0 ? t->setup.model : &rank->model;
    TRY(grads_new(&rank->grads, model, false, err));
    TRY(pass_new(&rank->pass, model, rank->grads, t->micro_batch, c->context, err));
    LoaderConfig loader = {.sources = t->sources,
                           .n_sources = t->setup.n_sources,
                           .batch = c->batch,
                           .window = c->context,
                           .seed = c->seed,
                           .rank = rank->number,
                           .ranks = c->ranks,
                           .reading = t->setup.reading,
                           .from_start = t->setup.from_start};
    bucket_sum_init(&rank->sum, rank->grads, c->bucket_bytes);
    rank->loader = loader_new(&loader, err);
    if (!rank->loader)
        return STATUS_FAIL;
    size_t rows = (size_t)(c->batch / c->ranks), cells = (size_t)(t->micro_batch * c->context);
    rank->tokens = xcalloc(rows * (size_t)(c->context + 1), sizeof *rank->tokens);
    rank->windows = xcalloc(rows, sizeof *rank->windows);
    rank->ids = xcalloc(cells, sizeof *rank->ids);
    rank->targets = xcalloc(cells, sizeof *rank->targets);
    rank->bytes = xcalloc(cells, sizeof *rank->bytes);
    return STATUS_OK;
}

static void rank_clear(TrainRank *rank, bool owns_queue)
{
    pass_free(rank->pass);
    bucket_sum_clear(&rank->sum);
    grads_free(rank->grads);
    loader_free(rank->loader);
    free(rank->tokens);
    free(rank->windows);
    free(rank->ids);
    free(rank->targets);
    free(rank->bytes);
    if (owns_queue && rank->model.device.queue)
        rank->model.device.ops->queue_free(rank->model.device.queue);
}

bool trainer_know_windows(Trainer *t, const int64_t *windows, int64_t rows)
{
    bool all = true;
    for (int64_t i = 0; i < rows; i++)
        all &= t->prefix_known[windows[i]];
    for (int64_t i = 0; i < rows; i++)
        t->prefix_known[windows[i]] = true;
    return all;
}

/* Where the growth stands before the first step. */
static void begin_reading(Trainer *t)
{
    const Loader *loader = t->ranks[0].loader;
    reading_copy(&t->began, loader_reading(loader));
    t->steps_before = t->began.steps;
    if (t->setup.prefix)
        t->prefix_known = xcalloc((size_t)loader_windows(loader), sizeof *t->prefix_known);
}

Status trainer_new(Trainer **out, const TrainerSetup *setup, Err *err)
{
    *out = NULL;
    TRY(check_config(setup, err));
    TRY(model_mark_trained(setup->model, &setup->trained, err));
    if (setup->hooks.release)
        TRY(setup->hooks.release(setup->hooks.context, err));
    model_release_masters(setup->model);
    Trainer *t = xcalloc(1, sizeof *t);
    const TrainConfig *c = &setup->config;
    t->setup = *setup;
    memcpy(t->sources, setup->sources, (size_t)setup->n_sources * sizeof *t->sources);
    t->setup.sources = t->sources;
    t->micro_batch = c->micro_batch ? c->micro_batch : c->batch / c->ranks;
    t->saved_step = -1;
    t->status = (TrainerStatus){.tokens = setup->tokens_before,
                                .flops = setup->flops_before,
                                .loss = NAN,
                                .eval_loss = NAN,
                                .eval_bpb = NAN};
    t->ranks = xcalloc((size_t)train_own_ranks(c), sizeof *t->ranks);
    DType table = setup->model->substrate.table.dtype;
    Status status = train_plan(&setup->model->device, &setup->model->config, setup->model->compute,
                               table, &setup->trained, c, &t->plan, err);
    for (int r = 0; r < train_own_ranks(c) && status == STATUS_OK; r++)
        status = rank_init(t, r, err);
    if (status == STATUS_OK)
        begin_reading(t);
    if (status == STATUS_OK)
        status = optimizer_new(&t->optimizer, setup->model, t->ranks[0].grads, &c->adamw, err);
    if (status != STATUS_OK) {
        trainer_free(t);
        return status;
    }
    *out = t;
    return STATUS_OK;
}

void trainer_free(Trainer *t)
{
    if (!t)
        return;
    optimizer_free(t->optimizer);
    for (int r = 0; r < train_own_ranks(&t->setup.config); r++)
        rank_clear(&t->ranks[r], r > 0);
    free(t->ranks);
    reading_clear(&t->began);
    free(t->prefix_known);
    free(t);
}

TrainerStatus trainer_status(const Trainer *t)
{
    return t->status;
}

const Model *trainer_model(const Trainer *t)
{
    return t->setup.model;
}

void trainer_reading(const Trainer *t, Reading *out)
{
    reading_copy(out, loader_reading(t->ranks[0].loader));
    out->steps = t->steps_before + t->status.step;
}

json_t *trainer_line(const Trainer *t, const char *event)
{
    json_t *line = json_pack("{s:s, s:I, s:I, s:f, s:f}", "event", event, "step",
                             (json_int_t)t->status.step, "tokens", (json_int_t)t->status.tokens,
                             "flops", t->status.flops, "seconds", t->status.seconds);
    if (t->setup.fields)
        json_object_update_missing(line, (json_t *)(uintptr_t)t->setup.fields);
    return line;
}

/* ---- one step ------------------------------------------------------------------------------- */

static TrainRank *rank_of(Trainer *t, const Comm *comm)
{
    return &t->ranks[t->setup.config.processes ? 0 : comm->rank];
}

/* The gradients and the loss (sum of nats) of this rank's rows. With the last of them the sums over
 * ranks start, as soon as backward has made what they need. */
static Status rank_gradients(Trainer *t, TrainRank *rank, Comm *comm, double *loss, Err *err)
{
    const TrainConfig *c = &t->setup.config;
    int64_t own = c->batch / c->ranks, T = c->context;
    loader_next(rank->loader, rank->tokens, rank->windows);
    uint64_t step = (uint64_t)(t->steps_before + t->status.step);
    *loss = 0.0;
    for (int64_t row = 0; row < own; row += t->micro_batch) {
        for (int64_t b = 0; b < t->micro_batch; b++) {
            const int32_t *from = rank->tokens + (row + b) * (T + 1);
            memcpy(rank->ids + b * T, from, (size_t)T * sizeof *from);
            memcpy(rank->targets + b * T, from + 1, (size_t)T * sizeof *from);
        }
        PassInput input = {.ids = rank->ids,
                           .targets = rank->targets,
                           .backward = true,
                           .accumulate = row > 0,
                           .grad_scale = 1.0f / (float)(c->batch * T),
                           .dropout = {.p = (float)t->setup.model->config.dropout,
                                       .seed = hash_mix64(c->seed ^ hash_mix64(step)),
                                       .token = (uint64_t)((rank->number * own + row) * T)},
                           .prefix = t->setup.prefix,
                           .windows = rank->windows + row};
        if (t->prefix_known && trainer_know_windows(t, input.windows, t->micro_batch))
            t->prefix_hits += t->micro_batch * T;
        if (comm->size > 1 && row + t->micro_batch == own) {
            bucket_sum_begin(&rank->sum, comm, rank->model.device.queue);
            input.ready = bucket_sum_ready;
            input.ready_context = &rank->sum;
        }
        double part;
        int64_t count;
        TRY(pass_run(rank->pass, &input, &part, &count, err));
        *loss += part;
    }
    return STATUS_OK;
}

static Status not_finite(Trainer *t, const char *what, Err *err)
{
    Err ignored;
    const char *name = optimizer_find_non_finite(t->optimizer, &ignored);
    return err_set(
        err,
        "step %" PRId64 ": the %s is not finite (first seen in %s); a "
        "checkpoint before it is as it was; begin anew, or from that with --init, with a "
        "lower --lr or a longer --warmup",
        t->status.step + 1, what, name ? name : "the loss alone");
}

/* All ranks run this; of those in one process the first steps the optimizer while the others wait.
 */
static Status train_step(Trainer *t, Comm *comm, Err *err)
{
    const TrainConfig *c = &t->setup.config;
    TrainRank *rank = rank_of(t, comm);
    double loss;
    TRY(rank_gradients(t, rank, comm, &loss, err));
    if (comm->size > 1) {
        TRY(bucket_sum_end(&rank->sum, err));
        TRY(comm_sum_host(comm, &loss, 1, err));
    }
    if (rank == t->ranks) {
        loss /= (double)(c->batch * c->context);
        /* Processes all see the same; the first one says so. */
        if (!isfinite(loss) && comm->rank == 0)
            return not_finite(t, "loss", err);
        t->lr = schedule_lr(&c->schedule, t->status.step);
        TRY(optimizer_step(t->optimizer, t->lr, &t->grad_norm, err));
        /* Ranks that are threads read these weights on queues of their own. */
        if (comm->size > 1)
            TRY(t->setup.model->device.ops->queue_wait(t->setup.model->device.queue, err));
        if (!isfinite(t->grad_norm) && comm->rank == 0)
            return not_finite(t, "gradient", err);
        t->status.loss = loss;
        t->status.step++;
        t->status.tokens += c->batch * c->context;
        t->status.own_tokens += c->batch * c->context;
        t->status.flops +=
            t->plan.flops_per_token * (double)(c->batch * c->context - t->prefix_hits) +
            t->plan.flops_per_token_cached * (double)t->prefix_hits;
        t->prefix_hits = 0;
    }
    return comm_barrier(comm, err); /* the weights are new for all */
}

/* ---- between steps -------------------------------------------------------------------------- */

/* Times that the sources of the stage were read, on average. */
static double trainer_epochs(const Trainer *t)
{
    double rows = 0.0, read = 0.0;
    const Reading *reading = loader_reading(t->ranks[0].loader);
    for (int64_t i = 0; i < t->setup.n_sources; i++) {
        const ReadSource *source = reading_find(reading, pack_info(t->sources[i].pack));
        int64_t T = t->setup.config.context;
        rows += (double)(read_windows(source->tokens, T) * T);
        read += (double)source->read;
    }
    return read / rows;
}

static void report_step(Trainer *t)
{
    const TrainConfig *c = &t->setup.config;
    double now = clock_seconds(), span = now - t->pace_time;
    t->status.seconds = now - t->started;
    if (span > 1.0 || t->status.tokens_per_second == 0.0) {
        t->status.tokens_per_second =
            (double)(t->status.tokens - t->pace_tokens) / fmax(span, 1e-9);
        t->pace_time = now;
        t->pace_tokens = t->status.tokens;
    }
    char note[96];
    snprintf(note, sizeof note, "loss %.4f  %.0f tokens/s", t->status.loss,
             t->status.tokens_per_second);
    progress_update(&t->bar, t->status.step, note);
    bool last = t->status.step == c->schedule.steps;
    if (!t->setup.metrics || (c->log_every && t->status.step % c->log_every && !last))
        return;
    json_t *line = trainer_line(t, "train");
    json_object_set_new(line, "loss", json_real(t->status.loss));
    json_object_set_new(line, "lr", json_real(t->lr));
    json_object_set_new(line, "grad_norm", json_real(t->grad_norm));
    json_object_set_new(line, "epochs", json_real(trainer_epochs(t)));
    json_object_set_new(line, "tokens_per_second", json_real(t->status.tokens_per_second));
    metrics_write(t->setup.metrics, line);
}

static Status save(Trainer *t, Err *err)
{
    if (!t->setup.hooks.save || t->saved_step == t->status.step)
        return STATUS_OK;
    TRY(t->setup.hooks.save(t->setup.hooks.context, t, err));
    t->saved_step = t->status.step;
    return STATUS_OK;
}

static bool due(int64_t every, int64_t step)
{
    return every > 0 && step % every == 0;
}

/* What the first rank does after a step while the others wait. */
static Status between_steps(Trainer *t, Err *err)
{
    const TrainConfig *c = &t->setup.config;
    int64_t step = t->status.step;
    bool last = step == c->schedule.steps;
    report_step(t);
    if (due(c->eval_every, step) || last) {
        TRY(trainer_evaluate(t, err));
        trainer_write_reading(t);
    }
    if (t->setup.hooks.sample && due(c->sample_every, step))
        TRY(t->setup.hooks.sample(t->setup.hooks.context, t, err));
    if (last)
        TRY(model_check_frozen(t->setup.model, err));
    t->stopped = stop_requested() && !last;
    if (due(c->save_every, step) || last || t->stopped)
        TRY(save(t, err));
    return t->setup.metrics ? metrics_check(t->setup.metrics, err) : STATUS_OK;
}

static Status rank_main(void *context, Comm *comm, Err *err)
{
    Trainer *t = context;
    bool go_on = t->status.step < t->setup.config.schedule.steps;
    while (go_on) {
        TRY(train_step(t, comm, err));
        double stopped = 0.0;
        if (comm->rank == 0) {
            TRY(between_steps(t, err));
            stopped = t->stopped;
        }
        TRY(comm_max_host(comm, &stopped, 1, err));
        if (stopped != 0.0 && rank_of(t, comm) == t->ranks)
            t->stopped = true;
        go_on = t->status.step < t->setup.config.schedule.steps && stopped == 0.0;
        TRY(comm_barrier(comm, err)); /* nobody begins the next step before all have looked */
    }
    return STATUS_OK;
}

Status trainer_run(Trainer *t, Err *err)
{
    const TrainConfig *c = &t->setup.config;
    const Backend *ops = t->setup.model->device.ops;
    t->started = t->pace_time = clock_seconds();
    t->pace_tokens = t->status.tokens;
    t->stopped = false;
    if (!t->setup.quiet) {
        progress_start(&t->bar, "step", c->schedule.steps);
        t->bar.first = t->status.step;
    }
    Status status;
    if (c->processes) {
        status = rank_main(t, t->setup.comm, err);
    } else if (c->ranks == 1) {
        Comm *self = comm_self_new(ops);
        status = rank_main(t, self, err);
        comm_free(self);
    } else {
        status = comm_run_threads(ops, c->ranks, t->setup.wire, rank_main, t, err);
    }
    progress_end(&t->bar);
    t->status.seconds = clock_seconds() - t->started;
    if (status == STATUS_OK && t->stopped)
        return STATUS_STOPPED;
    return status;
}
