/* Messages for people, on stderr, and the wish to stop. Thread-safe. */
#ifndef CAMBIUM_CORE_BASE_LOG_H
#define CAMBIUM_CORE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"

typedef enum LogLevel { LOG_QUIET, LOG_WARN, LOG_INFO, LOG_DEBUG } LogLevel;

void log_set_level(LogLevel level); /* LOG_INFO at start */
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

double clock_seconds(void); /* monotonic */

/* SIGINT, SIGTERM, SIGUSR1 and SIGHUP (unless it is ignored: nohup) set a flag that long loops
 * poll; a second signal ends the process at once. */
void stop_install(void);
void stop_uninstall(void); /* signals end the process again: while a chat waits for a line */
bool stop_requested(void);
void stop_request(void);
void stop_reset(void); /* forgets the wish */

/* A bar with rate and time left. Drawn on stderr, only when that is a terminal that can (TERM is
 * not dumb) and the level allows it, at most ten times a second, on one line however narrow that
 * is. One at a time per process. */
typedef struct Progress {
    const char *what; /* "step", "page"; borrowed until the end */
    int64_t total;
    int64_t first; /* done before the start: set it after progress_start when going on */
    double started;
    double drawn;
    bool visible;
} Progress;

void progress_start(Progress *progress, const char *what, int64_t total);
/* `note` is a short text after the bar ("loss 3.21, 7012 tokens/s"), or NULL. */
void progress_update(Progress *progress, int64_t done, const char *note);
void progress_end(Progress *progress); /* clears the line */
/* Appends what the line says at the time `now`, in fewer than `columns` characters. */
void progress_text(const Progress *progress, int64_t done, const char *note, double now,
                   int columns, StrBuf *out);

#endif
