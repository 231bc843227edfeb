/* The inside of an exchange, for the two files that make answers: exchange.c and routes.c. */
#ifndef CAMBIUM_INFER_SERVE_EXCHANGE_PARTS_H
#define CAMBIUM_INFER_SERVE_EXCHANGE_PARTS_H

#include <pthread.h>

#include "infer/serve/exchange.h"
#include "infer/serve/response.h"

struct Exchange {
    Service *service;
    Request request; /* its n_jobs and stream do not change once jobs run */
    atomic_bool cancelled;

    pthread_mutex_t lock; /* of this part */
    int references;       /* the HTTP side, and every job */
    Listener listener;
    bool attached; /* the listener may be called */
    bool asleep;
    bool broken; /* the client did not read */
    int64_t n_ended;
    int64_t unread;     /* bytes of `out` */
    int64_t echo_bytes; /* of log and `out`: prompts that came back with their scores */
    TokenLog log;

    /* Of the HTTP side alone. */
    TokenLog reading;
    Response *response;
    bool is_whole; /* `out` is the answer */
    int status;
    const char *type;
    int retry_after;
    const char *allow;
    StrBuf out;
    int64_t sent, echoed; /* of `out`; what of echo_bytes is in it */
};

void exchange_set_json(Exchange *exchange, int status, json_t *object); /* takes the object */
void exchange_set_error(Exchange *exchange, const ApiError *error);
/* Lets the scheduler write what the body asks for. */
void exchange_generate(Exchange *exchange, RequestKind kind, const HttpRequest *request);

#endif
