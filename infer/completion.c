#include "infer/completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "infer/kv_snapshot.h"

void completion_clear(Completion *c)
{
    strbuf_clear(&c->text);
    id_list_clear(&c->ids);
    free(c->logprobs);
    free(c->weights);
    *c = (Completion){0};
}

void completion_print(void *context, int64_t index, const char *text, int64_t bytes)
{
    (void)context, (void)index;
    fwrite(text, 1, (size_t)bytes, stdout);
    fflush(stdout);
}

const char *finish_name(Finish finish)
{
    return finish == FINISH_LENGTH ? "length" : finish == FINISH_END ? "end" : "stop";
}

typedef struct Channel {
    Completion *completion;
    TokenText text;
} Channel;

typedef struct Run {
    const CompletionOptions *options;
    Channel *channels;
    int64_t n_experts;
    StrBuf fresh; /* scratch */
} Run;

static void deliver(Run *run, int64_t index)
{
    Completion *c = run->channels[index].completion;
    if (!run->fresh.size)
        return;
    strbuf_append(&c->text, run->fresh.data, (size_t)run->fresh.size);
    if (run->options->write)
        run->options->write(run->options->write_context, index, run->fresh.data, run->fresh.size);
}

static void keep_token(Run *run, Completion *c, int32_t id, float logprob, const float *weights)
{
    int64_t n = c->ids.count, E = run->n_experts;
    if (n >= c->capacity) {
        c->capacity = c->capacity ? 2 * c->capacity : 64;
        c->logprobs = xrealloc(c->logprobs, (size_t)c->capacity * sizeof *c->logprobs);
        if (E > 1)
            c->weights = xrealloc(c->weights, (size_t)(c->capacity * E) * sizeof *c->weights);
    }
    id_list_add(&c->ids, id);
    c->logprobs[n] = logprob;
    if (E > 1)
        memcpy(c->weights + n * E, weights, (size_t)E * sizeof *weights);
}

static bool on_token(void *context, int64_t index, int32_t id, float logprob, const float *weights)
{
    Run *run = context;
    Channel *channel = &run->channels[index];
    keep_token(run, channel->completion, id, logprob, weights);
    strbuf_reset(&run->fresh);
    bool stopped = token_text_feed(&channel->text, id, &run->fresh);
    deliver(run, index);
    if (stopped)
        channel->completion->finish = FINISH_STOP;
    return !stopped;
}

static void finish_channel(Run *run, int64_t index, const Generation *g)
{
    Channel *channel = &run->channels[index];
    Completion *c = channel->completion;
    if (c->finish != FINISH_STOP) {
        c->finish = g->ended ? FINISH_END : FINISH_LENGTH;
        strbuf_reset(&run->fresh);
        token_text_flush(&channel->text, &run->fresh);
        deliver(run, index);
    }
    token_text_clear(&channel->text);
}

/* ---- with a KV snapshot ---------------------------------------------------------------------- */

typedef struct Snapshots {
    const CompletionKv *kv;
    KvSource source;
    KvSnapshot *loaded; /* or NULL */
} Snapshots;

static Status save_snapshot(const Snapshots *s, Decoder *decoder, const Generation *g,
                            const IdList *output, Err *err)
{
    IdList text = {0};
    for (int64_t i = 0; i < g->n_prompt; i++)
        id_list_add(&text, g->prompt[i]);
    for (int64_t i = 0; output && i < output->count; i++)
        id_list_add(&text, output->items[i]);
    Status status = kv_snapshot_save(s->kv->save, &s->source, decoder, g->sequence, &text, err);
    id_list_clear(&text);
    return status;
}

/* Generates from what was loaded, and saves what was asked for. The last token of the prompt is
 * stepped on its own whether or not there was a snapshot, so that both give the same text. */
static Status generate_with(const Snapshots *s, Decoder *decoder, const Sampling *sampling,
                            Generation *g, Run *run, Err *err)
{
    g->is_open = true;
    g->sequence = decoder_open(decoder);
    if (s->loaded)
        TRY(kv_snapshot_restore(s->loaded, decoder, g->sequence, err));
    int64_t done = decoder_length(decoder, g->sequence), left = g->n_prompt - 1 - done;
    DecodeItem item = {g->sequence, g->prompt + done, left};
    if (left > 0)
        TRY(decoder_step(decoder, &item, 1, err));
    if (s->kv->save && !s->kv->at_end)
        TRY(save_snapshot(s, decoder, g, NULL, err));
    Status status = generate(decoder, 1, sampling, g, 1, on_token, run, err);
    if (status == STATUS_FAIL || !s->kv->save || !s->kv->at_end)
        return status;
    Status saved = save_snapshot(s, decoder, g, &g->output, err);
    return saved == STATUS_OK ? status : saved;
}

static Status run_all(const Ensemble *ensemble, const CompletionOptions *o, Run *run,
                      Generation *generations, int64_t n, const Snapshots *snapshots, Err *err)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t room = o->max_positions - generations[i].n_prompt;
        if (o->max_positions && room < 1)
            return err_set(err, "a prompt of %lld tokens leaves no room in a context of %lld",
                           (long long)generations[i].n_prompt, (long long)o->max_positions);
        if (o->max_positions && room < generations[i].max_tokens)
            generations[i].max_tokens = room;
        if (generations[i].n_prompt + generations[i].max_tokens > longest)
            longest = generations[i].n_prompt + generations[i].max_tokens;
    }
    DecoderOptions decoder_options = {
        .max_sequences = n < o->max_sequences ? n : o->max_sequences,
        .max_positions = o->max_positions ? o->max_positions : longest,
        .kv_dtype = o->kv_dtype,
        .budget = o->budget,
        .source = o->source,
    };
    int64_t context = ensemble_context(ensemble);
    if (longest > context)
        log_warn("up to %lld tokens, but the model was trained on %lld: what follows may be poor "
                 "(--rope-scaling stretches a context)",
                 (long long)longest, (long long)context);
    Decoder *decoder;
    TRY(decoder_new(&decoder, ensemble, &decoder_options, err));
    Status status = snapshots
                        ? generate_with(snapshots, decoder, &o->sampling, generations, run, err)
                        : generate(decoder, decoder_options.max_sequences, &o->sampling,
                                   generations, n, on_token, run, err);
    decoder_free(decoder);
    return status;
}

/* What the prompt goes on from. */
static Status load_snapshot(Snapshots *s, IdList *prompt, Err *err)
{
    int64_t n;
    if (!s->kv->load)
        return STATUS_OK;
    TRY(kv_snapshot_open(&s->loaded, s->kv->load, &s->source, err));
    const int32_t *tokens = kv_snapshot_tokens(s->loaded, &n);
    for (int64_t i = 0; i < n; i++)
        id_list_add(prompt, tokens[i]);
    return STATUS_OK;
}

/* The prompt's ids behind those of a snapshot. Returns whether the answer begins a text. */
static bool encode(const Tokenizer *tokenizer, const Completion *c, const CompletionOptions *o,
                   IdList *out)
{
    if (c->prompt_ids) {
        for (int64_t i = 0; i < c->prompt_ids->count; i++)
            id_list_add(out, c->prompt_ids->items[i]);
        return true;
    }
    int64_t bytes = (int64_t)strlen(c->prompt);
    bool begins = out->count == 0 && bytes == 0;
    if (out->count == 0)
        tokenizer_encode_prompt(tokenizer, c->prompt, bytes, o->specials, out);
    else if (o->specials)
        tokenizer_encode_with_specials(tokenizer, c->prompt, bytes, out);
    else
        tokenizer_encode(tokenizer, c->prompt, bytes, out);
    return begins;
}

/* Which tokens end the text: what the model's files say, and bos, which begins another, or the end
 * of the chat template's turns. */
static void name_ends(const Completion *c, const Tokenizer *tokenizer, IdList *out)
{
    int32_t more = c->prompt_ids ? c->turn_end : tokenizer_spec(tokenizer)->bos;
    tokenizer_ends(tokenizer, out);
    if (more >= 0 && !id_list_has(out, more))
        id_list_add(out, more);
}

Status complete(const Ensemble *ensemble, const Tokenizer *tokenizer, const CompletionOptions *o,
                Completion *completions, int64_t n, CompletionRates *rates, Err *err)
{
    Generation *generations = xcalloc((size_t)n, sizeof *generations);
    IdList *prompts = xcalloc((size_t)n, sizeof *prompts);
    IdList *ends = xcalloc((size_t)n, sizeof *ends);
    Run run = {.options = o,
               .channels = xcalloc((size_t)n, sizeof *run.channels),
               .n_experts = ensemble->n_experts};
    Snapshots snapshots = {.kv = o->kv};
    Status status = STATUS_OK;
    if (o->kv) {
        CHECK(n == 1, "a snapshot of %lld sequences", (long long)n);
        snapshots.source = (KvSource){o->kv->model, ensemble, o->kv_dtype};
        status = load_snapshot(&snapshots, &prompts[0], err);
    }
    for (int64_t i = 0; i < n; i++) {
        bool begins = encode(tokenizer, &completions[i], o, &prompts[i]);
        if (prompts[i].count == 0 && status == STATUS_OK)
            status = err_set(err, "an empty prompt, and the tokenizer has no token to begin with");
        if (!o->ignore_end)
            name_ends(&completions[i], tokenizer, &ends[i]);
        generations[i] = (Generation){.prompt = prompts[i].items,
                                      .n_prompt = prompts[i].count,
                                      .max_tokens = o->max_tokens,
                                      .ends = &ends[i]};
        completions[i].n_prompt = prompts[i].count;
        run.channels[i].completion = &completions[i];
        token_text_init(&run.channels[i].text, tokenizer, false, begins, o->stops);
    }
    double started = clock_seconds();
    if (status == STATUS_OK)
        status = run_all(ensemble, o, &run, generations, n, o->kv ? &snapshots : NULL, err);
    kv_snapshot_close(snapshots.loaded);
    if (rates)
        *rates = (CompletionRates){.seconds = clock_seconds() - started};
    for (int64_t i = 0; i < n; i++) {
        finish_channel(&run, i, &generations[i]);
        if (rates) {
            rates->prompt_tokens += completions[i].n_prompt;
            rates->new_tokens += completions[i].ids.count;
        }
        id_list_clear(&generations[i].output);
        id_list_clear(&prompts[i]);
        id_list_clear(&ends[i]);
    }
    strbuf_clear(&run.fresh);
    free(run.channels);
    free(generations);
    free(prompts);
    free(ends);
    return status;
}
