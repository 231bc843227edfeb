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

void clients_drop(Clients *clients, int fd); /* ends the connection */

int64_t clients_busy(Clients *clients);
/* Waits at most `milliseconds` for clients that go away, and drops those whose time is up. */
void clients_watch(Clients *clients, int milliseconds);

#endif
