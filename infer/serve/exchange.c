#include "infer/serve/exchange.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "infer/serve/exchange_parts.h"
#include "infer/serve/routes.h"

Exchange *exchange_new(Service *service, const Listener *listener)
{
    Exchange *x = xcalloc(1, sizeof *x);
    x->service = service;
    x->listener = *listener;
    x->attached = true;
    x->references = 1;
    x->type = "application/json";
    x->status = 200;
    atomic_init(&x->cancelled, false);
    pthread_mutex_init(&x->lock, NULL);
    return x;
}

/* Unlocks, and frees when nobody is left. */
static void unlock_and_leave(Exchange *x)
{
    bool last = --x->references == 0;
    pthread_mutex_unlock(&x->lock);
    if (!last)
        return;
    response_free(x->response);
    request_clear(&x->request);
    token_log_clear(&x->log);
    token_log_clear(&x->reading);
    strbuf_clear(&x->out);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

void exchange_release(Exchange *x)
{
    atomic_store(&x->cancelled, true);
    pthread_mutex_lock(&x->lock);
    x->attached = false;
    unlock_and_leave(x);
}

void exchange_cancel(Exchange *x)
{
    atomic_store(&x->cancelled, true);
}

/* ---- the scheduler's side -------------------------------------------------------------------- */

/* With the lock held: something is there to be read. */
static void wake(Exchange *x)
{
    if (!x->attached || !x->asleep)
        return;
    x->asleep = false;
    x->listener.wake(x->listener.context);
}

/* With the lock held, of a stream: hands on, or gives the client up. */
static void hand_on(Exchange *x)
{
    if (!x->request.stream)
        return;
    int64_t unread = token_log_bytes(&x->log) + x->unread - x->echo_bytes;
    if (unread > x->service->stream_bytes && !x->broken) {
        x->broken = true;
        atomic_store(&x->cancelled, true);
        metrics_count(x->service->metrics, COUNT_DROPPED, 1);
        if (x->attached)
            x->listener.drop(x->listener.context);
    }
    wake(x);
}

static void on_scores(void *context, int64_t job, const PromptScores *scores)
{
    Exchange *x = context;
    pthread_mutex_lock(&x->lock);
    int64_t before = token_log_bytes(&x->log);
    token_log_scores(&x->log, job, scores);
    x->echo_bytes += token_log_bytes(&x->log) - before;
    hand_on(x);
    pthread_mutex_unlock(&x->lock);
}

static void on_token(void *context, int64_t job, const JobToken *token)
{
    Exchange *x = context;
    pthread_mutex_lock(&x->lock);
    if (!x->broken)
        token_log_token(&x->log, job, token, x->service->protocol.n_experts);
    hand_on(x);
    pthread_mutex_unlock(&x->lock);
}

static void on_end(void *context, int64_t job, JobEnd end, const char *text, int64_t bytes,
                   const char *why)
{
    Exchange *x = context;
    pthread_mutex_lock(&x->lock);
    if (end == JOB_FAILED)
        token_log_end(&x->log, job, end, why, (int64_t)strlen(why));
    else
        token_log_end(&x->log, job, end, text, bytes);
    x->n_ended++;
    if (x->request.stream || x->n_ended == x->request.n_jobs)
        wake(x);
    unlock_and_leave(x);
}

static void submit(Exchange *x)
{
    ApiError error;
    JobSink sink = {.context = x,
                    .cancelled = &x->cancelled,
                    .scored = on_scores,
                    .token = on_token,
                    .end = on_end};
    x->response = response_new(&x->request, &x->service->protocol);
    x->references += (int)x->request.n_jobs;
    Submission outcome =
        scheduler_submit(x->service->scheduler, x->request.jobs, x->request.n_jobs, &sink);
    if (outcome == SUBMIT_TAKEN)
        return;
    x->references -= (int)x->request.n_jobs;
    if (outcome == SUBMIT_FULL) {
        api_error(&error, 503, "overloaded", "the queue is full; try again in a moment");
        x->retry_after = 1;
    } else {
        Err why;
        bool failed = scheduler_failed(x->service->scheduler, &why);
        api_error(&error, 503, "shutting_down", "the server is going down%s%s", failed ? ": " : "",
                  failed ? why.text : "");
    }
    exchange_set_error(x, &error);
}

/* ---- the HTTP side --------------------------------------------------------------------------- */

void exchange_set_json(Exchange *x, int status, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    x->status = status;
    x->type = "application/json";
    strbuf_reset(&x->out);
    strbuf_puts(&x->out, text);
    free(text);
    x->is_whole = true;
}

void exchange_set_error(Exchange *x, const ApiError *error)
{
    exchange_set_json(x, error->status, api_error_json(error));
}

void exchange_refuse(Exchange *x, int status, const char *message)
{
    ApiError error;
    api_error(&error, status, NULL, "%s", message);
    exchange_set_error(x, &error);
}

void exchange_generate(Exchange *x, RequestKind kind, const HttpRequest *request)
{
    ApiError error;
    if (request_parse(&x->request, kind, &x->service->protocol, request->body, request->bytes,
                      &error) != STATUS_OK)
        exchange_set_error(x, &error);
    else
        submit(x);
}

void exchange_start(Exchange *x, const HttpRequest *request)
{
    routes_follow(x, request);
}

bool exchange_streams(const Exchange *x)
{
    return !x->is_whole && x->request.stream;
}

const char *exchange_ignored(const Exchange *x)
{
    return x->request.ignored;
}

bool exchange_wait(Exchange *x)
{
    if (x->is_whole)
        return false;
    pthread_mutex_lock(&x->lock);
    bool waits = x->n_ended < x->request.n_jobs;
    if (waits) {
        x->asleep = true;
        x->listener.sleep(x->listener.context);
    }
    pthread_mutex_unlock(&x->lock);
    return waits;
}

Answer exchange_answer(Exchange *x)
{
    if (!x->is_whole) {
        ApiError error;
        pthread_mutex_lock(&x->lock);
        response_take(x->response, &x->log);
        token_log_reset(&x->log);
        pthread_mutex_unlock(&x->lock);
        if (response_failure(x->response, &error))
            exchange_set_error(x, &error);
        else
            exchange_set_json(x, 200, response_whole(x->response));
    }
    return (Answer){.status = x->status,
                    .type = x->type,
                    .body = x->out.data ? x->out.data : "",
                    .bytes = x->out.size,
                    .retry_after = x->retry_after,
                    .allow = x->allow};
}

/* A prompt that comes back at once, with its scores, may be larger than what a client may leave
 * unread: what holds it does not count. */
static void excuse(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->echo_bytes += x->out.size;
    x->echoed = x->out.size;
    pthread_mutex_unlock(&x->lock);
}

/* Turns what came since the last time into events; false: nothing came, the listener sleeps. */
static bool fetch(Exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool news = x->log.count > 0, echoes = false;
    if (news) {
        TokenLog log = x->log;
        x->log = x->reading;
        x->reading = log;
        echoes = x->echo_bytes > 0;
        x->echo_bytes = 0;
    } else {
        x->asleep = true;
        x->listener.sleep(x->listener.context);
    }
    pthread_mutex_unlock(&x->lock);
    if (!news)
        return false;
    response_take(x->response, &x->reading);
    token_log_reset(&x->reading);
    response_events(x->response, &x->out);
    if (echoes)
        excuse(x);
    return true;
}

static void forget_excuse(Exchange *x)
{
    if (x->echoed == 0)
        return;
    pthread_mutex_lock(&x->lock);
    x->echo_bytes -= x->echoed;
    x->echoed = 0;
    pthread_mutex_unlock(&x->lock);
}

int64_t exchange_read(Exchange *x, char *out, int64_t room)
{
    while (x->sent == x->out.size) {
        strbuf_reset(&x->out);
        x->sent = 0;
        forget_excuse(x);
        if (response_closed(x->response))
            return -1;
        if (!fetch(x))
            return 0;
    }
    int64_t left = x->out.size - x->sent, bytes = left < room ? left : room;
    memcpy(out, x->out.data + x->sent, (size_t)bytes);
    x->sent += bytes;
    pthread_mutex_lock(&x->lock);
    x->unread = x->out.size - x->sent;
    bool broken = x->broken;
    pthread_mutex_unlock(&x->lock);
    return broken ? -2 : bytes;
}
