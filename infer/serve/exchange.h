/* One request and its answer, between the HTTP thread that serves the connection and the
 * scheduler's thread that writes the tokens. Neither waits for the other: the HTTP side is put to
 * sleep while there is nothing to send, and woken; what a slow client has not read is bounded. */
#ifndef CAMBIUM_INFER_SERVE_EXCHANGE_H
#define CAMBIUM_INFER_SERVE_EXCHANGE_H

#include "infer/serve/service.h"

/* Called with the exchange's lock held, from any thread; must not call the exchange. */
typedef struct Listener {
    void *context;
    void (*sleep)(void *context);
    void (*wake)(void *context);
    void (*drop)(void *context); /* the client does not read: end the connection */
} Listener;

typedef struct Exchange Exchange;

Exchange *exchange_new(Service *service, const Listener *listener);
/* The HTTP side is done with it: what still runs is cancelled. */
void exchange_release(Exchange *exchange);
/* The client is gone. The HTTP side will still release. */
void exchange_cancel(Exchange *exchange);

typedef struct HttpRequest {
    const char *method, *path;
    const char *authorization, *origin, *host; /* the headers, or NULL */
    const char *local;                         /* the address that was reached, or NULL */
    const char *body;                          /* or NULL */
    int64_t bytes;
} HttpRequest;

/* Makes the answer, or lets it be made. `path` is without the query. */
void exchange_start(Exchange *exchange, const HttpRequest *request);
/* The answer is this error of HTTP's own. */
void exchange_refuse(Exchange *exchange, int status, const char *message);

bool exchange_streams(const Exchange *exchange); /* the answer is an open-ended event stream */
/* Not a stream: true when the answer is not there yet; the listener sleeps then. */
bool exchange_wait(Exchange *exchange);

/* Names of members of the request that are not known, with commas; "": none. */
const char *exchange_ignored(const Exchange *exchange);

/* The whole answer, valid until release. */
typedef struct Answer {
    int status;
    const char *type; /* Content-Type */
    const char *body;
    int64_t bytes;
    int retry_after;   /* seconds, or 0 */
    const char *allow; /* the methods of the path, for Allow, or NULL */
} Answer;
Answer exchange_answer(Exchange *exchange);

/* A stream's next bytes, at most `room`: their number; 0: none yet, the listener sleeps; -1: the
 * end; -2: it broke off. */
int64_t exchange_read(Exchange *exchange, char *out, int64_t room);

#endif
