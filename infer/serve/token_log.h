/* What jobs reported, in order: written by the scheduler's thread, read by those that answer. Plain
 * arrays that are reused; whoever holds it holds its lock. */
#ifndef CAMBIUM_INFER_SERVE_TOKEN_LOG_H
#define CAMBIUM_INFER_SERVE_TOKEN_LOG_H

#include "infer/serve/job.h"

typedef enum RecordKind { RECORD_SCORES, RECORD_TOKEN, RECORD_END } RecordKind;

typedef struct Record {
    RecordKind kind;
    int64_t job;
    int32_t id;
    float logprob;
    int64_t text, bytes;      /* in log->text: characters released, or the reason of JOB_FAILED */
    int64_t characters;       /* as of a JobToken */
    bool ends;                /* the same */
    int64_t top, n_top;       /* in log->tops; scores: (n_floats, n_top) of them */
    int64_t floats, n_floats; /* in log->floats: scores, or expert weights */
    JobEnd end;
} Record;

typedef struct TokenLog {
    Record *records;
    int64_t count, capacity;
    StrBuf text;
    TopToken *tops;
    int64_t n_tops, tops_capacity;
    float *floats;
    int64_t n_floats, floats_capacity;
} TokenLog;

void token_log_clear(TokenLog *log);
void token_log_reset(TokenLog *log); /* empties it and keeps its memory */
int64_t token_log_bytes(const TokenLog *log);

void token_log_scores(TokenLog *log, int64_t job, const PromptScores *scores);
void token_log_token(TokenLog *log, int64_t job, const JobToken *token, int64_t n_experts);
void token_log_end(TokenLog *log, int64_t job, JobEnd end, const char *text, int64_t bytes);

#endif
