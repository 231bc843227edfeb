/* The scheduler: one thread that alone owns the decoder. Jobs join and leave between steps
 * (continuous batching); prompts are read in pieces, so that texts under way keep flowing; a job
 * whose client is gone leaves its KV at once. What a job writes does not depend on its neighbours.
 *
 * When the KV cache is full, sequences that ended leave it first (oldest first); then the youngest
 * job is put back into the queue and reads its text again later. All functions are thread-safe. */
#ifndef CAMBIUM_INFER_SERVE_SCHEDULER_H
#define CAMBIUM_INFER_SERVE_SCHEDULER_H

#include "core/decode/budget.h"
#include "core/decode/decoder.h"
#include "infer/serve/metrics.h"

typedef struct SchedulerOptions {
    int64_t batch;        /* jobs decoded together */
    int64_t parked;       /* sequences kept after their end, for prompts that begin alike */
    int64_t queue;        /* jobs that may wait */
    int64_t context;      /* positions of one job: prompt and text */
    int64_t kv_positions; /* of all; at least `context` */
    int64_t page_size;    /* 0: the decoder's own */
    int64_t prefill;      /* prompt tokens per step */
    DType kv_dtype;
    const MemoryBudget *budget; /* as the decoder's; may be NULL */
    RunnerSource *source;       /* where layers run; NULL: in this process. Kept */
} SchedulerOptions;

typedef struct Scheduler Scheduler;

/* What its decoder takes. */
size_t scheduler_bytes(const Ensemble *ensemble, const SchedulerOptions *options);
/* Makes the decoder and starts the thread, which uses as many workers as the caller's. Ensemble,
 * tokenizer and metrics are kept. */
Status scheduler_new(Scheduler **out, const Ensemble *ensemble, const Tokenizer *tokenizer,
                     const SchedulerOptions *options, Metrics *metrics, Err *err);
/* Ends what still runs as JOB_CANCELLED. */
void scheduler_free(Scheduler *scheduler);

typedef enum Submission { SUBMIT_TAKEN, SUBMIT_FULL, SUBMIT_CLOSED } Submission;

/* Takes all jobs (and the specs' content) or none. Prompts and max_tokens must fit the context;
 * job i of the sink is specs[i]. */
Submission scheduler_submit(Scheduler *scheduler, JobSpec *specs, int64_t n, const JobSink *sink);

/* No new jobs from now on. */
void scheduler_close(Scheduler *scheduler);
bool scheduler_idle(Scheduler *scheduler); /* nothing waits, nothing runs */
/* Whether a step failed, which ends the scheduler; the reason goes to `err`. */
bool scheduler_failed(Scheduler *scheduler, Err *err);

/* Why JSON cannot be promised with this vocabulary, or NULL. */
const char *scheduler_json_problem(const Scheduler *scheduler);

#endif
