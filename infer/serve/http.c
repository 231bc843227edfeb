#include "infer/serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "infer/serve/clients.h"
#include "infer/serve/http_check.h"

enum { HTTP_THREADS = 2, HTTP_BLOCK = 16384, HTTP_BACKLOG = 1024 };

struct Http {
    Service *service;
    HttpOptions options;
    struct MHD_Daemon *daemon;
    Clients *clients;
    int listener, port;
    bool refuses;
};

/* One request on a connection. */
typedef struct Visit {
    Http *http;
    struct MHD_Connection *connection;
    int fd;
    Exchange *exchange;
    StrBuf body;
    bool too_large;
    bool closes;  /* after the answer, as the rest of the request is not read */
    bool started; /* the request is whole */
    bool probes;  /* a client that sends no more may be asked whether it is there */
    char local[INET6_ADDRSTRLEN];
} Visit;

/* ---- the exchange's listener ----------------------------------------------------------------- */

static void on_sleep(void *context)
{
    Visit *visit = context;
    MHD_suspend_connection(visit->connection);
    clients_wait(visit->http->clients, visit->fd, visit->probes);
}

static void on_wake(void *context)
{
    Visit *visit = context;
    clients_go_on(visit->http->clients, visit->fd);
    MHD_resume_connection(visit->connection);
}

static void on_drop(void *context)
{
    Visit *visit = context;
    clients_drop(visit->http->clients, visit->fd);
}

/* ---- answers --------------------------------------------------------------------------------- */

static ssize_t on_read(void *context, uint64_t position, char *out, size_t room)
{
    (void)position;
    int64_t n = exchange_read(((Visit *)context)->exchange, out, (int64_t)room);
    return n == -1   ? MHD_CONTENT_READER_END_OF_STREAM
           : n == -2 ? MHD_CONTENT_READER_END_WITH_ERROR
                     : (ssize_t)n;
}

static const char *header(const Visit *visit, const char *name)
{
    return MHD_lookup_connection_value(visit->connection, MHD_HEADER_KIND, name);
}

/* What lets a page of an allowed origin read the answer, and ask at all. */
static void add_cors(const Visit *visit, struct MHD_Response *response, const char *methods)
{
    const Access *access = &visit->http->service->access;
    const char *origin = header(visit, "Origin");
    const char *wanted = header(visit, "Access-Control-Request-Headers");
    const char *private = header(visit, "Access-Control-Request-Private-Network");
    if (access->origins.count > 0)
        MHD_add_response_header(response, "Vary", "Origin");
    const char *allowed = origin ? access_allows(access, origin) : NULL;
    if (!allowed)
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", allowed);
    MHD_add_response_header(response, "Access-Control-Expose-Headers",
                            "Retry-After, X-Ignored-Members");
    if (!methods || !header(visit, "Access-Control-Request-Method"))
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Methods", methods);
    MHD_add_response_header(response, "Access-Control-Allow-Headers",
                            wanted ? wanted : "Authorization, Content-Type");
    MHD_add_response_header(response, "Access-Control-Max-Age", "86400");
    if (private && strcmp(private, "true") == 0)
        MHD_add_response_header(response, "Access-Control-Allow-Private-Network", "true");
}

/* A vendor's own members change nothing here; who wonders why finds their names. */
static void tell_ignored(const Visit *visit, struct MHD_Response *response)
{
    const char *names = exchange_ignored(visit->exchange);
    if (names[0])
        MHD_add_response_header(response, "X-Ignored-Members", names);
}

static enum MHD_Result send_stream(Visit *visit)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_BLOCK, on_read, visit, NULL);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/event-stream; charset=utf-8");
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");
    tell_ignored(visit, response);
    add_cors(visit, response, NULL);
    enum MHD_Result result = MHD_queue_response(visit->connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_answer(Visit *visit)
{
    Answer answer = exchange_answer(visit->exchange);
    /* The bytes live as long as the exchange, which outlives the response. */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        (size_t)answer.bytes, (void *)(uintptr_t)answer.body, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", answer.retry_after);
    if (answer.type)
        MHD_add_response_header(response, "Content-Type", answer.type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer.retry_after)
        MHD_add_response_header(response, "Retry-After", seconds);
    if (answer.status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    tell_ignored(visit, response);
    if (answer.allow)
        MHD_add_response_header(response, "Allow", answer.allow);
    add_cors(visit, response, answer.allow);
    if (visit->closes)
        MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result result =
        MHD_queue_response(visit->connection, (unsigned)answer.status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The address that a connection reached, as text; empty where it has none. */
static void local_address(int fd, char out[INET6_ADDRSTRLEN])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    out[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        getnameinfo((struct sockaddr *)&address, size, out, INET6_ADDRSTRLEN, NULL, 0,
                    NI_NUMERICHOST);
}

static Visit *visit_new(Http *http, struct MHD_Connection *connection)
{
    Visit *visit = xcalloc(1, sizeof *visit);
    visit->http = http;
    visit->connection = connection;
    visit->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    local_address(visit->fd, visit->local);
    Listener listener = {.context = visit, .sleep = on_sleep, .wake = on_wake, .drop = on_drop};
    visit->exchange = exchange_new(http->service, &listener);
    return visit;
}

/* A length that is announced beyond the limit is refused before it is sent. */
static bool announces_too_much(const Visit *visit)
{
    const char *length = header(visit, "Content-Length");
    return length &&
           strtoull(length, NULL, 10) > (unsigned long long)visit->http->options.body_bytes;
}

static enum MHD_Result refuse(Visit *visit, int status, const char *why)
{
    visit->closes = true;
    exchange_refuse(visit->exchange, status, why);
    return send_answer(visit);
}

static enum MHD_Result refuse_body(Visit *visit)
{
    char message[96];
    snprintf(message, sizeof message, "the body is larger than %lld bytes",
             (long long)visit->http->options.body_bytes);
    return refuse(visit, 413, message);
}

/* The head of a request has come in. */
static enum MHD_Result take_head(Visit *visit, const char *url, const char *version)
{
    const char *why;
    int status =
        http_check(visit->connection, url, version, visit->http->options.header_bytes, &why);
    visit->probes = strcmp(version, "HTTP/1.0") != 0;
    if (status)
        return refuse(visit, status, why);
    return announces_too_much(visit) ? refuse_body(visit) : MHD_YES;
}

static void take_body(Visit *visit, const char *data, size_t bytes)
{
    if (visit->body.size + (int64_t)bytes > visit->http->options.body_bytes)
        visit->too_large = true;
    else
        strbuf_append(&visit->body, data, bytes);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_bytes, void **state)
{
    Http *http = context;
    Visit *visit = *state;
    if (!visit) {
        *state = visit = visit_new(http, connection);
        return take_head(visit, url, version);
    }
    if (*data_bytes > 0) {
        take_body(visit, data, *data_bytes);
        *data_bytes = 0;
        /* A body without an announced length that never ends. */
        return visit->too_large ? MHD_NO : MHD_YES;
    }
    if (!visit->started) {
        visit->started = true;
        clients_asked(http->clients, visit->fd, visit->exchange);
        HttpRequest request = {.method = method,
                               .path = url,
                               .authorization = header(visit, "Authorization"),
                               .origin = header(visit, "Origin"),
                               .host = header(visit, "Host"),
                               .local = visit->local[0] ? visit->local : NULL,
                               .body = visit->body.data,
                               .bytes = visit->body.size};
        exchange_start(visit->exchange, &request);
        strbuf_clear(&visit->body);
    }
    if (exchange_streams(visit->exchange)) {
        visit->probes = false; /* what is written finds out */
        return send_stream(visit);
    }
    if (exchange_wait(visit->exchange))
        return MHD_YES;
    return send_answer(visit);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection, (void)code;
    Http *http = context;
    Visit *visit = *state;
    if (!visit)
        return;
    if (visit->started)
        clients_answered(http->clients, visit->fd);
    exchange_release(visit->exchange);
    strbuf_clear(&visit->body);
    free(visit);
    *state = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    (void)state;
    Http *http = context;
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        clients_opened(http->clients, fd);
    else
        clients_closed(http->clients, fd);
}

static void on_log(void *context, const char *format, va_list arguments)
{
    (void)context;
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_debug("http: %s", text);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static Status bind_address(Http *http, Err *err)
{
    const HttpOptions *o = &http->options;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
    char port[16];
    snprintf(port, sizeof port, "%lld", (long long)o->port);
    int code = getaddrinfo(o->host, port, &hints, &list);
    if (code != 0)
        return err_set(err, "--host %s: %s", o->host, gai_strerror(code));
    int fd = -1, reason = 0, one = 1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        if (fd >= 0)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (fd >= 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, HTTP_BACKLOG) == 0)
            break;
        reason = errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd < 0)
        return err_set(err, "cannot listen on %s port %s: %s; choose another --port", o->host, port,
                       strerror(reason));
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &size);
    http->port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                     : ((struct sockaddr_in *)&address)->sin_port);
    http->listener = fd;
    return STATUS_OK;
}

/* Every connection is a file; the soft limit may be far below the hard one. */
static void raise_file_limit(int64_t connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t want = (rlim_t)connections + 128;
    if (limit.rlim_cur >= want)
        return;
    limit.rlim_cur = want < limit.rlim_max ? want : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < want)
        log_warn("only %lld files may be open: fewer connections than --connections fit",
                 (long long)limit.rlim_cur);
}

void http_stop(Http *http)
{
    if (!http)
        return;
    if (http->daemon)
        MHD_stop_daemon(http->daemon); /* closes the listener unless it was taken from it */
    if ((!http->daemon || http->refuses) && http->listener >= 0)
        close(http->listener);
    clients_free(http->clients);
    free(http);
}

Status http_start(Http **out, const HttpOptions *options, Service *service, Err *err)
{
    Http *http = xcalloc(1, sizeof *http);
    *http = (Http){.service = service, .options = *options, .listener = -1};
    *out = NULL;
    raise_file_limit(options->connections);
    Status status =
        clients_new(&http->clients, options->read_seconds, options->answer_seconds, err);
    if (status == STATUS_OK)
        status = bind_address(http, err);
    if (status == STATUS_OK) {
        unsigned flags =
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
        http->daemon = MHD_start_daemon(
            flags, 0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
            MHD_OPTION_UNESCAPE_CALLBACK, http_unescape, NULL, MHD_OPTION_LISTEN_SOCKET,
            http->listener, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)HTTP_THREADS,
            MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->connections,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, 4 * (size_t)options->header_bytes + HTTP_BLOCK,
            MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
            on_connection, http, MHD_OPTION_END);
        if (!http->daemon)
            status = err_set(err, "the HTTP server does not start");
    }
    if (status != STATUS_OK) {
        http_stop(http);
        return status;
    }
    *out = http;
    return STATUS_OK;
}

int http_port(const Http *http)
{
    return http->port;
}

void http_watch(Http *http, int milliseconds)
{
    clients_watch(http->clients, milliseconds);
}

void http_refuse(Http *http)
{
    if (http->refuses || MHD_quiesce_daemon(http->daemon) < 0)
        return;
    http->refuses = true;
    shutdown(http->listener, SHUT_RDWR); /* the daemon's threads may still look at it */
}

int64_t http_busy(const Http *http)
{
    return clients_busy(http->clients);
}
