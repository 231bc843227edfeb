/* What the server counts, and its text for Prometheus (exposition format 0.0.4). Thread-safe. */
#ifndef CAMBIUM_INFER_SERVE_METRICS_H
#define CAMBIUM_INFER_SERVE_METRICS_H

#include "core/base/strbuf.h"
#include "core/tensor/backend.h"
#include "infer/serve/job.h"

typedef struct Metrics Metrics;

Metrics *metrics_new(void);
void metrics_free(Metrics *metrics);

/* What the model computes on, and the type of its tensors; borrowed. Before the server starts. */
void metrics_device(Metrics *metrics, const Backend *backend, DType type);

/* What the scheduler holds after a step: plain numbers that replace the ones before. */
typedef struct Load {
    int64_t running, waiting;
    int64_t kv_total, kv_used, kv_running; /* positions in pages: all, not free, of running jobs */
} Load;
void metrics_load(Metrics *metrics, const Load *load);

typedef enum Count {
    COUNT_PROMPT_TOKENS, /* computed */
    COUNT_PREFIX_TOKENS, /* taken over from another sequence */
    COUNT_GENERATED_TOKENS,
    COUNT_STEPS,
    COUNT_PREEMPTIONS,
    COUNT_REFUSED, /* the queue was full */
    COUNT_DROPPED, /* clients that did not read */
    COUNT_KINDS,
} Count;
void metrics_count(Metrics *metrics, Count what, int64_t n);

void metrics_first_token(Metrics *metrics, double seconds); /* since the job was taken */
void metrics_next_token(Metrics *metrics, double seconds);  /* since the token before */
void metrics_job_end(Metrics *metrics, JobEnd end);

void metrics_print(Metrics *metrics, StrBuf *out);

#endif
