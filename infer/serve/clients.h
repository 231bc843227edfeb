/* The open connections, by socket: who is too slow, and who went away while no one reads or writes
 * the socket (an answer is being made). Thread-safe. */
#ifndef CAMBIUM_INFER_SERVE_CLIENTS_H
#define CAMBIUM_INFER_SERVE_CLIENTS_H

#include "infer/serve/exchange.h"

typedef struct Clients Clients;

/* `read_seconds`: for a request to come in whole, and between requests; `answer_seconds`: for its
 * answer to be made and read. */
Status clients_new(Clients **out, double read_seconds, double answer_seconds, Err *err);
void clients_free(Clients *clients);

void clients_opened(Clients *clients, int fd);
void clients_closed(Clients *clients, int fd); /* before the socket is closed */

/* A whole request came in; until the answer has gone out the exchange is told when the client goes.
 */
void clients_asked(Clients *clients, int fd, Exchange *exchange);
void clients_answered(Clients *clients, int fd);

/* Between the two, while nothing is written to the socket. A client may have said that it will send
 * no more, as one does that has only this request, or may be gone: both look the same until
 * something is sent. Where `probe`, an interim answer (100) is, which a client that is gone resets
 * the connection for, and any other skips. */
void clients_wait(Clients *clients, int fd, bool probe);
void clients_go_on(Clients *clients, int fd);

void clients_drop(Clients *clients, int fd); /* ends the connection */

int64_t clients_busy(Clients *clients);
/* Waits at most `milliseconds` for clients that go away, and drops those whose time is up. */
void clients_watch(Clients *clients, int milliseconds);

#endif
