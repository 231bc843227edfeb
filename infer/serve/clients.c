#include "infer/serve/clients.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

typedef struct Client {
    bool open;
    uint32_t serial; /* tells connections apart that had the same socket */
    double deadline;
    Exchange *exchange; /* while it is asked; not owned */
    bool waits, probe;  /* see clients_wait */
    bool silent;        /* sends no more */
} Client;

struct Clients {
    pthread_mutex_t lock;
    double read_seconds, answer_seconds;
    int epoll;
    Client *by_fd;
    int64_t count; /* entries of by_fd */
    int64_t busy;
    uint32_t serial;
    double swept;
};

Status clients_new(Clients **out, double read_seconds, double answer_seconds, Err *err)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return err_set(err, "cannot watch connections: %s", strerror(errno));
    Clients *c = xcalloc(1, sizeof *c);
    c->epoll = epoll;
    c->read_seconds = read_seconds;
    c->answer_seconds = answer_seconds;
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return STATUS_OK;
}

void clients_free(Clients *c)
{
    if (!c)
        return;
    close(c->epoll);
    pthread_mutex_destroy(&c->lock);
    free(c->by_fd);
    free(c);
}

void clients_opened(Clients *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    if (fd >= c->count) {
        int64_t count = fd < 64 ? 128 : 2 * (int64_t)fd;
        c->by_fd = xrealloc(c->by_fd, (size_t)count * sizeof *c->by_fd);
        memset(c->by_fd + c->count, 0, (size_t)(count - c->count) * sizeof *c->by_fd);
        c->count = count;
    }
    c->by_fd[fd] = (Client){
        .open = true, .serial = ++c->serial, .deadline = clock_seconds() + c->read_seconds};
    pthread_mutex_unlock(&c->lock);
}

void clients_closed(Clients *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    c->by_fd[fd].open = false;
    pthread_mutex_unlock(&c->lock);
}

void clients_asked(Clients *c, int fd, Exchange *exchange)
{
    pthread_mutex_lock(&c->lock);
    Client *client = &c->by_fd[fd];
    client->exchange = exchange;
    client->waits = client->silent = false;
    client->deadline = clock_seconds() + c->answer_seconds;
    c->busy++;
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT,
                                .data.u64 = (uint64_t)client->serial << 32 | (uint32_t)fd};
    epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event); /* where it fails, writing finds out */
    pthread_mutex_unlock(&c->lock);
}

void clients_answered(Clients *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    Client *client = &c->by_fd[fd];
    client->exchange = NULL;
    client->deadline = clock_seconds() + c->read_seconds;
    c->busy--;
    epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL);
    pthread_mutex_unlock(&c->lock);
}

/* With the lock held. A client that is gone answers by a reset, which the watch then sees. */
static void find_out(Client *client, int fd)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!client->silent || !client->waits || !client->probe)
        return;
    client->probe = false;
    /* Where the buffer is full (it is empty) or the socket is broken, the watch says so. */
    ssize_t sent = send(fd, interim, strlen(interim), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
}

void clients_wait(Clients *c, int fd, bool probe)
{
    pthread_mutex_lock(&c->lock);
    c->by_fd[fd].waits = true;
    c->by_fd[fd].probe = probe;
    find_out(&c->by_fd[fd], fd);
    pthread_mutex_unlock(&c->lock);
}

void clients_go_on(Clients *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    c->by_fd[fd].waits = false;
    pthread_mutex_unlock(&c->lock);
}

/* With the lock held: its end of sending is known; from now on only a broken connection is news. */
static void falls_silent(const Clients *c, Client *client, int fd)
{
    struct epoll_event event = {.events = EPOLLONESHOT,
                                .data.u64 = (uint64_t)client->serial << 32 | (uint32_t)fd};
    epoll_ctl(c->epoll, EPOLL_CTL_MOD, fd, &event);
    client->silent = true;
    find_out(client, fd);
}

/* With the lock held: MHD finds the socket ended and closes it. */
static void end_connection(const Clients *c, int fd)
{
    if (c->by_fd[fd].open)
        shutdown(fd, SHUT_RDWR);
}

void clients_drop(Clients *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    end_connection(c, fd);
    pthread_mutex_unlock(&c->lock);
}

int64_t clients_busy(Clients *c)
{
    pthread_mutex_lock(&c->lock);
    int64_t busy = c->busy;
    pthread_mutex_unlock(&c->lock);
    return busy;
}

static void drop_late(Clients *c)
{
    double now = clock_seconds();
    if (now - c->swept < 0.5)
        return;
    c->swept = now;
    for (int64_t fd = 0; fd < c->count; fd++) {
        Client *client = &c->by_fd[fd];
        if (!client->open || now < client->deadline)
            continue;
        if (client->exchange)
            exchange_cancel(client->exchange);
        end_connection(c, (int)fd);
        client->deadline = now + c->read_seconds;
    }
}

void clients_watch(Clients *c, int milliseconds)
{
    enum { EVENTS = 64 };
    struct epoll_event events[EVENTS];
    int n = epoll_wait(c->epoll, events, EVENTS, milliseconds);
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < n; i++) {
        uint32_t fd = (uint32_t)events[i].data.u64;
        Client *client = &c->by_fd[fd];
        if (!client->open || !client->exchange || client->serial != events[i].data.u64 >> 32)
            continue;
        if (events[i].events & (EPOLLHUP | EPOLLERR))
            exchange_cancel(client->exchange);
        else
            falls_silent(c, client, (int)fd);
    }
    drop_late(c);
    pthread_mutex_unlock(&c->lock);
}
