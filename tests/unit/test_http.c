/* The server's HTTP: who may ask, what heads of requests are refused, preflights of browsers, and
 * clients that send no more or are gone. Requests are raw bytes. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "infer/serve/http.h"
#include "tests/support/assert_ok.h"
#include "tests/support/byte_vocabulary.h"
#include "tests/support/tiny_model.h"

static Tokenizer *tokenizer;
static Ensemble *ensemble;

/* ---- a server in this process ---------------------------------------------------------------- */

typedef struct Rig {
    Service service;
    Http *http;
    pthread_t watcher;
    atomic_bool over;
} Rig;

static void *watch(void *context)
{
    Rig *rig = context;
    while (!atomic_load(&rig->over))
        http_watch(rig->http, 10);
    return NULL;
}

static void rig_start(Rig *rig, const char *host, const StringList *hosts,
                      const StringList *origins)
{
    static char *experts[] = {(char *)(uintptr_t) "a"};
    Err err = {.text = ""};
    *rig = (Rig){.service = {.metrics = metrics_new(), .stream_bytes = 1 << 20}};
    rig->service.protocol = (Protocol){.tokenizer = tokenizer,
                                       .model = "tiny",
                                       .context = 3000,
                                       .vocab_size = tokenizer_size(tokenizer),
                                       .n_experts = 1,
                                       .experts = experts,
                                       .rule = "mean",
                                       .timeout = 300.0};
    SchedulerOptions options = {
        .batch = 2, .queue = 8, .context = 3000, .kv_positions = 6400, .prefill = 64};
    ASSERT_OK(scheduler_new(&rig->service.scheduler, ensemble, tokenizer, &options,
                            rig->service.metrics, &err));
    ASSERT_OK(access_init(&rig->service.access, host, hosts, origins, &err));
    HttpOptions http = {.host = host,
                        .connections = 16,
                        .body_bytes = 5000,
                        .header_bytes = 4096,
                        .read_seconds = 20.0,
                        .answer_seconds = 300.0};
    ASSERT_OK(http_start(&rig->http, &http, &rig->service, &err));
    assert_int_equal(pthread_create(&rig->watcher, NULL, watch, rig), 0);
}

static void rig_end(Rig *rig)
{
    atomic_store(&rig->over, true);
    pthread_join(rig->watcher, NULL);
    scheduler_free(rig->service.scheduler);
    http_stop(rig->http);
    access_clear(&rig->service.access);
    metrics_free(rig->service.metrics);
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    parallel_set_width(1);
    log_set_level(LOG_QUIET);
    tokenizer = byte_vocabulary();
    ModelConfig config = tiny_config();
    config.vocab_size = tokenizer_size(tokenizer);
    Model *model = tiny_model(&config, DTYPE_F32, 5, 3);
    ensemble = tiny_ensemble(&model, 1, MERGE_MEAN);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ensemble_free(ensemble);
    tokenizer_free(tokenizer);
    return 0;
}

/* ---- a client -------------------------------------------------------------------------------- */

static int connect_to(const Rig *rig)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)http_port(rig->http)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval limit = {.tv_sec = 300};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void put(int fd, const char *text)
{
    size_t length = strlen(text);
    assert_int_equal(send(fd, text, length, MSG_NOSIGNAL), (ssize_t)length);
}

/* All that comes until the server closes. */
static char *read_all(int fd)
{
    StrBuf answer = {0};
    char part[4096];
    ssize_t n;
    while ((n = recv(fd, part, sizeof part, 0)) > 0)
        strbuf_append(&answer, part, (size_t)n);
    strbuf_puts(&answer, "");
    close(fd);
    return strbuf_detach(&answer);
}

/* A request line, headers (each with its \r\n) and a body; the answer. */
static char *ask(const Rig *rig, const char *line, const char *headers, const char *body)
{
    StrBuf request = {0};
    int fd = connect_to(rig);
    strbuf_printf(&request, "%s\r\n%sConnection: close\r\n\r\n%s", line, headers, body);
    put(fd, request.data);
    strbuf_clear(&request);
    return read_all(fd);
}

static int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : -1;
}

/* The value of a header of the answer, or NULL; static memory. */
static const char *header_of(const char *answer, const char *name)
{
    static char value[512];
    const char *end = strstr(answer, "\r\n\r\n");
    for (const char *at = strstr(answer, "\r\n"); at && at < end; at = strstr(at + 2, "\r\n")) {
        const char *line = at + 2;
        size_t length = strlen(name);
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line + length + 2, "\r"),
                 line + length + 2);
        return value;
    }
    return NULL;
}

static bool is_json_error(const char *answer)
{
    const char *body = strstr(answer, "\r\n\r\n");
    const char *type = header_of(answer, "Content-Type");
    return body && strncmp(body + 4, "{\"error\":{", 10) == 0 && type &&
           strcmp(type, "application/json") == 0;
}

typedef struct Try {
    const char *line, *headers, *body;
    int status;
} Try;

/* The answer, which has the status that is wanted, or `other`. */
static char *assert_status(const Rig *rig, const Try *t, int other)
{
    char *answer = ask(rig, t->line, t->headers, t->body ? t->body : "");
    if (status_of(answer) != t->status && status_of(answer) != other)
        fail_msg("%s | %s: %.400s", t->line, t->headers, answer);
    return answer;
}

static void assert_answers(const Rig *rig, const Try *tries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Try *t = &tries[i];
        char *answer = assert_status(rig, t, t->status);
        if (t->status >= 400 && !is_json_error(answer))
            fail_msg("%s | %s: %.400s", t->line, t->headers, answer);
        free(answer);
    }
}

#define ANSWERS(rig, tries) assert_answers(rig, tries, sizeof tries / sizeof *tries)
#define HERE "Host: localhost\r\n"
#define PROMPT "{\"prompt\":\"a\",\"max_tokens\":3}"
#define LENGTH "Content-Length: 29\r\n"
#define GET "GET /v1/models HTTP/1.1"
#define POST "POST /v1/completions HTTP/1.1"

/* ---- heads ----------------------------------------------------------------------------------- */

static void heads_that_mean_two_things_are_refused(void **state)
{
    (void)state;
    static const StringList none;
    static const Try tries[] = {
        {GET, HERE, NULL, 200},
        {"GET /v1/models HTTP/1.0", "", NULL, 200},
        {POST, HERE LENGTH, PROMPT, 200},
        {POST, HERE "Transfer-Encoding: chunked\r\n", "1d\r\n" PROMPT "\r\n0\r\n\r\n", 200},
        {POST, HERE LENGTH "Content-Encoding: gzip\r\n", PROMPT, 415},
        {POST, HERE LENGTH "Content-Encoding: identity\r\n", PROMPT, 200},
        {POST, HERE LENGTH "Expect: 200-ok\r\n", PROMPT, 417},
        {POST, HERE "Content-Length: 5001\r\n", "", 413},
        {"GET /v1/models%00x HTTP/1.1", HERE, NULL, 404},
        {"GET /v1/models/ HTTP/1.1", HERE, NULL, 200},
        {"GET //v1//models HTTP/1.1", HERE, NULL, 200},
        {"GET /v1/models/tiny/ HTTP/1.1", HERE, NULL, 200},
        {"GET /v1/models?limit=3 HTTP/1.1", HERE, NULL, 200},
        {"GET http://localhost/v1/models?a=b HTTP/1.1", HERE, NULL, 200},
        {"GET http://localhost HTTP/1.1", HERE, NULL, 200},
        {"GET http://evil.example/v1/models HTTP/1.1", HERE, NULL, 403},
        {"DELETE /v1/models HTTP/1.1", HERE, NULL, 405},
        {"GET /nothing HTTP/1.1", HERE, NULL, 404},
        {"OPTIONS * HTTP/1.1", HERE, NULL, 204},
        {"OPTIONS /v1/models HTTP/1.1", HERE, NULL, 204},
    };
    /* Of these libmicrohttpd 1.0 refuses some itself, with status 400 and a page of its own. */
    static const Try unclear[] = {
        {POST, HERE "Transfer-Encoding: gzip\r\n", PROMPT, 501},
        {GET, "", NULL, 400},
        {GET, HERE HERE, NULL, 400},
        {POST, HERE LENGTH LENGTH, PROMPT, 400},
        {POST, HERE LENGTH "Content-Length: 5\r\n", PROMPT, 400},
        {POST, HERE LENGTH "Transfer-Encoding: chunked\r\n", "1d\r\n" PROMPT "\r\n0\r\n\r\n", 400},
        {POST, HERE LENGTH "Transfer-Encoding : chunked\r\n", PROMPT, 400},
    };
    Rig rig;
    rig_start(&rig, "127.0.0.1", &none, &none);
    ANSWERS(&rig, tries);
    for (size_t i = 0; i < sizeof unclear / sizeof *unclear; i++)
        free(assert_status(&rig, &unclear[i], 400));
    StrBuf large = {0};
    for (int status = 414; status <= 431; status += 17) {
        strbuf_reset(&large);
        strbuf_puts(&large, status == 414 ? "GET /" : HERE "X: ");
        for (int i = 0; i < 9000; i++)
            strbuf_puts(&large, "x");
        strbuf_puts(&large, status == 414 ? " HTTP/1.1" : "\r\n");
        Try t = {status == 414 ? large.data : GET, status == 414 ? HERE : large.data, "", status};
        assert_answers(&rig, &t, 1);
    }
    strbuf_clear(&large);
    char *answer = ask(&rig, "DELETE /v1/completions HTTP/1.1", HERE, "");
    assert_string_equal(header_of(answer, "Allow"), "POST, OPTIONS");
    free(answer);
    answer = ask(&rig, "HEAD /v1/models HTTP/1.1", HERE, "");
    assert_int_equal(status_of(answer), 200);
    assert_true(atoi(header_of(answer, "Content-Length")) > 50);
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    free(answer);
    answer = ask(&rig, POST, HERE LENGTH "Expect: 100-continue\r\n", PROMPT);
    assert_non_null(strstr(answer, "HTTP/1.1 200 ")); /* behind 100 Continue, or without it */
    free(answer);
    rig_end(&rig);
}

/* ---- who may ask ----------------------------------------------------------------------------- */

static StringList list_of(const char *a, const char *b)
{
    StringList list = {0};
    string_list_add(&list, a);
    if (b)
        string_list_add(&list, b);
    return list;
}

/* A page that let its own name lead here sends it as Host, and as Origin. */
static void only_its_own_names_are_answered(void **state)
{
    (void)state;
    static const StringList none;
    static const Try tries[] = {
        {POST, "Host: evil.example\r\nOrigin: http://evil.example\r\n" LENGTH, PROMPT, 403},
        {POST, "Host: evil.example:80\r\n" LENGTH, PROMPT, 403},
        {"GET / HTTP/1.1", "Host: evil.example\r\n", NULL, 403},
        {"GET /health HTTP/1.1", "Host: localhost.evil.example\r\n", NULL, 403},
        {GET, "Host: evil.localhost\r\n", NULL, 403},
        {GET, "Host: 10.1.2.3\r\n", NULL, 403},
        {GET, "Host: user@localhost\r\n", NULL, 403},
        {GET, "Host: localhost:1x\r\n", NULL, 403},
        {GET, "Host: [::1\r\n", NULL, 403},
        {GET, "Host: \r\n", NULL, 403},
        {GET, "Host: 127.0.0.1:1234\r\n", NULL, 200},
        {GET, "Host: [::1]:1234\r\n", NULL, 200},
        {GET, "Host: [0:0:0:0:0:0:0:1]\r\n", NULL, 200},
        {GET, "Host: LocalHost.:8080\r\n", NULL, 200},
        {GET, "Host: [::ffff:127.0.0.1]\r\n", NULL, 200},
        {GET, "Host: evil.example\r\nX-Forwarded-Host: localhost\r\n", NULL, 403},
        {GET, "Host: llm.example.org\r\n", NULL, 403},
    };
    static const Try allowed[] = {
        {GET, "Host: llm.example.org\r\n", NULL, 200},
        {GET, "Host: LLM.example.org:443\r\nOrigin: https://llm.example.org:443\r\n", NULL, 200},
        {GET, "Host: [fe80::1]:8080\r\n", NULL, 200},
        {GET, "Host: other.example.org\r\n", NULL, 403},
    };
    Rig rig;
    rig_start(&rig, "127.0.0.1", &none, &none);
    ANSWERS(&rig, tries);
    rig_end(&rig);
    StringList hosts = list_of("llm.example.org", "[FE80:0::1]"), any = list_of("*", NULL);
    rig_start(&rig, "127.0.0.1", &hosts, &none);
    ANSWERS(&rig, allowed);
    rig_end(&rig);
    rig_start(&rig, "127.0.0.1", &any, &none);
    Try evil = {GET, "Host: evil.example\r\n", NULL, 200};
    assert_answers(&rig, &evil, 1);
    rig_end(&rig);
    string_list_clear(&hosts);
    string_list_clear(&any);
}

/* Whatever the answer is, the page may read it, and no page else. */
static void pages_of_allowed_origins_ask_first(void **state)
{
    (void)state;
    static const StringList none;
    StringList origins = list_of("https://llm.example.org", "HTTP://Other.example:80");
    Rig rig;
    rig_start(&rig, "127.0.0.1", &none, &origins);
    static const char *const lines[] = {GET, "GET /nothing HTTP/1.1", "DELETE / HTTP/1.1", POST};
    static const int statuses[] = {200, 404, 405, 400};
    for (int i = 0; i < 4; i++) {
        char *answer = ask(&rig, lines[i], HERE "Origin: https://llm.example.org\r\n", "");
        assert_int_equal(status_of(answer), statuses[i]);
        assert_string_equal(header_of(answer, "Access-Control-Allow-Origin"),
                            "https://llm.example.org");
        assert_string_equal(header_of(answer, "Vary"), "Origin");
        free(answer);
    }
    char *answer = ask(&rig, POST,
                       HERE "Origin: http://other.example\r\n"
                            "Content-Length: 43\r\n",
                       "{\"prompt\":\"a\",\"max_tokens\":3,\"stream\":true}");
    assert_int_equal(status_of(answer), 200);
    assert_string_equal(header_of(answer, "Access-Control-Allow-Origin"), "http://other.example");
    free(answer);
    answer = ask(&rig, "OPTIONS /v1/completions HTTP/1.1",
                 HERE "Origin: https://llm.example.org\r\nAccess-Control-Request-Method: POST\r\n"
                      "Access-Control-Request-Headers: authorization,x-stainless-os\r\n"
                      "Access-Control-Request-Private-Network: true\r\n",
                 "");
    assert_int_equal(status_of(answer), 204);
    assert_string_equal(header_of(answer, "Access-Control-Allow-Methods"), "POST, OPTIONS");
    assert_string_equal(header_of(answer, "Access-Control-Allow-Headers"),
                        "authorization,x-stainless-os");
    assert_string_equal(header_of(answer, "Access-Control-Allow-Private-Network"), "true");
    free(answer);
    static const char *const foreign[] = {"https://llm.example.org.evil.example", "null",
                                          "http://llm.example.org", "https://llm.example.org:444"};
    for (int i = 0; i < 4; i++) {
        char headers[128];
        snprintf(headers, sizeof headers,
                 HERE "Origin: %s\r\nAccess-Control-Request-Method: GET\r\n", foreign[i]);
        for (int preflight = 0; preflight < 2; preflight++) {
            answer = ask(&rig, preflight ? "OPTIONS /v1/models HTTP/1.1" : GET, headers, "");
            assert_int_equal(status_of(answer), 403);
            assert_null(header_of(answer, "Access-Control-Allow-Origin"));
            free(answer);
        }
    }
    rig_end(&rig);
    string_list_clear(&origins);
    origins = list_of("*", NULL);
    rig_start(&rig, "127.0.0.1", &none, &origins);
    answer = ask(&rig, GET, HERE "Origin: null\r\n", "");
    assert_string_equal(header_of(answer, "Access-Control-Allow-Origin"), "*");
    free(answer);
    rig_end(&rig);
    string_list_clear(&origins);
}

static void what_is_no_name_or_origin_is_refused(void **state)
{
    (void)state;
    static const char *const origins[] = {
        "llm.example.org", "https://llm.example.org/", "https://", "://a", "https://a b", ""};
    static const char *const hosts[] = {"https://a", "a/b", "", "a b"};
    static const StringList none;
    Access access;
    Err err;
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        StringList list = list_of(origins[i], NULL);
        assert_int_equal(access_init(&access, "127.0.0.1", &none, &list, &err), STATUS_FAIL);
        assert_non_null(strstr(err.text, "--allow-origin"));
        string_list_clear(&list);
    }
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        StringList list = list_of(hosts[i], NULL);
        assert_int_equal(access_init(&access, "127.0.0.1", &list, &none, &err), STATUS_FAIL);
        assert_non_null(strstr(err.text, "--allow-host"));
        string_list_clear(&list);
    }
    ASSERT_OK(access_init(&access, "0.0.0.0", &none, &none, &err));
    assert_true(access_knows_host(&access, "0.0.0.0:8080", "127.0.0.1"));
    assert_true(access_knows_host(&access, "192.168.1.5:8080", "192.168.1.5"));
    assert_true(access_knows_host(&access, "192.168.1.5:8080", "::ffff:192.168.1.5"));
    assert_false(access_knows_host(&access, "192.168.1.6", "192.168.1.5"));
    access_clear(&access);
    assert_string_equal(access_bearer("bearer  KEY"), "KEY");
    assert_string_equal(access_bearer("BEARER KEY"), "KEY");
    assert_null(access_bearer("Basic KEY"));
    assert_null(access_bearer("BearerKEY"));
    assert_null(access_bearer(NULL));
}

/* ---- clients that send no more, and clients that are gone ---------------------------------------
 */

static int64_t jobs_ended(Rig *rig, const char *how)
{
    StrBuf text = {0};
    char key[64];
    metrics_print(rig->service.metrics, &text);
    snprintf(key, sizeof key, "jobs_total{end=\"%s\"} ", how);
    const char *at = strstr(text.data, key);
    int64_t n = at ? atoll(at + strlen(key)) : -1;
    strbuf_clear(&text);
    return n;
}

static void pretended_worker(Work work, DType type, Worker *out)
{
    (void)type;
    *out = (Worker){.version = "cuBLASLt 13.1.0"};
    if (work != WORK_PRODUCTS)
        *out = (Worker){.why = "no \"libcudnn\""};
}

static void metrics_name_the_libraries(void **state)
{
    (void)state;
    const Backend backend = {.worker = pretended_worker};
    Metrics *metrics = metrics_new();
    StrBuf text = {0};
    metrics_print(metrics, &text);
    assert_null(strstr(text.data, "made_by"));
    metrics_device(metrics, &backend, DTYPE_BF16);
    strbuf_reset(&text);
    metrics_print(metrics, &text);
    assert_non_null(strstr(text.data, "cambium_made_by_info{work=\"products\","
                                      "by=\"cuBLASLt 13.1.0\"} 1\n"));
    assert_non_null(strstr(text.data, "cambium_made_by_info{work=\"attention\",by=\"own kernels "
                                      "(no \\\"libcudnn\\\")\"} 1\n"));
    strbuf_clear(&text);
    metrics_free(metrics);
}

#define TEXT "{\"prompt\":\"a\",\"max_tokens\":%d,\"ignore_eos\":true%s}"

static void put_text(int fd, const char *version, int tokens, const char *members)
{
    char body[128], request[256];
    snprintf(body, sizeof body, TEXT, tokens, members);
    snprintf(request, sizeof request,
             "POST /v1/completions %s\r\n" HERE "Content-Length: %zu\r\n\r\n%s", version,
             strlen(body), body);
    put(fd, request);
}

static void a_client_that_sends_no_more_is_answered(void **state)
{
    (void)state;
    static const StringList none;
    static const char *const versions[] = {"HTTP/1.1", "HTTP/1.0"};
    Rig rig;
    rig_start(&rig, "127.0.0.1", &none, &none);
    for (int streams = 0; streams < 2; streams++)
        for (int v = 0; v < 2; v++) {
            int fd = connect_to(&rig);
            put_text(fd, versions[v], 200, streams ? ",\"stream\":true" : "");
            shutdown(fd, SHUT_WR);
            char *answer = read_all(fd);
            const char *final = strncmp(answer, "HTTP/1.1 100", 12) == 0 ? answer + 25 : answer;
            if (v == 1)
                assert_ptr_equal(final, answer); /* it does not know interim answers */
            assert_int_equal(status_of(final), 200);
            assert_non_null(strstr(final, streams ? "data: [DONE]" : "\"completion_tokens\":200"));
            free(answer);
        }
    assert_int_equal(jobs_ended(&rig, "cancelled"), 0);
    rig_end(&rig);
}

static void a_client_that_is_gone_is_not_written_for(void **state)
{
    (void)state;
    static const StringList none;
    Rig rig;
    rig_start(&rig, "127.0.0.1", &none, &none);
    for (int streams = 0; streams < 2; streams++) {
        int fd = connect_to(&rig);
        put_text(fd, "HTTP/1.1", 2900, streams ? ",\"n\":2,\"stream\":true" : ",\"n\":2");
        while (http_busy(rig.http) == 0)
            usleep(1000);
        close(fd);
        while (jobs_ended(&rig, "cancelled") != 2 * (streams + 1)) {
            assert_int_equal(jobs_ended(&rig, "length"), 0);
            usleep(1000);
        }
    }
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_that_mean_two_things_are_refused),
        cmocka_unit_test(only_its_own_names_are_answered),
        cmocka_unit_test(pages_of_allowed_origins_ask_first),
        cmocka_unit_test(what_is_no_name_or_origin_is_refused),
        cmocka_unit_test(metrics_name_the_libraries),
        cmocka_unit_test(a_client_that_sends_no_more_is_answered),
        cmocka_unit_test(a_client_that_is_gone_is_not_written_for),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
