/* Streaming clients for `tests/bench/serve`: CLIENTS connections that ask, read the events of the
 * answer, and ask again, for SECONDS. One thread, so that the server keeps the cores.
 *
 *   serve_load PORT CLIENTS SECONDS PROMPT_WORDS MAX_TOKENS
 *
 * Prints tokens, seconds, requests, errors, and percentiles of the time to the first event. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TAIL = 16, CLIENTS_MAX = 4096, FIRSTS_MAX = 1 << 20 };

typedef struct Client {
    int fd; /* -1: between two requests */
    double asked;
    bool began;
    char tail[TAIL + 1]; /* the last bytes: [DONE] ends a good answer */
} Client;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double firsts[FIRSTS_MAX];
static long n_firsts, n_requests, n_errors;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void ask(Client *c, int port, int words, int max_tokens)
{
    static char body[1 << 16], request[(1 << 16) + 256];
    int at = snprintf(body, sizeof body, "{\"prompt\":\"%ld", n_requests);
    for (int i = 0; i < words && at < (int)sizeof body - 256; i++)
        at += snprintf(body + at, sizeof body - (size_t)at, " word");
    snprintf(body + at, sizeof body - (size_t)at,
             "\",\"max_tokens\":%d,\"ignore_eos\":true,\"seed\":%ld,\"stream\":true}", max_tokens,
             n_requests);
    int bytes = snprintf(request, sizeof request,
                         "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(body), body);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *c = (Client){.fd = socket(AF_INET, SOCK_STREAM, 0), .asked = now()};
    n_requests++;
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        write(c->fd, request, (size_t)bytes) != bytes) {
        n_errors++;
        close(c->fd);
        c->fd = -1;
        return;
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

/* Keeps the last bytes of what came. */
static void remember(Client *c, const char *data, size_t bytes)
{
    char joined[2 * TAIL + 1];
    size_t old = strlen(c->tail), add = bytes < TAIL ? bytes : TAIL;
    memcpy(joined, c->tail, old);
    memcpy(joined + old, data + bytes - add, add);
    joined[old + add] = '\0';
    size_t all = old + add, keep = all < TAIL ? all : TAIL;
    memmove(c->tail, joined + all - keep, keep + 1);
}

/* Reads what there is; the tokens of an answer count when it is whole. */
static void take(Client *c, int max_tokens, long *tokens)
{
    static char data[1 << 16];
    ssize_t n = read(c->fd, data, sizeof data);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        if (strstr(c->tail, "[DONE]"))
            *tokens += max_tokens;
        else
            n_errors++;
        close(c->fd);
        c->fd = -1;
        return;
    }
    if (!c->began && memmem(data, (size_t)n, "data: ", 6)) {
        c->began = true;
        if (n_firsts < FIRSTS_MAX)
            firsts[n_firsts++] = now() - c->asked;
    }
    for (ssize_t i = 0; i < n; i++) /* the chunks' frames end lines, too */
        if (data[i] == '\0')
            data[i] = ' ';
    remember(c, data, (size_t)n);
}

static double percentile(double share)
{
    return n_firsts ? firsts[(long)(share * (double)(n_firsts - 1))] : 0.0;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: serve_load PORT CLIENTS SECONDS PROMPT_WORDS MAX_TOKENS\n");
        return 2;
    }
    int port = atoi(argv[1]), n = atoi(argv[2]), words = atoi(argv[4]), max_tokens = atoi(argv[5]);
    double started = now(), until = started + atof(argv[3]);
    static Client clients[CLIENTS_MAX];
    static struct pollfd polls[CLIENTS_MAX];
    long tokens = 0;
    n = n < CLIENTS_MAX ? n : CLIENTS_MAX;
    for (int i = 0; i < n; i++)
        clients[i].fd = -1;
    for (bool busy = true; busy;) {
        busy = false;
        bool asks = now() < until;
        for (int i = 0; i < n; i++) {
            if (clients[i].fd < 0 && asks)
                ask(&clients[i], port, words, max_tokens);
            polls[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
            busy |= clients[i].fd >= 0 || asks;
        }
        if (busy && poll(polls, (nfds_t)n, 1000) < 0)
            return 1;
        for (int i = 0; i < n; i++)
            if (clients[i].fd >= 0 && polls[i].revents)
                take(&clients[i], max_tokens, &tokens);
    }
    double seconds = now() - started;
    qsort(firsts, (size_t)n_firsts, sizeof *firsts, by_value);
    printf("tokens %ld\nseconds %.2f\nrate %.1f\nrequests %ld\nerrors %ld\nfirst_p50 %.4f\n"
           "first_p99 %.4f\nfirst_max %.4f\n",
           tokens, seconds, (double)tokens / seconds, n_requests, n_errors, percentile(0.5),
           percentile(0.99), percentile(1.0));
    return 0;
}
