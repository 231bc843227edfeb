/* Who may ask: by which names the server is known, and which pages' requests are answered. A
 * browser sends requests of any page to any server, and a page can let its own name lead to this
 * machine: both would make a server without a key work for whoever its user looks at. */
#ifndef CAMBIUM_INFER_SERVE_ACCESS_H
#define CAMBIUM_INFER_SERVE_ACCESS_H

#include "core/base/file.h"

typedef struct Access {
    StringList hosts;   /* names of the server */
    StringList origins; /* of pages, as browsers write them; "*": all */
    bool any_host;
} Access;

/* `host`: what the server listens on; `hosts` and `origins`: what the user allows beside it. Fails
 * on what is no name ("*" is one) and no origin. */
Status access_init(Access *access, const char *host, const StringList *hosts,
                   const StringList *origins, Err *err);
void access_clear(Access *access);

/* Whether a Host header names this server: localhost and its addresses, the address that the
 * connection reached (`local`, as text; or NULL), the machine's name, --host and what is allowed.
 */
bool access_knows_host(const Access *access, const char *host, const char *local);

/* What to answer a page of this origin with as Access-Control-Allow-Origin, or NULL. */
const char *access_allows(const Access *access, const char *origin);

/* Whether a page of this origin is the server's own, by the name that the request used. */
bool access_own_page(const char *origin, const char *host);

/* The key of an Authorization header of the Bearer scheme, or NULL. */
const char *access_bearer(const char *authorization);

#endif
