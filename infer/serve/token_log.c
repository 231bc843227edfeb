#include "infer/serve/token_log.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

void token_log_clear(TokenLog *log)
{
    free(log->records);
    free(log->tops);
    free(log->floats);
    strbuf_clear(&log->text);
    *log = (TokenLog){0};
}

void token_log_reset(TokenLog *log)
{
    log->count = log->n_tops = log->n_floats = 0;
    strbuf_reset(&log->text);
}

int64_t token_log_bytes(const TokenLog *log)
{
    return log->count * (int64_t)sizeof *log->records + log->text.size +
           log->n_tops * (int64_t)sizeof *log->tops + log->n_floats * (int64_t)sizeof *log->floats;
}

static Record *add(TokenLog *log, RecordKind kind, int64_t job, const char *text, int64_t bytes)
{
    log->records = mem_grow(log->records, &log->capacity, log->count + 1, sizeof *log->records);
    Record *record = &log->records[log->count++];
    *record = (Record){.kind = kind, .job = job, .text = log->text.size, .bytes = bytes};
    if (bytes > 0)
        strbuf_append(&log->text, text, (size_t)bytes);
    return record;
}

static void add_floats(TokenLog *log, Record *record, const float *values, int64_t n)
{
    record->floats = log->n_floats;
    record->n_floats = n;
    log->floats =
        mem_grow(log->floats, &log->floats_capacity, log->n_floats + n, sizeof *log->floats);
    memcpy(log->floats + log->n_floats, values, (size_t)n * sizeof *values);
    log->n_floats += n;
}

static void add_tops(TokenLog *log, Record *record, const TopToken *top, int64_t n)
{
    record->top = log->n_tops;
    if (n == 0)
        return;
    log->tops = mem_grow(log->tops, &log->tops_capacity, log->n_tops + n, sizeof *log->tops);
    memcpy(log->tops + log->n_tops, top, (size_t)n * sizeof *top);
    log->n_tops += n;
}

void token_log_scores(TokenLog *log, int64_t job, const PromptScores *scores)
{
    Record *record = add(log, RECORD_SCORES, job, NULL, 0);
    add_floats(log, record, scores->logprobs, scores->n);
    record->n_top = scores->n_top;
    add_tops(log, record, scores->top, scores->n * scores->n_top);
}

void token_log_token(TokenLog *log, int64_t job, const JobToken *token, int64_t n_experts)
{
    Record *record = add(log, RECORD_TOKEN, job, token->text, token->bytes);
    record->id = token->id;
    record->logprob = token->logprob;
    record->characters = token->characters;
    record->ends = token->ends;
    record->n_top = token->n_top;
    add_tops(log, record, token->top, token->n_top);
    if (n_experts > 1)
        add_floats(log, record, token->weights, n_experts);
}

void token_log_end(TokenLog *log, int64_t job, JobEnd end, const char *text, int64_t bytes)
{
    add(log, RECORD_END, job, text, bytes)->end = end;
}
