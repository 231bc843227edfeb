#include "core/base/log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* SIGUSR1 is how batch systems say that time is running out, and what mpirun hands on at once. */
static const int stop_signals[] = {SIGINT, SIGTERM, SIGUSR1};
enum { STOP_SIGNALS = sizeof stop_signals / sizeof *stop_signals };

void stop_install(void)
{
    for (int i = 0; i < STOP_SIGNALS; i++)
        signal(stop_signals[i], on_signal);
    /* The terminal goes away. Whoever starts a program with nohup wants it to go on. */
    if (signal(SIGHUP, on_signal) == SIG_IGN)
        signal(SIGHUP, SIG_IGN);
}

void stop_uninstall(void)
{
    for (int i = 0; i < STOP_SIGNALS; i++)
        signal(stop_signals[i], SIG_DFL);
    if (signal(SIGHUP, SIG_DFL) == SIG_IGN)
        signal(SIGHUP, SIG_IGN);
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

/* Whether stderr is a terminal that can write over a line. */
static bool can_draw(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

/* Of the terminal, now: windows change their size. */
static int columns_of_terminal(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void progress_start(Progress *progress, const char *what, int64_t total)
{
    *progress = (Progress){.what = what,
                           .total = total,
                           .started = clock_seconds(),
                           .visible = log_level >= LOG_INFO && can_draw()};
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

/* Bytes of the longest beginning of the text that is at most so many characters. */
static size_t fitting(const char *text, int characters)
{
    size_t bytes = 0;
    for (; text[bytes]; bytes++)
        if (((unsigned char)text[bytes] & 0xC0) != 0x80 && characters-- == 0)
            break;
    return bytes;
}

void progress_text(const Progress *progress, int64_t done, const char *note, double now,
                   int columns, StrBuf *out)
{
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
    /* A line that is full to the last column wraps on some terminals. */
    StrBuf line = {0};
    strbuf_printf(&line, "%s %lld/%lld [%s] ETA %s%s%s", progress->what, (long long)done,
                  (long long)progress->total, bar, left, note ? "  " : "", note ? note : "");
    if (fitting(line.data, columns - 1) < (size_t)line.size) { /* the bar is what tells least */
        strbuf_reset(&line);
        strbuf_printf(&line, "%s %lld/%lld ETA %s%s%s", progress->what, (long long)done,
                      (long long)progress->total, left, note ? "  " : "", note ? note : "");
    }
    strbuf_append(out, line.data, fitting(line.data, columns - 1));
    strbuf_clear(&line);
}

void progress_update(Progress *progress, int64_t done, const char *note)
{
    double now = clock_seconds();
    if (!progress->visible || (now - progress->drawn < 0.1 && done < progress->total))
        return;
    progress->drawn = now;
    StrBuf line = {0};
    progress_text(progress, done, note, now, columns_of_terminal(), &line);
    fprintf(stderr, "\r\033[K%s", line.data);
    fflush(stderr);
    strbuf_clear(&line);
    bar_drawn = true;
}

void progress_end(Progress *progress)
{
    if (progress->visible && atomic_exchange(&bar_drawn, false))
        fputs("\r\033[K", stderr);
    progress->visible = false;
}
