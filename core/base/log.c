#include "core/base/log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic LogLevel log_level = LOG_INFO;
static atomic_bool bar_drawn; /* a progress bar stands on the last line */
/* Set by a signal that any thread may get: atomic, and without locks as a handler must be. */
static atomic_int stop_flag;
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "signal handlers store to it");

void log_set_level(LogLevel level)
{
    log_level = level;
}

static void log_line(LogLevel level, const char *prefix, const char *format, va_list args)
{
    if (level > log_level)
        return;
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    bool over_bar = atomic_exchange(&bar_drawn, false);
    fprintf(stderr, "%s%s%s\n", over_bar ? "\r\033[K" : "", prefix, text);
}

void log_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line(LOG_WARN, "cambium: warning: ", format, args);
    va_end(args);
}

void log_info(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line(LOG_INFO, "", format, args);
    va_end(args);
}

void log_debug(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line(LOG_DEBUG, "debug: ", format, args);
    va_end(args);
}

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void on_signal(int number)
{
    stop_flag = 1;
    signal(number, SIG_DFL); /* the second one is for real */
}

void stop_install(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

void stop_uninstall(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

bool stop_requested(void)
{
    return stop_flag != 0;
}

void stop_request(void)
{
    stop_flag = 1;
}

void stop_reset(void)
{
    stop_flag = 0;
}

void progress_start(Progress *progress, const char *what, int64_t total)
{
    *progress = (Progress){.what = what,
                           .total = total,
                           .started = clock_seconds(),
                           .visible = log_level >= LOG_INFO && isatty(STDERR_FILENO)};
}

static void format_seconds(char *text, size_t size, double seconds)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, size, "%lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60),
                 (long long)(s % 60));
    else
        snprintf(text, size, "%lld:%02lld", (long long)(s / 60), (long long)(s % 60));
}

void progress_update(Progress *progress, int64_t done, const char *note)
{
    double now = clock_seconds();
    if (!progress->visible || (now - progress->drawn < 0.1 && done < progress->total))
        return;
    progress->drawn = now;
    enum { BAR = 24 };
    char bar[BAR + 1];
    double share = progress->total > 0 ? (double)done / (double)progress->total : 0.0;
    share = share > 1.0 ? 1.0 : share;
    for (int i = 0; i < BAR; i++)
        bar[i] = (double)i < share * BAR ? '#' : '.';
    bar[BAR] = '\0';
    char left[32] = "-";
    if (done > progress->first)
        format_seconds(left, sizeof left,
                       (now - progress->started) * (double)(progress->total - done) /
                           (double)(done - progress->first));
    fprintf(stderr, "\r\033[K%s %lld/%lld [%s] ETA %s%s%s", progress->what, (long long)done,
            (long long)progress->total, bar, left, note ? "  " : "", note ? note : "");
    fflush(stderr);
    bar_drawn = true;
}

void progress_end(Progress *progress)
{
    if (progress->visible && atomic_exchange(&bar_drawn, false))
        fputs("\r\033[K", stderr);
    progress->visible = false;
}
