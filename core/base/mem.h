/* Small allocations that abort when memory is gone, and arenas that are planned before they are
 * filled. Memory whose size the user chose goes through tensors or mem_try, which return Status.
 * Thread-safe, except that an Arena belongs to one thread at a time. */
#ifndef CAMBIUM_CORE_BASE_MEM_H
#define CAMBIUM_CORE_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum { MEM_ALIGN = 64 }; /* a cache line, and the widest vector register */

/* Once, before anything is allocated: large blocks come from the system and go back to it when they
 * are freed, so that a run of several stages never holds more than the largest of them needs. */
void mem_start(void);

void *xmalloc(size_t bytes);
void *xcalloc(size_t count, size_t bytes); /* zeroed; checks the product */
void *xrealloc(void *old, size_t bytes);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t bytes);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* MEM_ALIGN-aligned memory of a size the user chose; not zeroed. Released by free(). `what` names
 * the thing in the error. */
Status mem_try(void **out, size_t bytes, const char *what, Err *err);

/* Bytes that the system can still give this process, within the limit of its container; 0 when that
 * is not known. */
double mem_free_bytes(void);

/* Grows an array geometrically: returns `items` with room for at least `need` of `item_bytes`. */
void *mem_grow(void *items, int64_t *capacity, int64_t need, size_t item_bytes);

/* A bump allocator used twice by the same code: in measure mode (`base` NULL) it only adds up, in
 * place mode it hands out MEM_ALIGN-aligned pieces of one block. */
typedef struct Arena {
    uint8_t *base; /* NULL: measure mode */
    size_t used;
    size_t capacity; /* place mode */
} Arena;

void arena_init(Arena *arena, void *base, size_t capacity);
/* In measure mode returns NULL; in place mode aborts when the plan was too small (a bug). */
void *arena_take(Arena *arena, size_t bytes);

#endif
