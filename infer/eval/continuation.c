#include "infer/eval/continuation.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "infer/eval/twins.h"

enum {
    PAGE_SIZE = 16,      /* what a question's texts do not share is shorter than a page: */
    SHORT_PAGE = 2,      /* much of a short context, where attention takes little time anyway, */
    SHORT_CONTEXT = 128, /* which is one of so many tokens on the average */
    PROMPTS = 32,        /* of a batch, at most */
    TEXTS = 64,          /* sequences of single texts at a time */
    BATCH_ROWS = 1024,   /* new tokens of a batch, at most, unless one prompt alone has more */
};

struct Scorer {
    const Ensemble *ensemble;
    ScorerOptions options;
    Decoder *decoder;  /* NULL before the first run */
    int64_t page_size; /* of the decoder that these prompts want */
    int64_t max_positions, kv_positions;
    Tensor best_values, best_ids; /* (PROMPTS, 1) on the device */
    /* The prompts of this run and what their contexts begin with. */
    Prompt *prompts;
    int64_t n;
    int64_t *twins;              /* (n) */
    int64_t trunk, trunk_length; /* sequence (-1: none) and its tokens */
    const int32_t *trunk_tokens;
};

/* A prompt in a batch: the sequence that its texts share the context of. */
typedef struct Seat {
    Prompt *prompt;
    int64_t sequence; /* its own, or -1: then it has what the trunk has */
    int64_t length;   /* tokens of the context that a text may share */
    bool row;         /* all is read from the row of the context's last token */
} Seat;

Scorer *scorer_new(const Ensemble *ensemble, const ScorerOptions *options)
{
    Scorer *s = xcalloc(1, sizeof *s);
    s->ensemble = ensemble;
    s->options = *options;
    return s;
}

static void close_decoder(Scorer *s)
{
    if (!s->decoder)
        return;
    Device device = decoder_device(s->decoder);
    if (s->best_values.data)
        device.ops->free(s->best_values.data);
    if (s->best_ids.data)
        device.ops->free(s->best_ids.data);
    s->best_values.data = s->best_ids.data = NULL;
    decoder_free(s->decoder);
    s->decoder = NULL;
}

void scorer_free(Scorer *s)
{
    if (!s)
        return;
    close_decoder(s);
    free(s);
}

/* ---- batches --------------------------------------------------------------------------------- */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Tokens behind the context. */
static int64_t longest_text(const Prompt *prompt)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < prompt->n_texts; i++)
        longest = larger(longest, prompt->texts[i].count);
    return larger(longest, prompt->generate);
}

/* How many tokens of its context a prompt has in common with the trunk. */
static int64_t common(const Scorer *s, const IdList *context)
{
    int64_t n = 0, most = smaller(s->trunk_length, context->count);
    while (n < most && context->items[n] == s->trunk_tokens[n])
        n++;
    return n;
}

/* What the contexts begin with; contexts that lost their beginning do not count. */
static void choose_trunk(Scorer *s)
{
    s->trunk = -1;
    s->trunk_tokens = NULL;
    s->trunk_length = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const IdList *context = &s->prompts[i].context;
        if (s->prompts[i].cut)
            continue;
        if (s->trunk_tokens)
            s->trunk_length = common(s, context);
        else
            s->trunk_length = context->count;
        if (!s->trunk_tokens)
            s->trunk_tokens = context->items;
    }
}

/* The batch that begins with prompt `first`: how many prompts it has. */
static int64_t batch_count(const Scorer *s, int64_t first)
{
    int64_t rows = 0, count = 0;
    while (first + count < s->n && count < PROMPTS) {
        const IdList *context = &s->prompts[first + count].context;
        rows += context->count - common(s, context);
        if (count > 0 && rows > BATCH_ROWS)
            break;
        count++;
    }
    return count;
}

/* Positions that a sequence of so many takes, in whole pages on every rank. */
static int64_t pages(const Scorer *s, int64_t positions)
{
    int64_t unit = s->page_size * larger(s->options.ranks, 1);
    return (positions + unit - 1) / unit * unit + unit;
}

static int64_t positions_needed(const Scorer *s)
{
    int64_t most = 0;
    for (int64_t first = 0, count; first < s->n; first += count) {
        int64_t own = 0, texts = 0;
        count = batch_count(s, first);
        for (int64_t i = first; i < first + count; i++) {
            const Prompt *prompt = &s->prompts[i];
            int64_t longest = longest_text(prompt);
            own += pages(s, prompt->context.count - common(s, &prompt->context) + longest);
            texts = larger(texts, pages(s, pages(s, 0) + longest));
        }
        most = larger(most, own + TEXTS * texts);
    }
    return most + pages(s, s->trunk_length);
}

/* Follows from all prompts alone, so that a run that goes on has the same. */
static int64_t wanted_page_size(const Scorer *s)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < s->n; i++)
        tokens += s->prompts[i].context.count;
    if (s->options.page_size)
        return s->options.page_size;
    return tokens > s->n * SHORT_CONTEXT ? PAGE_SIZE : SHORT_PAGE;
}

/* A decoder with room for these prompts: the present one where it has. */
static Status prepare_decoder(Scorer *s, Err *err)
{
    int64_t page_size = wanted_page_size(s);
    if (page_size != s->page_size)
        close_decoder(s);
    s->page_size = page_size;
    int64_t max_positions = 1, kv_positions = positions_needed(s);
    for (int64_t i = 0; i < s->n; i++)
        max_positions =
            larger(max_positions, s->prompts[i].context.count + longest_text(&s->prompts[i]));
    if (s->decoder && max_positions <= s->max_positions && kv_positions <= s->kv_positions)
        return STATUS_OK;
    close_decoder(s);
    s->max_positions = larger(max_positions, s->max_positions);
    s->kv_positions = larger(kv_positions, s->kv_positions);
    DecoderOptions options = {.max_sequences = 1 + PROMPTS + TEXTS,
                              .max_positions = s->max_positions,
                              .kv_positions = s->kv_positions,
                              .page_size = s->page_size,
                              .chunk = BATCH_ROWS,
                              .kv_dtype = s->options.kv_dtype,
                              .budget = s->options.budget,
                              .source = s->options.source};
    TRY(decoder_new(&s->decoder, s->ensemble, &options, err));
    Device device = decoder_device(s->decoder);
    s->best_values = tensor_2d(NULL, DTYPE_F32, PROMPTS, 1);
    s->best_ids = tensor_2d(NULL, DTYPE_I32, PROMPTS, 1);
    TRY(device_tensor(&device, &s->best_values, "the best tokens", err));
    return device_tensor(&device, &s->best_ids, "the best tokens", err);
}

static Status start_trunk(Scorer *s, Err *err)
{
    if (s->n < 2 || s->trunk_length <= decoder_page_size(s->decoder))
        return STATUS_OK;
    s->trunk = decoder_open(s->decoder);
    DecodeItem item = {
        .sequence = s->trunk, .tokens = s->trunk_tokens, .n_tokens = s->trunk_length};
    return decoder_step(s->decoder, &item, 1, err);
}

/* ---- rows of logits -------------------------------------------------------------------------- */

/* Texts whose tokens are read from rows, and not on sequences of their own. */
static int64_t texts_in_row(const Prompt *prompt)
{
    return prompt->generate ? 0 : prompt->n_texts;
}

/* Lets the prompts that have a say of their own pick from their rows (n, V). */
static Status pick_tokens(const Device *device, Prompt *const *prompts, const Tensor *logprobs,
                          int32_t *picked, Err *err)
{
    int64_t n = tensor_rows(logprobs), V = tensor_cols(logprobs);
    float *row = NULL;
    Status status = STATUS_OK;
    for (int64_t i = 0; i < n && status == STATUS_OK; i++) {
        if (!prompts[i]->pick)
            continue;
        Tensor one = tensor_slice(logprobs, i, 1);
        row = row ? row : xmalloc((size_t)V * sizeof *row);
        status = device_download(device, &one, row, err);
        if (status == STATUS_OK)
            picked[i] = prompts[i]->pick(prompts[i]->pick_context, row, V);
    }
    free(row);
    return status;
}

/* Of row i of the last step, prompt i's: adds the log-probability of token `token` of every text
 * and says whether it is the best one where the prompt asks; or writes the best or the picked one.
 */
static Status read_rows(Scorer *s, Prompt *const *prompts, int64_t n, int64_t token, Err *err)
{
    Device device = decoder_device(s->decoder);
    Tensor all = decoder_logits(s->decoder), logits = tensor_slice(&all, 0, n);
    int64_t V = tensor_cols(&logits), count = 0;
    device.ops->log_softmax(device.queue, &(LogSoftmaxArgs){.x = logits, .y = logits});
    for (int64_t i = 0; i < n; i++)
        count += texts_in_row(prompts[i]);
    float *values = xcalloc((size_t)count + 1, sizeof *values);
    int32_t best[PROMPTS] = {0};
    bool greedy = false;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        greedy |= prompts[i]->greedy || prompts[i]->generate;
        for (int64_t t = 0; t < texts_in_row(prompts[i]); t++)
            device.ops->download(device.queue, &values[at++],
                                 (const float *)logits.data + i * V +
                                     prompts[i]->texts[t].items[token],
                                 sizeof *values);
    }
    Status status = STATUS_OK;
    if (greedy) {
        Tensor ids = tensor_slice(&s->best_ids, 0, n);
        device.ops->top_k(
            device.queue,
            &(TopKArgs){.x = logits, .values = tensor_slice(&s->best_values, 0, n), .ids = ids});
        status = device_download(&device, &ids, best, err);
    } else {
        status = device.ops->queue_wait(device.queue, err);
    }
    if (status == STATUS_OK)
        status = pick_tokens(&device, prompts, &logits, best, err);
    at = 0;
    for (int64_t i = 0; i < n && status == STATUS_OK; i++) {
        if (prompts[i]->generate)
            id_list_add(&prompts[i]->written, best[i]);
        else if (prompts[i]->greedy)
            prompts[i]->is_greedy &= best[i] == prompts[i]->texts[0].items[token];
        for (int64_t t = 0; t < texts_in_row(prompts[i]); t++)
            prompts[i]->logprobs[t] += (double)values[at++];
    }
    free(values);
    return status;
}

/* The token before the one of number `token`, if the prompt has one there: of the text that is
 * followed, or of what is being written. */
static const int32_t *next_token(const Scorer *s, const Prompt *prompt, int64_t token)
{
    const IdList *written = &prompt->written;
    if (prompt->greedy && token < prompt->texts[0].count)
        return &prompt->texts[0].items[token - 1];
    if (token >= prompt->generate || written->count < token)
        return NULL;
    const int32_t *last = &written->items[token - 1];
    return s->options.ends && s->options.ends[*last] ? NULL : last;
}

/* What is decoded row by row after the first token. */
static Status follow_rows(Scorer *s, const Seat *seats, int64_t n, Err *err)
{
    for (int64_t token = 1;; token++) {
        DecodeItem items[PROMPTS];
        Prompt *prompts[PROMPTS];
        int64_t busy = 0;
        for (int64_t i = 0; i < n; i++) {
            const int32_t *next = next_token(s, seats[i].prompt, token);
            if (!next)
                continue;
            items[busy] =
                (DecodeItem){.sequence = seats[i].sequence, .tokens = next, .n_tokens = 1};
            prompts[busy++] = seats[i].prompt;
        }
        if (busy == 0)
            return STATUS_OK;
        TRY(decoder_step(s->decoder, items, busy, err));
        TRY(read_rows(s, prompts, busy, token, err));
    }
}

/* ---- contexts, then texts -------------------------------------------------------------------- */

/* A new sequence that has what it can of another's first `length` tokens; how many. */
static int64_t open_shared(Scorer *s, int64_t *sequence, int64_t from, int64_t length)
{
    *sequence = decoder_open(s->decoder);
    CHECK(*sequence >= 0, "no sequence is free");
    return from >= 0 ? decoder_share(s->decoder, *sequence, from, length) : 0;
}

/* Brings the contexts of a batch into the cache: wholly where the texts are read from their last
 * row, else as far as texts can share them. */
static Status step_contexts(Scorer *s, Seat *seats, int64_t n, Err *err)
{
    DecodeItem items[PROMPTS];
    Prompt *rows[PROMPTS];
    int64_t unit = decoder_page_size(s->decoder), n_items = 0, n_rows = 0;
    /* Rows that are read come first. */
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n; i++) {
            Seat *seat = &seats[i];
            const IdList *context = &seat->prompt->context;
            if (seat->row != (pass == 0))
                continue;
            int64_t same = s->trunk >= 0 ? common(s, context) : 0;
            int64_t shared = (context->count - 1) / unit * unit;
            seat->sequence = -1;
            seat->length = same;
            if (!seat->row && (shared == 0 || shared < same))
                continue; /* nothing of its own to share */
            int64_t have = open_shared(s, &seat->sequence, s->trunk, same);
            /* One token more than the pages hold: the merge weights know it then. */
            seat->length = seat->row ? context->count : shared + 1;
            items[n_items++] = (DecodeItem){.sequence = seat->sequence,
                                            .tokens = context->items + have,
                                            .n_tokens = seat->length - have};
            if (seat->row)
                rows[n_rows++] = seat->prompt;
        }
    if (n_items == 0)
        return STATUS_OK;
    TRY(decoder_step(s->decoder, items, n_items, err));
    return n_rows > 0 ? read_rows(s, rows, n_rows, 0, err) : STATUS_OK;
}

typedef struct TextItem {
    const Seat *seat;
    int64_t text;
    IdList tokens; /* what is left of the context, then the text */
    float *logprobs;
} TextItem;

/* Texts of several tokens, each on a sequence of its own. */
static Status step_texts(Scorer *s, TextItem *texts, int64_t n, Err *err)
{
    DecodeItem items[TEXTS] = {{0}};
    float *logprobs[TEXTS] = {NULL};
    int64_t first[TEXTS] = {0};
    for (int64_t i = 0; i < n; i++) {
        TextItem *item = &texts[i];
        const Prompt *prompt = item->seat->prompt;
        const IdList *context = &prompt->context, *text = &prompt->texts[item->text];
        int64_t from = item->seat->sequence >= 0 ? item->seat->sequence : s->trunk;
        int64_t sequence, have = open_shared(s, &sequence, from, item->seat->length);
        for (int64_t t = have; t < context->count; t++)
            id_list_add(&item->tokens, context->items[t]);
        for (int64_t t = 0; t < text->count; t++)
            id_list_add(&item->tokens, text->items[t]);
        item->logprobs = xcalloc((size_t)item->tokens.count, sizeof *item->logprobs);
        items[i] = (DecodeItem){
            .sequence = sequence, .tokens = item->tokens.items, .n_tokens = item->tokens.count};
        first[i] = context->count - have;
        logprobs[i] = item->logprobs;
    }
    Status status = decoder_score_from(s->decoder, items, n, first, logprobs, err);
    for (int64_t i = 0; i < n; i++) {
        TextItem *item = &texts[i];
        Prompt *prompt = item->seat->prompt;
        for (int64_t t = first[i]; t < item->tokens.count; t++)
            prompt->logprobs[item->text] += (double)item->logprobs[t];
        decoder_close(s->decoder, items[i].sequence);
        id_list_clear(&item->tokens);
        free(item->logprobs);
    }
    return status;
}

static bool reads_one_row(const Prompt *prompt)
{
    bool single = true;
    for (int64_t i = 0; i < prompt->n_texts; i++)
        single &= prompt->texts[i].count == 1;
    return single || prompt->greedy || prompt->generate;
}

/* Texts that are scored on sequences of their own. */
static int64_t texts_apart(const Seat *seat)
{
    return seat->row ? seat->prompt->n_texts - texts_in_row(seat->prompt) : seat->prompt->n_texts;
}

/* The prompts of a batch that no earlier one is the same as: how many. */
static int64_t take_seats(const Scorer *s, int64_t first, int64_t count, Seat *seats)
{
    int64_t n = 0;
    for (int64_t i = first; i < first + count; i++) {
        Prompt *prompt = &s->prompts[i];
        if (s->twins[i] != i)
            continue;
        seats[n++] = (Seat){.prompt = prompt, .sequence = -1, .row = reads_one_row(prompt)};
        prompt->is_greedy = prompt->greedy;
        prompt->written.count = 0;
        for (int64_t t = 0; t < prompt->n_texts; t++)
            prompt->logprobs[t] = 0.0;
    }
    return n;
}

/* What is the same as something before it has the same scores. */
static void copy_twins(const Scorer *s, int64_t first, int64_t count)
{
    for (int64_t i = first; i < first + count; i++) {
        Prompt *prompt = &s->prompts[i];
        const Prompt *twin = &s->prompts[s->twins[i]];
        for (int64_t t = 0; t < prompt->n_texts; t++)
            prompt->logprobs[t] = twin->logprobs[text_twin(twin, t)];
        prompt->is_greedy = twin->is_greedy;
    }
}

static Status score_batch(Scorer *s, int64_t first, int64_t n_prompts, Err *err)
{
    Seat seats[PROMPTS];
    int64_t count = take_seats(s, first, n_prompts, seats);
    TRY(step_contexts(s, seats, count, err));
    TRY(follow_rows(s, seats, count, err));
    TextItem texts[TEXTS];
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t t = 0; t < texts_apart(&seats[i]); t++) {
            if (text_twin(seats[i].prompt, t) != t)
                continue;
            texts[n++] = (TextItem){.seat = &seats[i], .text = t};
            if (n == TEXTS) {
                TRY(step_texts(s, texts, n, err));
                n = 0;
            }
        }
    if (n > 0)
        TRY(step_texts(s, texts, n, err));
    for (int64_t i = 0; i < count; i++)
        if (seats[i].sequence >= 0)
            decoder_close(s->decoder, seats[i].sequence);
    return STATUS_OK;
}

/* Where the batch begins that holds prompt `from`. */
static int64_t batch_with(const Scorer *s, int64_t from)
{
    int64_t first = 0;
    while (first < s->n && first + batch_count(s, first) <= from)
        first += batch_count(s, first);
    return first;
}

/* Whether a batch has what a prompt from `begin` on is the same as. */
static bool has_twins_behind(const Scorer *s, int64_t first, int64_t count, int64_t begin)
{
    for (int64_t i = begin; i < s->n; i++)
        if (s->twins[i] >= first && s->twins[i] < first + count)
            return true;
    return false;
}

Status scorer_run(Scorer *s, Prompt *prompts, int64_t n, int64_t from, ScorerBatch *done,
                  void *context, Err *err)
{
    s->prompts = prompts;
    s->n = n;
    s->twins = prompt_twins(prompts, n);
    choose_trunk(s);
    Status status = prepare_decoder(s, err);
    if (status == STATUS_OK)
        status = start_trunk(s, err);
    int64_t begin = batch_with(s, from);
    for (int64_t first = 0, count; first < n && status == STATUS_OK; first += count) {
        count = batch_count(s, first);
        bool past = first < begin;
        if (past && !has_twins_behind(s, first, count, begin))
            continue;
        status = score_batch(s, first, count, err);
        if (status == STATUS_OK && !past)
            copy_twins(s, first, count);
        if (status == STATUS_OK && !past)
            status = done ? done(context, first, count, err) : STATUS_OK;
        if (status == STATUS_OK && stop_requested())
            status = STATUS_STOPPED;
    }
    free(s->twins);
    s->twins = NULL;
    /* After a failure sequences may be open: the next run makes a new decoder. */
    if (status == STATUS_OK && s->trunk >= 0)
        decoder_close(s->decoder, s->trunk);
    else if (status != STATUS_OK)
        close_decoder(s);
    return status;
}
