/* What the HTTP library lets pass and a server must not: heads of requests that two programs on the
 * way could understand differently, and what this server does not do. */
#ifndef CAMBIUM_INFER_SERVE_HTTP_CHECK_H
#define CAMBIUM_INFER_SERVE_HTTP_CHECK_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

/* 0, or the status of the refusal, whose reason goes to *why. `limit`: bytes of a head at most. */
int http_check(struct MHD_Connection *connection, const char *url, const char *version,
               int64_t limit, const char **why);

/* MHD's unescape callback: %00 stays as it is, since it would cut the text off. */
size_t http_unescape(void *context, struct MHD_Connection *connection, char *text);

#endif
