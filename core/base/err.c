#include "core/base/err.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

static void set_text(Err *err, bool usage, const char *format, va_list args)
{
    if (!err)
        return;
    vsnprintf(err->text, sizeof err->text, format, args);
    make_printable(err->text);
    err->usage = usage;
}

Status err_set(Err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_text(err, false, format, args);
    va_end(args);
    return STATUS_FAIL;
}

Status err_usage(Err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_text(err, true, format, args);
    va_end(args);
    return STATUS_FAIL;
}

Status err_of_usage(Status status, Err *err)
{
    if (status == STATUS_FAIL && err)
        err->usage = true;
    return status;
}

Status err_wrap(Err *err, const char *format, ...)
{
    if (err) {
        char context[sizeof err->text];
        char joined[sizeof err->text * 2 + 2];
        va_list args;
        va_start(args, format);
        vsnprintf(context, sizeof context, format, args);
        va_end(args);
        snprintf(joined, sizeof joined, "%s: %s", context, err->text);
        memcpy(err->text, joined, sizeof err->text);
        err->text[sizeof err->text - 1] = '\0';
        make_printable(err->text);
    }
    return STATUS_FAIL;
}

_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format,
                            ...)
{
    fprintf(stderr, "cambium: internal error at %s:%d (%s): ", file, line, condition);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    void *frames[64];
    backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
    abort();
}
