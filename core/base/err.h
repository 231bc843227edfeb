/* Errors: a status code, one sentence for the user, and checks for broken invariants.
 *
 * A function that can fail for an outside reason (file, network, device, memory of a size the user
 * chose) returns Status and fills an Err with one sentence that names the thing, the place and the
 * remedy. Thread-safe: an Err belongs to its caller. */
#ifndef CAMBIUM_CORE_BASE_ERR_H
#define CAMBIUM_CORE_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

typedef enum Status {
    STATUS_OK = 0,
    STATUS_FAIL = 1,
    STATUS_STOPPED = 2, /* the user asked to stop (SIGINT, SIGTERM, ...); everything was saved */
} Status;

typedef struct Err {
    char text[1024];
    bool usage; /* what the user typed is wrong, whatever is in the files */
} Err;

/* Writes the sentence and returns STATUS_FAIL, so that `return err_set(err, ...)` reads well. It is
 * one line for a terminal: control characters (from damaged files, and names) become '?'. */
Status err_set(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for the values of options and arguments, and for what goes with what: the program ends
 * with another exit status. */
Status err_usage(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For a check of a value that came from the command line. Returns the status. */
Status err_of_usage(Status status, Err *err);

/* Puts "context: " before what is there, and returns STATUS_FAIL. */
Status err_wrap(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define TRY(expr)                                                                                  \
    do {                                                                                           \
        Status try_status_ = (expr);                                                               \
        if (try_status_ != STATUS_OK)                                                              \
            return try_status_;                                                                    \
    } while (0)

/* For functions with clean-up: wants a variable `Status status` and a label `done` in scope. */
#define TRY_GOTO(expr)                                                                             \
    do {                                                                                           \
        status = (expr);                                                                           \
        if (status != STATUS_OK)                                                                   \
            goto done;                                                                             \
    } while (0)

/* A broken invariant is a bug of ours: say where, print a backtrace, abort. */
__attribute__((noreturn)) void check_failed(const char *file, int line, const char *condition,
                                            const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                             \
    } while (0)

#ifdef NDEBUG
#define DCHECK(condition, ...) ((void)0)
#else
#define DCHECK(condition, ...) CHECK(condition, __VA_ARGS__)
#endif

#endif
