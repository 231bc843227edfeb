#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/decode/decoder_parts.h"
#include "core/decode/mixing.h"

Status decoder_adapter_weights(Decoder *d, const Tensor *logits, float *weights, Err *err)
{
    const Ensemble *ensemble = d->ensemble;
    int64_t E = ensemble->n_experts, top = ensemble->adapter.top, rows = logits->shape[1];
    float *values = xmalloc((size_t)(E * rows * top) * sizeof *values);
    float *features = xmalloc((size_t)(E * top) * sizeof *features);
    Status status = STATUS_OK;
    for (int64_t e = 0; e < E && status == STATUS_OK; e++) {
        Tensor x = tensor_2d(tensor_slice(logits, e, 1).data, DTYPE_F32, rows, d->vocab);
        Tensor v = tensor_2d(d->top_values.data, DTYPE_F32, rows, top);
        Tensor ids = tensor_2d(d->top_ids.data, DTYPE_I32, rows, top);
        d->device.ops->top_k(d->device.queue, &(TopKArgs){.x = x, .values = v, .ids = ids});
        status = device_download(&d->device, &v, values + e * rows * top, err);
    }
    for (int64_t r = 0; r < rows && status == STATUS_OK; r++) {
        for (int64_t e = 0; e < E; e++)
            for (int64_t i = 0; i < top; i++)
                features[e * top + i] = values[(e * rows + r) * top + i];
        mixing_adapter(ensemble, features, weights + r * E);
    }
    free(values);
    free(features);
    return status;
}

void decoder_combine(Decoder *d, const Tensor *logits, const float *weights,
                     const Tensor *on_device, const Tensor *out)
{
    const Backend *ops = d->device.ops;
    Queue *queue = d->device.queue;
    int64_t rows = out->shape[0], E = d->ensemble->n_experts;
    Tensor w = tensor_2d(on_device->data, DTYPE_F32, rows, E);
    ops->upload(queue, w.data, weights, tensor_bytes(&w));
    MixKind kind = mixing_on_probabilities(d->ensemble->rule) ? MIX_PROBS : MIX_LOGITS;
    ops->mix(queue, &(MixArgs){.kind = kind, .logits = *logits, .weights = w, .out = *out});
}

/* What each of `rows` rows is mixed by: (rows, n_experts). */
static Status weigh_rows(Decoder *d, int64_t row, const Tensor *logits, float *weights, Err *err)
{
    const Ensemble *ensemble = d->ensemble;
    int64_t E = ensemble->n_experts, rows = logits->shape[1];
    if (ensemble->rule == MERGE_ADAPTER)
        return decoder_adapter_weights(d, logits, weights, err);
    for (int64_t r = 0; r < rows; r++) {
        if (ensemble->rule == MERGE_BAYES)
            memcpy(weights + r * E, d->row_weights + (row + r) * E, (size_t)E * sizeof *weights);
        else
            mixing_start(ensemble, weights + r * E);
    }
    return STATUS_OK;
}

/* The log-probabilities (rows, V) under the ensemble's rule of rows of the last run, at most
 * SCORE_ROWS, the first of which is row `row` of the step. Valid until the next call; the queue is
 * to be waited for before it. */
static Status mix_rows(Decoder *d, int64_t begin, int64_t row, int64_t rows, Tensor *out, Err *err)
{
    const Ensemble *ensemble = d->ensemble;
    const Backend *ops = d->device.ops;
    int64_t E = ensemble->n_experts, V = d->vocab;
    bool probabilities = E == 1 || mixing_on_probabilities(ensemble->rule);
    CHECK(E <= 64, "%lld experts", (long long)E);
    Tensor all = tensor_3d(d->score_logits.data, DTYPE_F32, E, rows, V);
    for (int64_t e = 0; e < E; e++) {
        Tensor part = tensor_2d(tensor_slice(&all, e, 1).data, DTYPE_F32, rows, V);
        TRY(d->runner->table->logits(d->runner, e, row - begin, rows, &part, err));
        if (probabilities)
            ops->log_softmax(d->device.queue, &(LogSoftmaxArgs){.x = part, .y = part});
    }
    *out = tensor_2d(E == 1 ? d->score_logits.data : d->score_mixed.data, DTYPE_F32, rows, V);
    if (E == 1)
        return STATUS_OK;
    TRY(weigh_rows(d, row, &all, d->score_weights_host, err));
    decoder_combine(d, &all, d->score_weights_host, &d->score_weights, out);
    ops->log_softmax(d->device.queue, &(LogSoftmaxArgs){.x = *out, .y = *out});
    return STATUS_OK;
}

/* Brings element `id` of row r of (rows, V) to the host, once the queue is waited for. */
static void fetch(Decoder *d, const Tensor *rows, int64_t r, int32_t id, float *out)
{
    const float *from = (const float *)rows->data + r * d->vocab + id;
    d->device.ops->download(d->device.queue, out, from, sizeof *out);
}

Status decoder_score_rows(Decoder *d, int64_t begin, int64_t count, Err *err)
{
    for (int64_t at = 0; at < count; at += SCORE_ROWS) {
        int64_t rows = count - at < SCORE_ROWS ? count - at : SCORE_ROWS, row = begin + at;
        Tensor mixed;
        TRY(mix_rows(d, begin, row, rows, &mixed, err));
        for (int64_t r = 0; r < rows; r++) {
            int32_t target = d->targets[row + r];
            fetch(d, &mixed, r, target < 0 ? 0 : target, d->logp + row + r);
        }
        TRY(d->device.ops->queue_wait(d->device.queue, err));
    }
    return STATUS_OK;
}

/* ---- looks ----------------------------------------------------------------------------------- */

/* The most probable tokens of rows of log-probabilities: (rows, n). */
static Status top_of_rows(Decoder *d, const Tensor *logprobs, TopToken *top, int64_t n, Err *err)
{
    float values[SCORE_ROWS * LOOK_TOP];
    int32_t ids[SCORE_ROWS * LOOK_TOP];
    int64_t rows = tensor_rows(logprobs);
    Tensor on_device = tensor_2d(d->look_values.data, DTYPE_F32, rows, n);
    Tensor ids_on_device = tensor_2d(d->look_ids.data, DTYPE_I32, rows, n);
    d->device.ops->top_k(d->device.queue,
                         &(TopKArgs){.x = *logprobs, .values = on_device, .ids = ids_on_device});
    TRY(device_download(&d->device, &on_device, values, err));
    TRY(device_download(&d->device, &ids_on_device, ids, err));
    for (int64_t i = 0; i < rows * n; i++)
        top[i] = (TopToken){ids[i], values[i]};
    return STATUS_OK;
}

/* Tokens [from, to) of an item whose first row is `first` of the step. */
static Status look_at(Decoder *d, const DecodeItem *item, const DecodeLook *look, int64_t begin,
                      int64_t first, int64_t from, int64_t to, Err *err)
{
    for (int64_t t = from; t < to; t += SCORE_ROWS) {
        int64_t rows = to - t < SCORE_ROWS ? to - t : SCORE_ROWS;
        Tensor logprobs;
        TRY(mix_rows(d, begin, first + t, rows, &logprobs, err));
        for (int64_t r = 0; r < rows; r++) {
            int32_t next = t + r + 1 < item->n_tokens ? item->tokens[t + r + 1] : look->next;
            look->given[t + r] = 0.0f;
            if (next >= 0)
                fetch(d, &logprobs, r, next, &look->given[t + r]);
        }
        if (look->n_top > 0)
            TRY(top_of_rows(d, &logprobs, look->top + t * look->n_top, look->n_top, err));
        TRY(d->device.ops->queue_wait(d->device.queue, err));
    }
    return STATUS_OK;
}

Status decoder_look_rows(Decoder *d, const DecodeItem *items, int64_t n_items,
                         const DecodeLook *const *looks, int64_t begin, int64_t count, Err *err)
{
    int64_t row = 0;
    for (int64_t i = 0; i < n_items; row += items[i++].n_tokens) {
        const DecodeLook *look = looks[i];
        int64_t from = row < begin ? begin - row : 0, to = begin + count - row;
        if (!look)
            continue;
        CHECK(look->n_top >= 0 && look->n_top <= LOOK_TOP && look->n_top <= d->vocab &&
                  look->next < d->vocab,
              "a look at %lld tokens", (long long)look->n_top);
        if (to > items[i].n_tokens)
            to = items[i].n_tokens;
        if (from < to)
            TRY(look_at(d, &items[i], look, begin, row, from, to, err));
    }
    return STATUS_OK;
}
