#include "infer/serve/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "infer/serve/scheduler_parts.h"

static DecoderOptions decoder_options(const SchedulerOptions *o)
{
    return (DecoderOptions){.max_sequences = o->batch + o->parked,
                            .max_positions = o->context,
                            .kv_positions = o->kv_positions,
                            .page_size = o->page_size,
                            .kv_dtype = o->kv_dtype,
                            .budget = o->budget,
                            .source = o->source};
}

size_t scheduler_bytes(const Ensemble *ensemble, const SchedulerOptions *options)
{
    DecoderOptions o = decoder_options(options);
    return decoder_bytes(ensemble, &o);
}

/* ---- jobs that wait -------------------------------------------------------------------------- */

static void append(Job **list, Job *jobs)
{
    while (*list)
        list = &(*list)->next;
    *list = jobs;
}

Submission scheduler_submit(Scheduler *s, JobSpec *specs, int64_t n, const JobSink *sink)
{
    Job *jobs = NULL;
    for (int64_t i = n - 1; i >= 0; i--) {
        int64_t room = s->options.context - specs[i].prompt.count - specs[i].max_tokens;
        CHECK(specs[i].prompt.count > 0 && room >= 0 && specs[i].n_top <= TOP_MAX,
              "a job of %lld tokens", (long long)specs[i].prompt.count);
        if (specs[i].n_top > s->V)
            specs[i].n_top = s->V;
        Job *job = job_new(&specs[i], sink, i, s->tokenizer);
        job->next = jobs;
        jobs = job;
    }
    Submission result = SUBMIT_TAKEN;
    pthread_mutex_lock(&s->lock);
    if (s->closing) {
        result = SUBMIT_CLOSED;
    } else if (s->n_jobs + n > s->options.batch + s->options.queue) {
        result = SUBMIT_FULL;
    } else {
        append(&s->waiting, jobs);
        s->n_waiting += n;
        s->n_jobs += n;
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    if (result == SUBMIT_FULL)
        metrics_count(s->metrics, COUNT_REFUSED, 1);
    while (result != SUBMIT_TAKEN && jobs) {
        Job *next = jobs->next;
        job_free(jobs);
        jobs = next;
    }
    return result;
}

static bool is_over(const Scheduler *s, const Job *job, double now, JobEnd *end)
{
    if (atomic_load(&s->abandoned) || atomic_load(job->sink.cancelled))
        *end = JOB_CANCELLED;
    else if (now > job->spec.deadline)
        *end = JOB_TIMEOUT;
    else
        return false;
    return true;
}

/* The end of a job that holds nothing of the decoder any more. */
static void bury(Scheduler *s, Job *job, JobEnd end, const char *why)
{
    strbuf_reset(&s->fresh);
    if (end == JOB_STOP || end == JOB_LENGTH)
        token_text_flush(&job->text, &s->fresh);
    metrics_job_end(s->metrics, end);
    job->sink.end(job->sink.context, job->number, end, s->fresh.data ? s->fresh.data : "",
                  s->fresh.size, why);
    job_free(job);
    pthread_mutex_lock(&s->lock);
    s->n_jobs--;
    pthread_mutex_unlock(&s->lock);
}

static void bury_all(Scheduler *s, Job *jobs, const char *why)
{
    while (jobs) {
        Job *next = jobs->next;
        JobEnd end = JOB_FAILED;
        if (!why)
            is_over(s, jobs, clock_seconds(), &end);
        bury(s, jobs, end, why);
        jobs = next;
    }
}

/* Takes jobs out of the queue whose clients are gone or whose time is up. */
static void sweep_waiting(Scheduler *s)
{
    Job *over = NULL;
    double now = clock_seconds();
    JobEnd end;
    pthread_mutex_lock(&s->lock);
    for (Job **at = &s->waiting; *at;) {
        Job *job = *at;
        if (is_over(s, job, now, &end)) {
            *at = job->next;
            job->next = NULL;
            s->n_waiting--;
            append(&over, job);
        } else {
            at = &job->next;
        }
    }
    pthread_mutex_unlock(&s->lock);
    bury_all(s, over, NULL);
}

/* ---- jobs that run --------------------------------------------------------------------------- */

static void remove_running(Scheduler *s, Job *job)
{
    int64_t i = 0;
    while (s->running[i] != job)
        i++;
    s->n_running--;
    memmove(s->running + i, s->running + i + 1, (size_t)(s->n_running - i) * sizeof(Job *));
}

void scheduler_end_job(Scheduler *s, Job *job, JobEnd end, const char *why)
{
    remove_running(s, job);
    if (end == JOB_STOP || end == JOB_LENGTH)
        parked_add(s->parked, job->sequence, &job->seen);
    else
        decoder_close(s->decoder, job->sequence);
    s->holds = false;
    bury(s, job, end, why);
}

static void sweep_running(Scheduler *s)
{
    double now = clock_seconds();
    for (int64_t i = s->n_running - 1; i >= 0; i--) {
        JobEnd end;
        if (is_over(s, s->running[i], now, &end))
            scheduler_end_job(s, s->running[i], end, NULL);
    }
}

static void admit(Scheduler *s)
{
    while (s->n_running < s->options.batch && !s->holds) {
        pthread_mutex_lock(&s->lock);
        Job *job = s->waiting;
        if (job) {
            s->waiting = job->next;
            s->n_waiting--;
        }
        pthread_mutex_unlock(&s->lock);
        if (!job)
            break;
        while ((job->sequence = decoder_open(s->decoder)) < 0)
            CHECK(parked_evict(s->parked), "no sequence for a job");
        job->next = NULL;
        s->running[s->n_running++] = job;
    }
}

void scheduler_put_back(Scheduler *s)
{
    Job *job = s->running[--s->n_running];
    decoder_close(s->decoder, job->sequence);
    job->sequence = -1;
    s->holds = true;
    metrics_count(s->metrics, COUNT_PREEMPTIONS, 1);
    pthread_mutex_lock(&s->lock);
    job->next = s->waiting;
    s->waiting = job;
    s->n_waiting++;
    pthread_mutex_unlock(&s->lock);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void report_load(Scheduler *s)
{
    Load load = {.running = s->n_running, .kv_total = s->kv_total};
    load.kv_used = s->kv_total - decoder_free_positions(s->decoder);
    for (int64_t i = 0; i < s->n_running; i++)
        load.kv_running +=
            s->page_size * scheduler_pages(s, decoder_length(s->decoder, s->running[i]->sequence));
    pthread_mutex_lock(&s->lock);
    load.waiting = s->n_waiting;
    pthread_mutex_unlock(&s->lock);
    metrics_load(s->metrics, &load);
}

/* Sleeps while there is nothing to do; false when all is done for good. */
static bool wait_for_jobs(Scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->waiting && s->n_running == 0 && !s->closing)
        pthread_cond_wait(&s->wake, &s->lock);
    bool go_on = s->waiting || s->n_running > 0;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void fail_all(Scheduler *s, const Err *err)
{
    pthread_mutex_lock(&s->lock);
    s->failed = s->closing = true;
    s->failure = *err;
    pthread_mutex_unlock(&s->lock);
    while (s->n_running > 0)
        scheduler_end_job(s, s->running[s->n_running - 1], JOB_FAILED, err->text);
    pthread_mutex_lock(&s->lock);
    Job *jobs = s->waiting;
    s->waiting = NULL;
    s->n_waiting = 0;
    pthread_mutex_unlock(&s->lock);
    bury_all(s, jobs, err->text);
}

static Status make_decoder(Scheduler *s, Err *err)
{
    DecoderOptions options = decoder_options(&s->options);
    TRY(decoder_new(&s->decoder, s->ensemble, &options, err));
    Device device = decoder_device(s->decoder);
    TRY(sampler_new(&s->sampler, &device, s->options.batch, err));
    s->page_size = decoder_page_size(s->decoder);
    s->kv_total = decoder_free_positions(s->decoder);
    s->parked = parked_new(s->decoder, s->options.parked);
    s->mask = json_mask_new(s->tokenizer, &s->json_problem);
    return STATUS_OK;
}

static void *scheduler_main(void *context)
{
    Scheduler *s = context;
    parallel_set_width(s->width);
    Err err = {.text = ""};
    Status status = make_decoder(s, &err);
    pthread_mutex_lock(&s->lock);
    s->is_started = true;
    s->failed = status != STATUS_OK;
    s->failure = err;
    pthread_cond_signal(&s->started);
    pthread_mutex_unlock(&s->lock);
    while (status == STATUS_OK && wait_for_jobs(s)) {
        sweep_waiting(s);
        sweep_running(s);
        admit(s);
        if (s->n_running > 0)
            status = scheduler_step(s, &err);
        if (status != STATUS_OK)
            fail_all(s, &err);
        report_load(s);
    }
    parked_free(s->parked);
    sampler_free(s->sampler);
    decoder_free(s->decoder);
    return NULL;
}

Status scheduler_new(Scheduler **out, const Ensemble *ensemble, const Tokenizer *tokenizer,
                     const SchedulerOptions *options, Metrics *metrics, Err *err)
{
    Scheduler *s = xcalloc(1, sizeof *s);
    size_t batch = (size_t)options->batch;
    s->options = *options;
    s->ensemble = ensemble;
    s->tokenizer = tokenizer;
    s->metrics = metrics;
    s->width = parallel_width();
    s->V = ensemble->experts[0]->config.vocab_size;
    s->running = xcalloc(batch, sizeof *s->running);
    s->planned = xcalloc(batch, sizeof *s->planned);
    s->turns = xcalloc(batch, sizeof *s->turns);
    s->items = xcalloc(batch, sizeof *s->items);
    s->rules = xcalloc(batch, sizeof *s->rules);
    s->ids = xcalloc(batch, sizeof *s->ids);
    s->logprobs = xcalloc(batch, sizeof *s->logprobs);
    s->rows = xcalloc(batch * (size_t)s->V, sizeof *s->rows);
    s->changed = xcalloc((size_t)s->V, sizeof *s->changed);
    s->marks = xcalloc((size_t)s->V, sizeof *s->marks);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    pthread_cond_init(&s->started, NULL);
    *out = s;
    CHECK(pthread_create(&s->thread, NULL, scheduler_main, s) == 0, "no thread");
    pthread_mutex_lock(&s->lock);
    while (!s->is_started)
        pthread_cond_wait(&s->started, &s->lock);
    pthread_mutex_unlock(&s->lock);
    if (scheduler_failed(s, err)) {
        scheduler_free(s);
        *out = NULL;
        return STATUS_FAIL;
    }
    return STATUS_OK;
}

void scheduler_free(Scheduler *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    atomic_store(&s->abandoned, true);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->started);
    json_mask_free(s->mask);
    free(s->running);
    free(s->planned);
    free(s->turns);
    free(s->items);
    free(s->rules);
    free(s->ids);
    free(s->logprobs);
    free(s->rows);
    free(s->changed);
    free(s->marks);
    strbuf_clear(&s->fresh);
    free(s);
}

void scheduler_close(Scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

bool scheduler_idle(Scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    bool idle = s->n_jobs == 0;
    pthread_mutex_unlock(&s->lock);
    return idle;
}

bool scheduler_failed(Scheduler *s, Err *err)
{
    pthread_mutex_lock(&s->lock);
    bool failed = s->failed;
    *err = s->failure;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

const char *scheduler_json_problem(const Scheduler *s)
{
    return s->mask ? NULL : s->json_problem.text;
}
