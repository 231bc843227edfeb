#include "core/text/jinja/jinja_work.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { CHUNK = 1 << 16, ALIGN = 16 };

struct JinjaChunk {
    JinjaChunk *next;
    int64_t used, capacity;
    _Alignas(ALIGN) char data[];
};

void *jinja_take(JinjaWork *work, int64_t bytes)
{
    if (bytes < 0 || bytes > work->max_bytes - work->bytes)
        jinja_fail(work, "the template needs more than %lld MiB of memory",
                   (long long)(work->max_bytes >> 20));
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    JinjaChunk *chunk = work->chunks;
    if (!chunk || chunk->capacity - chunk->used < bytes) {
        int64_t capacity = bytes > CHUNK ? bytes : CHUNK;
        chunk = xcalloc(1, sizeof *chunk + (size_t)capacity);
        chunk->capacity = capacity;
        chunk->next = work->chunks;
        work->chunks = chunk;
    }
    void *taken = chunk->data + chunk->used;
    chunk->used += bytes;
    work->bytes += bytes;
    return taken;
}

char *jinja_keep(JinjaWork *work, const char *text, int64_t bytes)
{
    char *copy = jinja_take(work, bytes + 1);
    if (bytes > 0)
        memcpy(copy, text, (size_t)bytes);
    return copy;
}

void *jinja_grow(JinjaWork *work, void *items, int64_t count, int64_t *capacity, int64_t need,
                 int64_t item_bytes)
{
    if (need <= *capacity)
        return items;
    int64_t more = *capacity * 2 > need ? *capacity * 2 : need < 4 ? 4 : need;
    if (more > work->max_bytes / item_bytes)
        more = need;
    if (need > work->max_bytes / item_bytes)
        jinja_take(work, work->max_bytes + 1);
    void *grown = jinja_take(work, more * item_bytes);
    if (count > 0)
        memcpy(grown, items, (size_t)(count * item_bytes));
    *capacity = more;
    return grown;
}

void jinja_pool_free(JinjaChunk *chunks)
{
    while (chunks) {
        JinjaChunk *next = chunks->next;
        free(chunks);
        chunks = next;
    }
}

void jinja_charge(JinjaWork *work, int64_t steps)
{
    if (steps > work->max_steps - work->steps)
        jinja_fail(work, "the template takes more than %lld steps", (long long)work->max_steps);
    work->steps += steps;
}

void jinja_deeper(JinjaWork *work)
{
    if (++work->depth > work->max_depth)
        jinja_fail(work, "the template nests more than %d levels deep", work->max_depth);
}

void jinja_shallower(JinjaWork *work)
{
    work->depth--;
}

void jinja_fail(JinjaWork *work, const char *format, ...)
{
    char text[sizeof work->err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (work->line > 0)
        err_set(work->err, "line %d: %s", work->line, text);
    else
        err_set(work->err, "%s", text);
    longjmp(work->out, 1);
}
