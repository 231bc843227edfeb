#include "infer/helix/words.h"

#include <math.h>

void words_plan(Words *w, const HelixRankSetup *setup, Arena *arena)
{
    const Model *model = setup->ensemble->experts[0];
    bool receives = setup->world->rank == 0;
    int64_t own = helix_words(&setup->grid, &model->config, setup->world->rank).count;
    *w = (Words){.device = model->device, .world = setup->world, .grid = setup->grid};
    w->logits = tensor_take(arena, tensor_1d(NULL, DTYPE_F32, WORDS_ROWS * own));
    w->lse = tensor_take(arena, tensor_1d(NULL, DTYPE_F32, WORDS_ROWS));
    w->sums = tensor_take(arena, tensor_2d(NULL, DTYPE_F32, WORDS_ROWS, 2));
    if (!receives)
        return;
    w->gathered =
        tensor_take(arena, tensor_1d(NULL, DTYPE_F32, WORDS_ROWS * model->config.vocab_size));
    w->all_sums = tensor_take(arena, tensor_3d(NULL, DTYPE_F32, w->world->size, WORDS_ROWS, 2));
}

/* Everybody's `send` (flat) to rank 0, one after the other in `recv`, which the others leave
 * absent. counts (ranks): elements of each. */
static Status to_first(Words *w, const Tensor *send, const Tensor *recv, const int64_t *counts,
                       Err *err)
{
    int64_t sent[HELIX_RANKS] = {counts[w->world->rank]}, received[HELIX_RANKS] = {0};
    Collective what = {.kind = COLLECTIVE_ALL_TO_ALL,
                       .send = tensor_1d(send->data, DTYPE_F32, sent[0]),
                       .recv = tensor_1d(send->data, DTYPE_F32, 0),
                       .send_rows = sent,
                       .recv_rows = received};
    int64_t total = 0;
    for (int r = 0; r < w->world->size && w->world->rank == 0; r++)
        total += received[r] = counts[r];
    if (w->world->rank == 0)
        what.recv = tensor_1d(recv->data, DTYPE_F32, total);
    return comm_run(w->world, w->device.queue, &what, err);
}

/* Row by row, the words of every rank in their order: blocks (rows, words of rank r) one after the
 * other become (rows, V). */
static void interleave(const Words *w, const ModelConfig *config, const Tensor *logits)
{
    int64_t rows = logits->shape[0], V = logits->shape[1], at = 0;
    for (int r = 0; r < w->world->size; r++) {
        HelixRange words = helix_words(&w->grid, config, r);
        for (int64_t row = 0; row < rows; row++) {
            const float *from = (const float *)w->gathered.data + at + row * words.count;
            float *to = (float *)logits->data + row * V + words.begin;
            w->device.ops->copy(w->device.queue, to, from, (size_t)words.count * sizeof *to);
        }
        at += rows * words.count;
    }
}

static Status some_logits(Words *w, const Model *model, const Tensor *y, const Tensor *logits,
                          Err *err)
{
    int64_t rows = y->shape[0], counts[HELIX_RANKS];
    for (int r = 0; r < w->world->size; r++)
        counts[r] = rows * helix_words(&w->grid, &model->config, r).count;
    Tensor own = tensor_2d(w->logits.data, DTYPE_F32, rows, counts[w->world->rank] / rows);
    forward_logits(model, y, &own);
    bool in_order = rows == 1; /* what arrives is the row */
    TRY(to_first(w, &own, in_order ? logits : &w->gathered, counts, err));
    if (w->world->rank == 0 && !in_order)
        interleave(w, &model->config, logits);
    return STATUS_OK;
}

Status words_logits(Words *w, const Model *model, const Tensor *y, const Tensor *logits, Err *err)
{
    int64_t n = y->shape[0];
    for (int64_t at = 0; at < n; at += WORDS_ROWS) {
        int64_t rows = n - at < WORDS_ROWS ? n - at : WORDS_ROWS;
        Tensor some = tensor_slice(y, at, rows), out = {0};
        if (w->world->rank == 0)
            out = tensor_slice(logits, at, rows);
        TRY(some_logits(w, model, &some, &out, err));
    }
    return STATUS_OK;
}

/* This rank's numbers for some rows, (rows, 2), to the device. */
static Status own_sums(Words *w, const Model *model, const Tensor *y, const int32_t *targets,
                       Err *err)
{
    const Backend *ops = w->device.ops;
    HelixRange words = helix_words(&w->grid, &model->config, w->world->rank);
    int64_t rows = y->shape[0];
    Tensor logits = tensor_2d(w->logits.data, DTYPE_F32, rows, words.count);
    Tensor lse = tensor_slice(&w->lse, 0, rows);
    float sums[WORDS_ROWS][2], norms[WORDS_ROWS];
    forward_logits(model, y, &logits);
    ops->log_softmax(w->device.queue, &(LogSoftmaxArgs){.x = logits, .y = logits, .lse = lse});
    ops->download(w->device.queue, norms, lse.data, tensor_bytes(&lse));
    for (int64_t i = 0; i < rows; i++) {
        int64_t word = targets[i] - words.begin;
        sums[i][1] = -INFINITY;
        if (word >= 0 && word < words.count)
            ops->download(w->device.queue, &sums[i][1],
                          (const float *)logits.data + i * words.count + word, sizeof(float));
    }
    TRY(ops->queue_wait(w->device.queue, err));
    for (int64_t i = 0; i < rows; i++)
        sums[i][0] = norms[i];
    ops->upload(w->device.queue, w->sums.data, sums, (size_t)rows * sizeof *sums);
    return ops->queue_wait(w->device.queue, err);
}

/* log p = (logit - lse of its rank's words) + (that lse - lse of all words). */
static float whole_logprob(const float (*sums)[2], int64_t stride, int ranks)
{
    double largest = -INFINITY, total = 0.0, target = -INFINITY;
    for (int r = 0; r < ranks; r++)
        largest = fmax(largest, (double)sums[r * stride][0]);
    for (int r = 0; r < ranks; r++) {
        double lse = (double)sums[r * stride][0], own = (double)sums[r * stride][1];
        total += exp(lse - largest);
        if (own > (double)-INFINITY)
            target = own + lse;
    }
    return (float)(target - largest - log(total));
}

Status words_logprobs(Words *w, const Model *model, const Tensor *y, const int32_t *targets,
                      float *logp, Err *err)
{
    int64_t n = y->shape[0], counts[HELIX_RANKS];
    float all[HELIX_RANKS * WORDS_ROWS][2];
    int ranks = w->world->size;
    for (int64_t at = 0; at < n; at += WORDS_ROWS) {
        int64_t rows = n - at < WORDS_ROWS ? n - at : WORDS_ROWS;
        Tensor some = tensor_slice(y, at, rows);
        for (int r = 0; r < ranks; r++)
            counts[r] = rows * 2;
        TRY(own_sums(w, model, &some, targets + at, err));
        TRY(to_first(w, &w->sums, &w->all_sums, counts, err));
        if (w->world->rank > 0)
            continue;
        w->device.ops->download(w->device.queue, all, w->all_sums.data,
                                (size_t)(ranks * rows) * sizeof *all);
        TRY(w->device.ops->queue_wait(w->device.queue, err));
        for (int64_t i = 0; i < rows; i++)
            logp[at + i] = targets[at + i] < 0 ? 0.0f : whole_logprob(all + i, rows, ranks);
    }
    return STATUS_OK;
}
