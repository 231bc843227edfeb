/* What the server is made of, and what its connections ask of it. Only http.c and clients.c know of
 * sockets. */
#ifndef CAMBIUM_INFER_SERVE_SERVICE_H
#define CAMBIUM_INFER_SERVE_SERVICE_H

#include "core/base/hash.h"
#include "infer/serve/access.h"
#include "infer/serve/request.h"
#include "infer/serve/scheduler.h"

typedef struct Service {
    Protocol protocol;
    Scheduler *scheduler;
    Metrics *metrics;
    Access access;
    bool has_key;
    Sha256 key;           /* hash of the API key */
    int64_t stream_bytes; /* of one stream that its client has not read: then it is dropped */
} Service;

#endif
