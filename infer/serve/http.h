/* HTTP by libmicrohttpd. Its threads read requests and write answers; they never wait for the
 * scheduler: a connection without anything to send is suspended, and resumed by whoever has
 * something for it. */
#ifndef CAMBIUM_INFER_SERVE_HTTP_H
#define CAMBIUM_INFER_SERVE_HTTP_H

#include "infer/serve/service.h"

typedef struct HttpOptions {
    const char *host; /* a name or address */
    int64_t port;     /* 0: any that is free */
    int64_t connections;
    int64_t body_bytes, header_bytes; /* at most, of a request */
    double read_seconds;   /* for a request to come in whole, and for an idle connection */
    double answer_seconds; /* for an answer to be made and read */
} HttpOptions;

typedef struct Http Http;

/* Binds and listens; connections are served by threads of its own. The service is kept. */
Status http_start(Http **out, const HttpOptions *options, Service *service, Err *err);
int http_port(const Http *http);
/* Notices clients that went away or are too slow; returns after `milliseconds`, or earlier. One
 * thread at a time. */
void http_watch(Http *http, int milliseconds);
void http_refuse(Http *http);        /* no new connections */
int64_t http_busy(const Http *http); /* requests whose answers are not sent yet */
void http_stop(Http *http);          /* closes all and frees; NULL is allowed */

#endif
