#include "core/decode/score.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/* Tokens [begin, end) of a document as one window; those from `scored` on count. */
typedef struct Window {
    int64_t document;
    int64_t begin, scored, end;
} Window;

typedef struct Windows {
    Window *items;
    int64_t count, capacity;
} Windows;

/* A window holds the start token (or one token of context) and `context` - 1 scored ones at most:
 * its last token is only ever a target, but feeding it keeps one code path. */
static void cut_document(Windows *windows, int64_t document, int64_t n, const ScoreOptions *o)
{
    int64_t scored = 0;
    while (scored < n) {
        bool first = scored == 0;
        int64_t fresh = first ? o->context - 1 : o->stride;
        int64_t end = scored + fresh < n ? scored + fresh : n;
        /* The first window begins with the start token, counted as position -1. */
        int64_t begin = end - o->context < -1 ? -1 : end - o->context;
        windows->items = mem_grow(windows->items, &windows->capacity, windows->count + 1,
                                  sizeof *windows->items);
        windows->items[windows->count++] = (Window){document, begin, scored, end};
        scored = end;
    }
}

typedef struct Batch {
    DecodeItem *items;
    int32_t *tokens; /* (max_sequences, context) */
    float *logprobs; /* (max_sequences, context) */
    float **rows;
} Batch;

static Status score_batch(Decoder *decoder, const ScoreOptions *o, ScoreDocument *documents,
                          const Window *windows, int64_t n, Batch *batch, Err *err)
{
    for (int64_t i = 0; i < n; i++) {
        const Window *w = &windows[i];
        int32_t *tokens = batch->tokens + i * o->context;
        for (int64_t p = w->begin; p < w->end; p++)
            tokens[p - w->begin] = p < 0 ? o->start : documents[w->document].tokens[p];
        decoder_reset(decoder, batch->items[i].sequence);
        batch->items[i].tokens = tokens;
        batch->items[i].n_tokens = w->end - w->begin;
        batch->rows[i] = batch->logprobs + i * o->context;
    }
    TRY(decoder_score(decoder, batch->items, n, batch->rows, err));
    for (int64_t i = 0; i < n; i++) {
        const Window *w = &windows[i];
        for (int64_t p = w->scored; p < w->end; p++) {
            double logprob = (double)batch->rows[i][p - w->begin];
            documents[w->document].logprob += logprob;
            if (o->token)
                o->token(o->token_context, w->document, p, p - w->begin, logprob);
        }
    }
    return STATUS_OK;
}

Status score_documents(Decoder *decoder, int64_t max_sequences, const ScoreOptions *options,
                       ScoreDocument *documents, int64_t n_documents, ScoreProgress *progress,
                       void *progress_context, Err *err)
{
    CHECK(options->context >= 2 && options->stride >= 1 && options->stride < options->context,
          "context %lld, stride %lld", (long long)options->context, (long long)options->stride);
    Windows windows = {0};
    for (int64_t d = 0; d < n_documents; d++) {
        documents[d].logprob = 0.0;
        cut_document(&windows, d, documents[d].n_tokens, options);
    }
    size_t cells = (size_t)(max_sequences * options->context);
    Batch batch = {.items = xcalloc((size_t)max_sequences, sizeof *batch.items),
                   .tokens = xcalloc(cells, sizeof *batch.tokens),
                   .logprobs = xcalloc(cells, sizeof *batch.logprobs),
                   .rows = xcalloc((size_t)max_sequences, sizeof *batch.rows)};
    for (int64_t i = 0; i < max_sequences; i++)
        batch.items[i].sequence = decoder_open(decoder);
    Status status = STATUS_OK;
    for (int64_t at = 0; at < windows.count && status == STATUS_OK; at += max_sequences) {
        int64_t n = windows.count - at < max_sequences ? windows.count - at : max_sequences;
        status = score_batch(decoder, options, documents, windows.items + at, n, &batch, err);
        int64_t scored = 0;
        for (int64_t i = 0; i < n; i++)
            scored += windows.items[at + i].end - windows.items[at + i].scored;
        if (progress)
            progress(progress_context, scored);
        if (status == STATUS_OK && stop_requested())
            status = STATUS_STOPPED;
    }
    for (int64_t i = 0; i < max_sequences; i++)
        decoder_close(decoder, batch.items[i].sequence);
    free(batch.items);
    free(batch.tokens);
    free(batch.logprobs);
    free(batch.rows);
    free(windows.items);
    return status;
}
