#include "core/decode/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/decode/budget.h"
#include "core/decode/decoder_parts.h"
#include "core/decode/mixing.h"

enum { PAGE_SIZE = 64, CHUNK = 512 };

DecoderOptions decoder_options_complete(const DecoderOptions *given)
{
    DecoderOptions o = *given;
    CHECK(o.max_sequences > 0 && o.max_positions > 0, "a decoder needs sequences and positions");
    if (!o.page_size)
        o.page_size = PAGE_SIZE;
    if (!o.chunk)
        o.chunk = CHUNK;
    if (o.chunk < o.max_sequences)
        o.chunk = o.max_sequences;
    if (!o.kv_positions)
        o.kv_positions =
            o.max_sequences * ((o.max_positions + o.page_size - 1) / o.page_size * o.page_size);
    return o;
}

static void take(Arena *arena, Tensor *out, Tensor shape)
{
    Tensor taken = tensor_take(arena, shape);
    if (out)
        *out = taken;
}

/* The decoder's own tensors; measures when `d` is NULL. */
static void place(const Ensemble *ensemble, const DecoderOptions *o, Arena *arena, Decoder *d)
{
    int64_t E = ensemble->n_experts, S = o->max_sequences;
    int64_t V = ensemble->experts[0]->config.vocab_size;
    bool mixes = E > 1;
    take(arena, d ? &d->logits : NULL, tensor_2d(NULL, DTYPE_F32, S, V));
    take(arena, d ? &d->expert_logits : NULL, tensor_3d(NULL, DTYPE_F32, E, S, V));
    take(arena, d ? &d->previous : NULL, tensor_3d(NULL, DTYPE_F32, E, S, V));
    take(arena, d ? &d->mix_weights : NULL, tensor_2d(NULL, DTYPE_F32, S, E));
    int64_t rows = SCORE_ROWS;
    take(arena, d ? &d->score_logits : NULL, tensor_3d(NULL, DTYPE_F32, E, rows, V));
    take(arena, d ? &d->score_mixed : NULL, tensor_2d(NULL, DTYPE_F32, mixes ? rows : 1, V));
    take(arena, d ? &d->score_weights : NULL, tensor_2d(NULL, DTYPE_F32, rows, E));
    int64_t top = ensemble->adapter.top > 0 ? ensemble->adapter.top : 1;
    int64_t top_rows = S > rows ? S : rows;
    take(arena, d ? &d->top_values : NULL, tensor_2d(NULL, DTYPE_F32, top_rows, top));
    take(arena, d ? &d->top_ids : NULL, tensor_2d(NULL, DTYPE_I32, top_rows, top));
    take(arena, d ? &d->look_values : NULL, tensor_2d(NULL, DTYPE_F32, rows, LOOK_TOP));
    take(arena, d ? &d->look_ids : NULL, tensor_2d(NULL, DTYPE_I32, rows, LOOK_TOP));
}

/* Whether a sequence's weights move with every token it sees. */
static bool learns(const Ensemble *ensemble)
{
    return ensemble->n_experts > 1 && ensemble->rule == MERGE_BAYES;
}

/* What the device takes for itself; all experts share it. */
static size_t device_scratch(const Ensemble *ensemble, const DecoderOptions *o)
{
    size_t most = 0;
    for (int64_t e = 0; e < ensemble->n_experts; e++) {
        const Model *model = ensemble->experts[e];
        const ModelConfig *c = &model->config;
        if (!model->device.ops->decode_scratch)
            continue;
        HeadLossArgs scoring = {.x = tensor_2d(NULL, model->compute, o->chunk, c->d_model),
                                .weight =
                                    tensor_2d(NULL, model->compute, c->vocab_size, c->d_model)};
        size_t bytes = model->device.ops->decode_scratch(&scoring, c->head_dim, model->weights);
        most = bytes > most ? bytes : most;
    }
    return most;
}

size_t decoder_bytes(const Ensemble *ensemble, const DecoderOptions *options)
{
    DecoderOptions o = decoder_options_complete(options);
    Arena arena;
    arena_init(&arena, NULL, 0);
    place(ensemble, &o, &arena, NULL);
    return arena.used + device_scratch(ensemble, &o) +
           (o.source ? o.source->bytes(o.source, &o) : runner_local_bytes(ensemble, &o));
}

Status decoder_new(Decoder **out, const Ensemble *ensemble, const DecoderOptions *options, Err *err)
{
    *out = NULL;
    if (options->budget)
        TRY(budget_check_decoder(options->budget, options, decoder_bytes(ensemble, options), err));
    Decoder *d = xcalloc(1, sizeof *d);
    d->ensemble = ensemble;
    d->options = decoder_options_complete(options);
    d->device = ensemble->experts[0]->device;
    d->vocab = ensemble->experts[0]->config.vocab_size;
    int64_t E = ensemble->n_experts, S = d->options.max_sequences;
    d->lengths = xcalloc((size_t)S, sizeof *d->lengths);
    d->weights = xcalloc((size_t)(S * E), sizeof *d->weights);
    d->score_weights_host = xcalloc((size_t)(SCORE_ROWS * E), sizeof *d->score_weights_host);
    d->shared = xcalloc((size_t)S, sizeof *d->shared);
    Arena arena;
    arena_init(&arena, NULL, 0);
    place(ensemble, &d->options, &arena, NULL);
    size_t bytes = arena.used;
    Status status = d->device.ops->alloc(&d->memory, bytes, "the decoder's logits", err);
    if (status == STATUS_OK) {
        arena_init(&arena, d->memory, bytes);
        place(ensemble, &d->options, &arena, d);
    }
    RunnerSource *source = d->options.source;
    if (status == STATUS_OK)
        status = source ? source->make(source, &d->options, &d->runner, err)
                        : runner_local_new(&d->runner, ensemble, &d->options, err);
    if (status != STATUS_OK) {
        decoder_free(d);
        return status;
    }
    if (learns(ensemble))
        d->prefix = prefix_weights_new(S, d->options.max_positions, d->runner->unit, E);
    *out = d;
    return STATUS_OK;
}

void decoder_free(Decoder *d)
{
    if (!d)
        return;
    if (d->runner)
        d->runner->table->free(d->runner);
    if (d->memory)
        d->device.ops->free(d->memory);
    free(d->tokens);
    free(d->positions);
    free(d->sequences);
    free(d->targets);
    free(d->logp);
    free(d->row_weights);
    free(d->lengths);
    free(d->weights);
    free(d->score_weights_host);
    free(d->shared);
    prefix_weights_free(d->prefix);
    free(d);
}

Device decoder_device(const Decoder *d)
{
    return d->device;
}

int64_t decoder_open(Decoder *d)
{
    int64_t sequence = d->runner->table->open(d->runner);
    if (sequence >= 0) {
        d->lengths[sequence] = 0;
        d->shared[sequence] = false;
        mixing_start(d->ensemble, d->weights + sequence * d->ensemble->n_experts);
    }
    return sequence;
}

void decoder_close(Decoder *d, int64_t sequence)
{
    d->runner->table->close(d->runner, sequence);
}

int64_t decoder_length(const Decoder *d, int64_t sequence)
{
    return d->lengths[sequence];
}

int64_t decoder_free_positions(const Decoder *d)
{
    return d->runner->table->free_positions(d->runner);
}

int64_t decoder_page_size(const Decoder *d)
{
    return d->runner->unit;
}

int64_t decoder_share(Decoder *d, int64_t sequence, int64_t from, int64_t length)
{
    CHECK(d->lengths[sequence] == 0 && length <= d->lengths[from],
          "%lld positions to share of %lld", (long long)length, (long long)d->lengths[from]);
    int64_t units = length > 0 ? (length - 1) / d->runner->unit : 0;
    if (units == 0)
        return 0;
    d->runner->table->share(d->runner, sequence, from, units);
    d->lengths[sequence] = units * d->runner->unit;
    d->shared[sequence] = true;
    if (d->prefix)
        memcpy(d->weights + sequence * d->ensemble->n_experts,
               prefix_weights_share(d->prefix, sequence, from, d->lengths[sequence]),
               (size_t)d->ensemble->n_experts * sizeof *d->weights);
    return d->lengths[sequence];
}

Status decoder_fill(Decoder *d, int64_t sequence, int64_t length, uint64_t seed, Err *err)
{
    const RunnerTable *table = d->runner->table;
    CHECK(d->lengths[sequence] == 0, "sequence %lld is not empty", (long long)sequence);
    Status status = table->extend(d->runner, sequence, length, err);
    if (status == STATUS_OK)
        status = table->fill(d->runner, sequence, seed, err);
    if (status != STATUS_OK) {
        table->truncate(d->runner, sequence, 0);
        return status;
    }
    d->lengths[sequence] = length;
    d->shared[sequence] = true;
    return STATUS_OK;
}

Status decoder_restore(Decoder *d, int64_t sequence, int64_t length, const float *weights, Err *err)
{
    const RunnerTable *table = d->runner->table;
    CHECK(d->lengths[sequence] == 0, "sequence %lld is not empty", (long long)sequence);
    Status status = table->extend(d->runner, sequence, length, err);
    if (status != STATUS_OK) {
        table->truncate(d->runner, sequence, 0);
        return status;
    }
    d->lengths[sequence] = length;
    d->shared[sequence] = length > 0;
    memcpy(d->weights + sequence * d->ensemble->n_experts, weights,
           (size_t)d->ensemble->n_experts * sizeof *weights);
    return STATUS_OK;
}

Status decoder_read_kv(Decoder *d, const KvRows *rows, void *host, Err *err)
{
    return d->runner->table->read_kv(d->runner, rows, host, err);
}

Status decoder_write_kv(Decoder *d, const KvRows *rows, const void *host, Err *err)
{
    return d->runner->table->write_kv(d->runner, rows, host, err);
}

void decoder_reset(Decoder *d, int64_t sequence)
{
    d->runner->table->truncate(d->runner, sequence, 0);
    d->lengths[sequence] = 0;
    d->shared[sequence] = false;
    mixing_start(d->ensemble, d->weights + sequence * d->ensemble->n_experts);
}

Tensor decoder_logits(const Decoder *d)
{
    return tensor_slice(&d->logits, 0, d->n_items);
}

const float *decoder_weights(const Decoder *d, int64_t sequence)
{
    return d->weights + sequence * d->ensemble->n_experts;
}

static void reserve_rows(Decoder *d, int64_t rows)
{
    if (rows <= d->rows_capacity)
        return;
    d->rows_capacity = rows;
    size_t bytes = (size_t)rows * sizeof(int32_t);
    d->tokens = xrealloc(d->tokens, bytes);
    d->positions = xrealloc(d->positions, bytes);
    d->sequences = xrealloc(d->sequences, bytes);
    d->targets = xrealloc(d->targets, bytes);
    size_t floats = (size_t)(rows * d->ensemble->n_experts) * sizeof(float);
    d->logp = xrealloc(d->logp, floats);
    d->row_weights = xrealloc(d->row_weights, floats);
}

/* Room in every cache, or no change at all. */
static Status extend_caches(Decoder *d, const DecodeItem *items, int64_t n_items, Err *err)
{
    const RunnerTable *table = d->runner->table;
    int64_t done = 0;
    Status status = STATUS_OK;
    for (; done < n_items && status == STATUS_OK; done++)
        status = table->extend(d->runner, items[done].sequence, items[done].n_tokens, err);
    for (int64_t i = 0; status != STATUS_OK && i < done; i++)
        table->truncate(d->runner, items[i].sequence, d->lengths[items[i].sequence]);
    return status;
}

/* Fills the step's rows, item after item. A row's target is the token that follows it in its item;
 * the last row of an item has none, nor has a row before tokens that are not scored. */
static int64_t fill_rows(Decoder *d, const DecodeItem *items, int64_t n_items, const int64_t *first)
{
    int64_t row = 0;
    bool learning = learns(d->ensemble); /* then the weights see every token */
    for (int64_t i = 0; i < n_items; i++) {
        const DecodeItem *item = &items[i];
        for (int64_t t = 0; t < item->n_tokens; t++, row++) {
            CHECK(item->tokens[t] >= 0 && item->tokens[t] < d->vocab, "token %d of %lld",
                  item->tokens[t], (long long)d->vocab);
            d->tokens[row] = item->tokens[t];
            d->positions[row] = (int32_t)(d->lengths[item->sequence] + t);
            d->sequences[row] = (int32_t)item->sequence;
            bool wanted = t + 1 < item->n_tokens && (learning || !first || t + 1 >= first[i]);
            d->targets[row] = wanted ? item->tokens[t + 1] : -1;
        }
    }
    return row;
}

/* Whether log p of single tokens, expert by expert, is enough to score and to move the weights. */
static bool scores_by_expert(const Ensemble *ensemble)
{
    return ensemble->n_experts == 1 || ensemble->rule == MERGE_BAYES;
}

/* Runs rows [begin, begin + count) of the step through all experts. */
static Status run_chunk(Decoder *d, const DecodeItem *items, int64_t n_items, int64_t begin,
                        int64_t count, bool score, Err *err)
{
    int64_t E = d->ensemble->n_experts;
    bool targets = score || learns(d->ensemble);
    RunnerRows rows = {.n = count,
                       .tokens = d->tokens + begin,
                       .positions = d->positions + begin,
                       .sequences = d->sequences + begin,
                       .targets = d->targets + begin};
    const RunnerTable *table = d->runner->table;
    TRY(table->run(d->runner, &rows, err));
    for (int64_t e = 0; e < E; e++) {
        if (targets && scores_by_expert(d->ensemble))
            TRY(table->target_logprobs(d->runner, e, &rows, d->logp + e * d->rows_capacity + begin,
                                       err));
        int64_t last = -1;
        for (int64_t i = 0; i < n_items; i++) {
            last += items[i].n_tokens;
            if (last < begin || last >= begin + count)
                continue;
            Tensor expert = tensor_slice(&d->expert_logits, e, 1);
            Tensor of_expert =
                tensor_2d(expert.data, DTYPE_F32, d->options.max_sequences, d->vocab);
            int64_t followers = 1; /* neighbours whose last rows follow each other go together */
            while (i + followers < n_items && items[i + followers].n_tokens == 1 &&
                   last + followers < begin + count)
                followers++;
            Tensor out = tensor_slice(&of_expert, i, followers);
            TRY(table->logits(d->runner, e, last - begin, followers, &out, err));
            i += followers - 1;
            last += followers - 1;
        }
    }
    if (score && !scores_by_expert(d->ensemble))
        TRY(decoder_score_rows(d, begin, count, err));
    return STATUS_OK;
}

/* log p_e of `token` as the next one of a sequence, from the log-probabilities kept of its last. */
static Status previous_logprobs(Decoder *d, int64_t sequence, int32_t token, float *logp, Err *err)
{
    for (int64_t e = 0; e < d->ensemble->n_experts; e++) {
        const float *from = (const float *)d->previous.data +
                            (e * d->options.max_sequences + sequence) * d->vocab + token;
        d->device.ops->download(d->device.queue, &logp[e], from, sizeof(float));
    }
    return d->device.ops->queue_wait(d->device.queue, err);
}

Status decoder_weights_after(Decoder *d, int64_t sequence, int32_t token, float *weights, Err *err)
{
    int64_t E = d->ensemble->n_experts;
    float logp[64];
    memcpy(weights, d->weights + sequence * E, (size_t)E * sizeof *weights);
    if (!learns(d->ensemble) || d->lengths[sequence] == 0 || d->shared[sequence])
        return STATUS_OK;
    TRY(previous_logprobs(d, sequence, token, logp, err));
    mixing_observe(d->ensemble, weights, logp);
    return STATUS_OK;
}

/* A sequence saw its token at `position`, to which the experts gave `logp`. */
static void observe(Decoder *d, int64_t sequence, int64_t position, const float *logp)
{
    float *weights = d->weights + sequence * d->ensemble->n_experts;
    mixing_observe(d->ensemble, weights, logp);
    if (d->prefix)
        prefix_weights_keep(d->prefix, sequence, position, weights);
}

/* Moves a sequence's weights over those tokens of its item, which begins at `row`, that are known
 * once the rows of the step before `end` have run, from row `begin` on; when asked, scores those
 * from `first` on. */
static void follow_item(Decoder *d, const DecodeItem *item, int64_t row, int64_t begin, int64_t end,
                        int64_t first, float *logprobs)
{
    const Ensemble *ensemble = d->ensemble;
    int64_t E = ensemble->n_experts;
    float *weights = d->weights + item->sequence * E;
    float logp[64];
    for (int64_t t = row < begin ? begin - row : 0; t < item->n_tokens && row + t < end; t++) {
        bool wanted = logprobs && t + 1 >= first;
        if (learns(ensemble))
            memcpy(d->row_weights + (row + t) * E, weights, (size_t)E * sizeof *weights);
        if (t + 1 == item->n_tokens)
            break;
        if (!scores_by_expert(ensemble)) {
            if (wanted)
                logprobs[t + 1] = d->logp[row + t];
            continue;
        }
        if (!logprobs && E == 1)
            break;
        for (int64_t e = 0; e < E; e++)
            logp[e] = d->logp[e * d->rows_capacity + row + t];
        if (wanted)
            logprobs[t + 1] = E == 1 ? logp[0] : (float)mixing_logprob(E, weights, logp);
        observe(d, item->sequence, d->lengths[item->sequence] + t + 1, logp);
    }
}

/* Before the step: the first token of an item is judged by what was predicted before it; its log p
 * goes to `first` unless that is NULL. */
static Status follow_first(Decoder *d, const DecodeItem *item, float *first, Err *err)
{
    int64_t E = d->ensemble->n_experts;
    if (first)
        *first = 0.0f;
    int64_t position = d->lengths[item->sequence];
    if (position == 0 || (!first && !learns(d->ensemble)))
        return STATUS_OK;
    if (d->shared[item->sequence]) {
        CHECK(!first, "the first token after a shared prefix cannot be scored");
        return STATUS_OK;
    }
    float *weights = d->weights + item->sequence * E;
    float logp[64];
    TRY(previous_logprobs(d, item->sequence, item->tokens[0], logp, err));
    if (E == 1 || mixing_on_probabilities(d->ensemble->rule)) {
        if (first)
            *first = (float)mixing_logprob(E, weights, logp);
    } else {
        /* Rules on logits need the normaliser of the mixture: combine the kept rows again. */
        for (int64_t e = 0; e < E; e++) {
            Tensor from = tensor_slice(&d->previous, e, 1);
            Tensor rows = tensor_2d(from.data, DTYPE_F32, d->options.max_sequences, d->vocab);
            Tensor row = tensor_slice(&rows, item->sequence, 1);
            d->device.ops->copy(d->device.queue, (float *)d->score_logits.data + e * d->vocab,
                                row.data, tensor_bytes(&row));
        }
        Tensor all = tensor_3d(d->score_logits.data, DTYPE_F32, E, 1, d->vocab);
        Tensor mixed = tensor_2d(d->score_mixed.data, DTYPE_F32, 1, d->vocab);
        decoder_combine(d, &all, weights, &d->score_weights, &mixed);
        d->device.ops->log_softmax(d->device.queue, &(LogSoftmaxArgs){.x = mixed, .y = mixed});
        d->device.ops->download(d->device.queue, first, (const float *)mixed.data + item->tokens[0],
                                sizeof *first);
        TRY(d->device.ops->queue_wait(d->device.queue, err));
    }
    observe(d, item->sequence, position, logp);
    return STATUS_OK;
}

/* After all rows: keeps log-probabilities per sequence, and combines the items' logits. */
static Status finish_step(Decoder *d, const DecodeItem *items, int64_t n_items, Err *err)
{
    const Backend *ops = d->device.ops;
    int64_t E = d->ensemble->n_experts, S = d->options.max_sequences, V = d->vocab;
    size_t row_bytes = (size_t)V * sizeof(float);
    float *logits = d->expert_logits.data, *previous = d->previous.data;
    for (int64_t e = 0; e < E; e++)
        for (int64_t i = 0; i < n_items; i++) {
            Tensor x = tensor_2d(logits + (e * S + i) * V, DTYPE_F32, 1, V);
            Tensor y = tensor_2d(previous + (e * S + items[i].sequence) * V, DTYPE_F32, 1, V);
            ops->log_softmax(d->device.queue, &(LogSoftmaxArgs){.x = x, .y = y});
        }
    if (E == 1) {
        ops->copy(d->device.queue, d->logits.data, logits, (size_t)n_items * row_bytes);
        return STATUS_OK;
    }
    /* The mixture reads (E, n_items, V) without gaps. */
    for (int64_t e = 1; e < E && n_items < S; e++)
        for (int64_t i = 0; i < n_items; i++)
            ops->copy(d->device.queue, logits + (e * n_items + i) * V, logits + (e * S + i) * V,
                      row_bytes);
    Tensor all = tensor_3d(logits, DTYPE_F32, E, n_items, V);
    Tensor out = tensor_slice(&d->logits, 0, n_items);
    float *weights = xmalloc((size_t)(n_items * E) * sizeof *weights);
    Status status = STATUS_OK;
    if (d->ensemble->rule == MERGE_ADAPTER) {
        Tensor flat = tensor_2d(logits, DTYPE_F32, E * n_items, V);
        ops->log_softmax(d->device.queue, &(LogSoftmaxArgs){.x = flat, .y = flat});
        status = decoder_adapter_weights(d, &all, weights, err);
    }
    for (int64_t i = 0; i < n_items && status == STATUS_OK; i++) {
        float *own = d->weights + items[i].sequence * E;
        for (int64_t e = 0; e < E; e++) {
            if (d->ensemble->rule == MERGE_ADAPTER)
                own[e] = weights[i * E + e];
            weights[i * E + e] = own[e];
        }
    }
    if (status == STATUS_OK) {
        decoder_combine(d, &all, weights, &d->mix_weights, &out);
        status = ops->queue_wait(d->device.queue, err);
    }
    free(weights);
    return status;
}

/* What is asked of the rows of a step, item by item; each may be NULL: nothing. */
typedef struct RowWishes {
    const int64_t *first; /* tokens before it are not scored; NULL: all zeros */
    float *const *logprobs;
    const DecodeLook *const *looks;
} RowWishes;

/* Runs rows [begin, begin + count), and answers what is asked of them. */
static Status run_and_follow(Decoder *d, const DecodeItem *items, int64_t n_items, int64_t begin,
                             int64_t count, const RowWishes *wishes, Err *err)
{
    TRY(run_chunk(d, items, n_items, begin, count, wishes->logprobs != NULL, err));
    int64_t row = 0;
    for (int64_t i = 0; i < n_items; row += items[i++].n_tokens)
        follow_item(d, &items[i], row, begin, begin + count, wishes->first ? wishes->first[i] : 0,
                    wishes->logprobs ? wishes->logprobs[i] : NULL);
    return wishes->looks ? decoder_look_rows(d, items, n_items, wishes->looks, begin, count, err)
                         : STATUS_OK;
}

static Status step(Decoder *d, const DecodeItem *items, int64_t n_items, const RowWishes *wishes,
                   Err *err)
{
    float *const *logprobs = wishes->logprobs;
    const int64_t *first = wishes->first;
    CHECK(n_items > 0 && n_items <= d->options.max_sequences, "%lld items", (long long)n_items);
    int64_t total = 0;
    for (int64_t i = 0; i < n_items; i++) {
        CHECK(items[i].n_tokens > 0, "item %lld has no token", (long long)i);
        total += items[i].n_tokens;
    }
    /* The last step's rows have been read by the device. */
    TRY(d->device.ops->queue_wait(d->device.queue, err));
    reserve_rows(d, total);
    TRY(extend_caches(d, items, n_items, err));
    CHECK(fill_rows(d, items, n_items, first) == total, "rows");
    for (int64_t i = 0; i < n_items; i++) {
        bool scored = logprobs && (!first || first[i] == 0);
        TRY(follow_first(d, &items[i], scored ? logprobs[i] : NULL, err));
    }
    for (int64_t begin = 0; begin < total; begin += d->options.chunk) {
        int64_t count = total - begin < d->options.chunk ? total - begin : d->options.chunk;
        TRY(run_and_follow(d, items, n_items, begin, count, wishes, err));
    }
    for (int64_t i = 0; i < n_items; i++) {
        d->lengths[items[i].sequence] += items[i].n_tokens;
        d->shared[items[i].sequence] = false;
    }
    d->n_items = n_items;
    return finish_step(d, items, n_items, err);
}

Status decoder_step(Decoder *d, const DecodeItem *items, int64_t n_items, Err *err)
{
    return step(d, items, n_items, &(RowWishes){0}, err);
}

Status decoder_score(Decoder *d, const DecodeItem *items, int64_t n_items, float *const *logprobs,
                     Err *err)
{
    return step(d, items, n_items, &(RowWishes){.logprobs = logprobs}, err);
}

Status decoder_score_from(Decoder *d, const DecodeItem *items, int64_t n_items,
                          const int64_t *first, float *const *logprobs, Err *err)
{
    return step(d, items, n_items, &(RowWishes){.first = first, .logprobs = logprobs}, err);
}

Status decoder_look(Decoder *d, const DecodeItem *items, int64_t n_items,
                    const DecodeLook *const *looks, Err *err)
{
    return step(d, items, n_items, &(RowWishes){.looks = looks}, err);
}
