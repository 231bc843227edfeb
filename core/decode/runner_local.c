#include <stdlib.h>

#include "core/base/mem.h"
#include "core/decode/expert_run.h"
#include "core/decode/kv_fill.h"
#include "core/decode/runner.h"

typedef struct LocalRunner {
    Runner runner;
    const Ensemble *ensemble;
    int64_t n_experts;
    ExpertRun **runs; /* (n_experts) */
    int64_t chunk;
    int32_t *slots, *limits; /* (chunk) */
} LocalRunner;

KvShape runner_kv_shape(const Model *model, const DecoderOptions *o)
{
    return (KvShape){
        .n_layers = model->config.n_layers,
        .n_kv_heads = model->config.n_kv_heads,
        .head_dim = model->config.head_dim,
        .page_size = o->page_size,
        .n_pages = (o->kv_positions + o->page_size - 1) / o->page_size,
        .max_sequences = o->max_sequences,
        .max_positions = o->max_positions,
        .dtype = o->kv_dtype,
    };
}

static LocalRunner *local(Runner *runner)
{
    return (LocalRunner *)runner;
}

static KvCache *cache_of(const LocalRunner *self, int64_t expert)
{
    return expert_run_cache(self->runs[expert]);
}

static int64_t local_open(Runner *runner)
{
    int64_t sequence = -1;
    /* The experts' caches see the same calls and so give the same numbers. */
    for (int64_t e = 0; e < local(runner)->n_experts; e++)
        sequence = kv_cache_open(cache_of(local(runner), e));
    return sequence;
}

static void local_close(Runner *runner, int64_t sequence)
{
    for (int64_t e = 0; e < local(runner)->n_experts; e++)
        kv_cache_close(cache_of(local(runner), e), sequence);
}

static void local_truncate(Runner *runner, int64_t sequence, int64_t length)
{
    for (int64_t e = 0; e < local(runner)->n_experts; e++)
        if (kv_cache_length(cache_of(local(runner), e), sequence) > length)
            kv_cache_truncate(cache_of(local(runner), e), sequence, length);
}

static void local_share(Runner *runner, int64_t sequence, int64_t from, int64_t units)
{
    for (int64_t e = 0; e < local(runner)->n_experts; e++)
        kv_cache_share(cache_of(local(runner), e), sequence, from, units);
}

static Status local_extend(Runner *runner, int64_t sequence, int64_t count, Err *err)
{
    for (int64_t e = 0; e < local(runner)->n_experts; e++)
        TRY(kv_cache_extend(cache_of(local(runner), e), sequence, count, err));
    return STATUS_OK;
}

static int64_t local_free_positions(const Runner *runner)
{
    return kv_cache_free_positions(cache_of((const LocalRunner *)runner, 0));
}

static Status local_fill(Runner *runner, int64_t sequence, uint64_t seed, Err *err)
{
    const LocalRunner *self = local(runner);
    for (int64_t e = 0; e < self->n_experts; e++) {
        KvFill fill = {.device = self->ensemble->experts[e]->device,
                       .compute = self->ensemble->experts[e]->compute,
                       .seed = seed,
                       .expert = e,
                       .block = 1,
                       .shards = 1};
        TRY(kv_fill(cache_of(self, e), &fill, sequence, err));
    }
    return STATUS_OK;
}

static Status local_read_kv(Runner *runner, const KvRows *rows, void *host, Err *err)
{
    const LocalRunner *self = local(runner);
    return kv_rows_read(cache_of(self, rows->expert),
                        &self->ensemble->experts[rows->expert]->device, rows, host, err);
}

static Status local_write_kv(Runner *runner, const KvRows *rows, const void *host, Err *err)
{
    const LocalRunner *self = local(runner);
    return kv_rows_write(cache_of(self, rows->expert),
                         &self->ensemble->experts[rows->expert]->device, rows, host, err);
}

static Status local_run(Runner *runner, const RunnerRows *rows, Err *err)
{
    LocalRunner *self = local(runner);
    const Device *device = &self->ensemble->experts[0]->device;
    TRY(device->ops->queue_wait(device->queue, err)); /* the last run's have been read */
    for (int64_t i = 0; i < rows->n; i++) {
        self->limits[i] = rows->positions[i] + 1;
        /* Pages have the same numbers in every expert's cache. */
        self->slots[i] = kv_cache_slot(cache_of(self, 0), rows->sequences[i], rows->positions[i]);
    }
    ExpertRows expert_rows = {.n = rows->n,
                              .tokens = rows->tokens,
                              .positions = rows->positions,
                              .sequences = rows->sequences,
                              .limits = self->limits,
                              .slots = self->slots};
    for (int64_t e = 0; e < self->n_experts; e++)
        TRY(expert_run_rows(self->runs[e], &expert_rows, err));
    return STATUS_OK;
}

static Status local_logits(Runner *runner, int64_t expert, int64_t begin, int64_t count,
                           const Tensor *logits, Err *err)
{
    (void)err;
    expert_run_logits(local(runner)->runs[expert], begin, count, logits);
    return STATUS_OK;
}

static Status local_target_logprobs(Runner *runner, int64_t expert, const RunnerRows *rows,
                                    float *logp, Err *err)
{
    return expert_run_target_logprobs(local(runner)->runs[expert], rows->targets, rows->n, logp,
                                      err);
}

static void local_free(Runner *runner)
{
    LocalRunner *self = local(runner);
    for (int64_t e = 0; e < self->n_experts; e++)
        expert_run_free(self->runs[e]);
    free(self->runs);
    free(self->slots);
    free(self->limits);
    free(self);
}

static const RunnerTable local_table = {
    .open = local_open,
    .close = local_close,
    .truncate = local_truncate,
    .share = local_share,
    .extend = local_extend,
    .free_positions = local_free_positions,
    .fill = local_fill,
    .read_kv = local_read_kv,
    .write_kv = local_write_kv,
    .run = local_run,
    .logits = local_logits,
    .target_logprobs = local_target_logprobs,
    .free = local_free,
};

size_t runner_local_bytes(const Ensemble *ensemble, const DecoderOptions *options)
{
    size_t bytes = 0;
    for (int64_t e = 0; e < ensemble->n_experts; e++) {
        KvShape shape = runner_kv_shape(ensemble->experts[e], options);
        bytes += expert_run_bytes(ensemble->experts[e], &shape, options->chunk);
    }
    return bytes;
}

Status runner_local_new(Runner **out, const Ensemble *ensemble, const DecoderOptions *options,
                        Err *err)
{
    LocalRunner *self = xcalloc(1, sizeof *self);
    *self = (LocalRunner){.runner = {.table = &local_table, .unit = options->page_size},
                          .ensemble = ensemble,
                          .n_experts = ensemble->n_experts,
                          .chunk = options->chunk};
    self->runs = xcalloc((size_t)self->n_experts, sizeof *self->runs);
    self->slots = xcalloc((size_t)self->chunk, sizeof *self->slots);
    self->limits = xcalloc((size_t)self->chunk, sizeof *self->limits);
    *out = NULL;
    for (int64_t e = 0; e < self->n_experts; e++) {
        KvShape shape = runner_kv_shape(ensemble->experts[e], options);
        Status status =
            expert_run_new(&self->runs[e], ensemble->experts[e], &shape, self->chunk, err);
        if (status != STATUS_OK) {
            local_free(&self->runner);
            return status;
        }
    }
    *out = &self->runner;
    return STATUS_OK;
}
