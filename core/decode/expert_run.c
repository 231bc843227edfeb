#include "core/decode/expert_run.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/tensor/replay.h"

enum {
    LOGIT_ROWS = 32,  /* rows whose logits are made at once where the fused loss cannot serve */
    REPLAY_ROWS = 64, /* steps of up to so many rows are recorded, one record for each number */
};

struct ExpertRun {
    const Model *model;
    Device device;
    int64_t chunk;
    KvCache *cache;
    void *memory;
    BlockBuffers buffers;
    Tensor x; /* (chunk, C) float32: the residual stream */
    Tensor y; /* (chunk, C) compute: after the final norm */
    Tensor tokens, positions, sequences, limits, slots, targets; /* (chunk) int32 */
    Tensor losses;                                               /* (chunk) float32 */
    Tensor logits;                                               /* (LOGIT_ROWS, V) float32 */
    Replay replays[REPLAY_ROWS + 1];                             /* by number of rows */
};

static bool head_is_int8(const Model *model)
{
    return model->head[HEAD_HEAD].weight.dtype == DTYPE_I8;
}

/* Lays out all buffers of a run; the same code measures and places. */
static void place(ExpertRun *run, Arena *arena)
{
    const ModelConfig *c = &run->model->config;
    int64_t N = run->chunk, C = c->d_model;
    run->x = tensor_take(arena, tensor_2d(NULL, DTYPE_F32, N, C));
    run->y = tensor_take(arena, tensor_2d(NULL, run->model->compute, N, C));
    block_buffers_plan(&run->buffers, run->model, 1, N, false, NULL, arena);
    Tensor *ints[] = {&run->tokens, &run->positions, &run->sequences,
                      &run->limits, &run->slots,     &run->targets};
    for (int i = 0; i < 6; i++)
        *ints[i] = tensor_take(arena, tensor_1d(NULL, DTYPE_I32, N));
    run->losses = tensor_take(arena, tensor_1d(NULL, DTYPE_F32, N));
    run->logits = tensor_take(arena, tensor_2d(NULL, DTYPE_F32, LOGIT_ROWS, c->vocab_size));
}

size_t expert_run_bytes(const Model *model, const KvShape *kv, int64_t chunk)
{
    ExpertRun run = {.model = model, .chunk = chunk};
    Arena arena;
    arena_init(&arena, NULL, 0);
    place(&run, &arena);
    return arena.used + kv_cache_bytes(kv);
}

Status expert_run_new(ExpertRun **out, const Model *model, const KvShape *kv, int64_t chunk,
                      Err *err)
{
    ExpertRun *run = xcalloc(1, sizeof *run);
    *run = (ExpertRun){.model = model, .device = model->device, .chunk = chunk};
    *out = NULL;
    Arena arena;
    arena_init(&arena, NULL, 0);
    place(run, &arena);
    size_t bytes = arena.used;
    Status status = run->device.ops->alloc(&run->memory, bytes, "the decoder's buffers", err);
    if (status == STATUS_OK) {
        arena_init(&arena, run->memory, bytes);
        place(run, &arena);
        status = kv_cache_new(&run->cache, &run->device, kv, err);
    }
    if (status != STATUS_OK) {
        expert_run_free(run);
        return status;
    }
    *out = run;
    return STATUS_OK;
}

void expert_run_free(ExpertRun *run)
{
    if (!run)
        return;
    for (int i = 0; i <= REPLAY_ROWS; i++)
        replay_clear(&run->replays[i], &run->device);
    kv_cache_free(run->cache);
    if (run->memory)
        run->device.ops->free(run->memory);
    free(run);
}

KvCache *expert_run_cache(ExpertRun *run)
{
    return run->cache;
}

static void upload_ints(ExpertRun *run, const Tensor *t, const int32_t *host, int64_t n)
{
    run->device.ops->upload(run->device.queue, t->data, host, (size_t)n * sizeof *host);
}

/* The layers on the first n rows of what was uploaded. */
typedef struct LayerRun {
    ExpertRun *run;
    int64_t n;
} LayerRun;

static void run_layers(void *context)
{
    ExpertRun *run = ((const LayerRun *)context)->run;
    int64_t n = ((const LayerRun *)context)->n;
    const Model *model = run->model;
    const ModelConfig *c = &model->config;
    const Backend *ops = run->device.ops;
    Queue *queue = run->device.queue;
    Tensor tokens = tensor_first(&run->tokens, n), positions = tensor_first(&run->positions, n);
    Tensor x = tensor_first(&run->x, n), y = tensor_first(&run->y, n);
    BlockBuffers b = block_buffers_first(&run->buffers, n);
    float scale = 1.0f / sqrtf((float)c->head_dim);
    forward_embed(model, &tokens, &x);
    Stream stream = {.sum = x};
    Dropout none = {0};
    for (int64_t layer = 0; layer < c->n_layers; layer++) {
        KvPages kv = kv_cache_pages(run->cache, layer);
        forward_qkv(model, layer, &stream, &positions, &b);
        ops->kv_write(queue, &(KvWriteArgs){.k = forward_heads(&b.k, c->n_kv_heads, c->head_dim),
                                            .v = forward_heads(&b.v, c->n_kv_heads, c->head_dim),
                                            .slots = tensor_first(&run->slots, n),
                                            .kv = kv});
        ops->attn_decode(queue,
                         &(AttnDecodeArgs){.q = forward_heads(&b.q, c->n_heads, c->head_dim),
                                           .out = forward_heads(&b.attn, c->n_heads, c->head_dim),
                                           .rows = tensor_first(&run->sequences, n),
                                           .limits = tensor_first(&run->limits, n),
                                           .kv = kv,
                                           .scale = scale});
        forward_rest(model, layer, &stream, &b, &none);
    }
    Tensor absent = {0};
    forward_final_norm(model, &stream, &y, &absent, &absent, &absent);
}

Status expert_run_rows(ExpertRun *run, const ExpertRows *rows, Err *err)
{
    int64_t n = rows->n;
    CHECK(n > 0 && n <= run->chunk, "%lld rows of at most %lld", (long long)n,
          (long long)run->chunk);
    upload_ints(run, &run->tokens, rows->tokens, n);
    upload_ints(run, &run->positions, rows->positions, n);
    upload_ints(run, &run->sequences, rows->sequences, n);
    upload_ints(run, &run->limits, rows->limits, n);
    upload_ints(run, &run->slots, rows->slots, n);
    kv_cache_sync(run->cache);
    LayerRun layers = {run, n};
    if (n <= REPLAY_ROWS)
        return replay_run(&run->replays[n], &run->device, run_layers, &layers, err);
    run_layers(&layers);
    return STATUS_OK;
}

void expert_run_logits(ExpertRun *run, int64_t begin, int64_t count, const Tensor *logits)
{
    Tensor y = tensor_slice(&run->y, begin, count);
    forward_logits(run->model, &y, logits);
}

/* Where the head is int8 the fused loss cannot read it: logits of a few rows at a time. */
static Status logprobs_by_logits(ExpertRun *run, const int32_t *targets, int64_t n, float *logp,
                                 Err *err)
{
    const Backend *ops = run->device.ops;
    int64_t V = run->model->config.vocab_size;
    for (int64_t at = 0; at < n; at += LOGIT_ROWS) {
        int64_t count = n - at < LOGIT_ROWS ? n - at : LOGIT_ROWS;
        Tensor logits = tensor_slice(&run->logits, 0, count);
        expert_run_logits(run, at, count, &logits);
        ops->log_softmax(run->device.queue, &(LogSoftmaxArgs){.x = logits, .y = logits});
        for (int64_t r = 0; r < count; r++) {
            int32_t target = targets[at + r];
            logp[at + r] = 0.0f;
            if (target >= 0)
                ops->download(run->device.queue, &logp[at + r],
                              (const float *)logits.data + r * V + target, sizeof(float));
        }
        TRY(ops->queue_wait(run->device.queue, err));
    }
    return STATUS_OK;
}

Status expert_run_target_logprobs(ExpertRun *run, const int32_t *targets, int64_t n, float *logp,
                                  Err *err)
{
    const Model *model = run->model;
    if (head_is_int8(model))
        return logprobs_by_logits(run, targets, n, logp, err);
    upload_ints(run, &run->targets, targets, n);
    Tensor losses = tensor_first(&run->losses, n);
    HeadLossArgs args = {.x = tensor_first(&run->y, n),
                         .weight = model->head[HEAD_HEAD].weight,
                         .bias = model->head[HEAD_HEAD_BIAS].weight,
                         .targets = tensor_first(&run->targets, n),
                         .losses = losses};
    run->device.ops->head_loss(run->device.queue, &args);
    TRY(device_download(&run->device, &losses, logp, err));
    for (int64_t i = 0; i < n; i++)
        logp[i] = -logp[i];
    return STATUS_OK;
}
