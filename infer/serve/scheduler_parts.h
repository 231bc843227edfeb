/* What the scheduler's files share: its state, and who may change it. scheduler.c owns the queue
 * and the thread; scheduler_step.c makes the steps of that thread. */
#ifndef CAMBIUM_INFER_SERVE_SCHEDULER_PARTS_H
#define CAMBIUM_INFER_SERVE_SCHEDULER_PARTS_H

#include <pthread.h>

#include "infer/serve/parked.h"
#include "infer/serve/scheduler.h"

enum { TOP_MAX = LOOK_TOP };

/* One item of a step: a running job and how much of it is stepped. */
typedef struct Turn {
    Job *job;
    int64_t count; /* tokens */
    bool scores;   /* its prompt is being scored */
    bool whole;    /* all it has is in the cache after the step: a token can be drawn */
    TopToken top[TOP_MAX];
    int64_t n_top;
    float lse;
} Turn;

struct Scheduler {
    SchedulerOptions options;
    const Ensemble *ensemble;
    const Tokenizer *tokenizer;
    Metrics *metrics;
    int width; /* workers of the thread's team */
    pthread_t thread;

    pthread_mutex_t lock; /* of this part */
    pthread_cond_t wake, started;
    Job *waiting;
    int64_t n_waiting, n_jobs; /* jobs: waiting or running */
    bool closing, is_started, failed;
    Err failure;
    atomic_bool abandoned;

    /* Of the thread alone. */
    Decoder *decoder;
    Sampler *sampler;
    JsonMask *mask; /* NULL: see json_problem */
    Err json_problem;
    Parked *parked;
    Job **running; /* (batch), the oldest first */
    int64_t n_running;
    bool holds; /* a job was put back: none joins before one has ended */
    int64_t page_size, kv_total, V;
    Turn *planned, *turns; /* (batch), as all below */
    DecodeItem *items;
    SampleRule *rules;
    int32_t *ids;
    float *logprobs;
    float *rows;    /* (batch, V): logits that came to the host */
    float *changed; /* (V) */
    uint8_t *marks; /* (V) */
    StrBuf fresh;
};

/* ---- scheduler.c, for the thread ------------------------------------------------------------- */

/* The end of a running job. What it has cached stays for a while where it ended well. */
void scheduler_end_job(Scheduler *s, Job *job, JobEnd end, const char *why);

/* The youngest running job goes back to the front of the queue. */
void scheduler_put_back(Scheduler *s);

/* ---- scheduler_step.c ------------------------------------------------------------------------ */

/* One step of the running jobs, of which there is at least one. */
Status scheduler_step(Scheduler *s, Err *err);

/* Pages of the cache that hold so many positions. */
int64_t scheduler_pages(const Scheduler *s, int64_t positions);

#endif
