/* What parsing and rendering a template stand on: memory that is freed at once, limits, and one way
 * out of an error.
 *
 * Errors leave by longjmp to whoever entered with jinja_enter: all memory is in the pool, so there
 * is nothing to undo on the way. No function that owns anything else may call into here. A
 * JinjaWork belongs to one thread. Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_WORK_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_WORK_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

typedef struct JinjaChunk JinjaChunk;

typedef struct JinjaWork {
    JinjaChunk *chunks; /* the pool, newest first */
    int64_t bytes, max_bytes;
    int64_t steps, max_steps;
    int depth, max_depth;
    int line; /* of the template, where the work is now */
    Err *err;
    jmp_buf out;
} JinjaWork;

/* Zeroed memory of the pool. Fails when there is too much of it. */
void *jinja_take(JinjaWork *work, int64_t bytes);
/* A copy, with a zero behind it. */
char *jinja_keep(JinjaWork *work, const char *text, int64_t bytes);
/* Room for `need` items of an array of the pool, grown geometrically. */
void *jinja_grow(JinjaWork *work, void *items, int64_t count, int64_t *capacity, int64_t need,
                 int64_t item_bytes);
void jinja_pool_free(JinjaChunk *chunks);

/* Counts `steps` of work. */
void jinja_charge(JinjaWork *work, int64_t steps);
/* Recursion, which is what the C stack holds. */
void jinja_deeper(JinjaWork *work);
void jinja_shallower(JinjaWork *work);

/* One sentence, which gets "line N: " before it. */
_Noreturn void jinja_fail(JinjaWork *work, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "length, %.*s" of a length that printf takes, for messages. */
#define JINJA_SHOWN(size) ((int)((size) < 80 ? (size) : 80))

#endif
