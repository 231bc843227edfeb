/* What the server is made of, and what its connections ask of it. HTTP itself is elsewhere: in the
 * plug-in that fills HttpTable (http/), so that nothing here knows of sockets, and the program
 * starts without the libraries that HTTP needs. */
#ifndef CAMBIUM_INFER_SERVE_SERVICE_H
#define CAMBIUM_INFER_SERVE_SERVICE_H

#include "core/base/hash.h"
#include "infer/serve/request.h"
#include "infer/serve/scheduler.h"

typedef struct Service {
    Protocol protocol;
    Scheduler *scheduler;
    Metrics *metrics;
    bool has_key;
    Sha256 key;           /* hash of the API key */
    int64_t stream_bytes; /* of one stream that its client has not read: then it is dropped */
} Service;

typedef struct HttpOptions {
    const char *host; /* a name or address */
    int64_t port;     /* 0: any that is free */
    int64_t connections;
    int64_t body_bytes, header_bytes; /* at most, of a request */
    double read_seconds;   /* for a request to come in whole, and for an idle connection */
    double answer_seconds; /* for an answer to be read */
} HttpOptions;

typedef struct Http Http;

/* The plug-in cambium_http.so: its symbol `cambium_http`. */
typedef struct HttpTable {
    /* Binds and listens; connections are served by threads of its own. The service is kept. */
    Status (*start)(Http **out, const HttpOptions *options, Service *service, Err *err);
    int (*port)(const Http *http);
    /* Notices clients that went away or are too slow; returns after `milliseconds`, or earlier. */
    void (*watch)(Http *http, int milliseconds);
    void (*refuse)(Http *http);        /* no new connections */
    int64_t (*busy)(const Http *http); /* requests whose answers are not sent yet */
    void (*stop)(Http *http);          /* closes all and frees */
} HttpTable;

#endif
