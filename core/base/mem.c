#include "core/base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

void mem_start(void)
{
    /* Which would otherwise rise with every block freed. Below it blocks stay with the program:
     * products take and free some megabytes at every call. */
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

static void *not_null(void *pointer, size_t bytes)
{
    if (!pointer && bytes) {
        fprintf(stderr, "cambium: out of memory (asked for %zu bytes)\n", bytes);
        abort();
    }
    return pointer;
}

void *xmalloc(size_t bytes)
{
    return not_null(malloc(bytes ? bytes : 1), bytes);
}

void *xcalloc(size_t count, size_t bytes)
{
    return not_null(calloc(count ? count : 1, bytes ? bytes : 1), count);
}

void *xrealloc(void *old, size_t bytes)
{
    return not_null(realloc(old, bytes ? bytes : 1), bytes);
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t bytes)
{
    char *copy = xmalloc(bytes + 1);
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return copy;
}

char *xasprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        not_null(NULL, 1);
    return text;
}

/* The number behind a word of a file ("MemAvailable:"), or at its start; 0 when absent. */
static double number_in(const char *path, const char *word)
{
    char line[256];
    double value = 0.0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, word, strlen(word)) == 0) {
            value = strtod(line + strlen(word), NULL);
            break;
        }
    if (file)
        fclose(file);
    return value;
}

double mem_free_bytes(void)
{
    static const char stat[] = "/sys/fs/cgroup/memory.stat";
    double bytes = 1024.0 * number_in("/proc/meminfo", "MemAvailable:");
    double limit = number_in("/sys/fs/cgroup/memory.max", "");
    /* Cached pages of files count as used, and go when they are in the way. */
    double used = number_in("/sys/fs/cgroup/memory.current", "") - number_in(stat, "active_file ") -
                  number_in(stat, "inactive_file ");
    return limit > 0.0 && limit - used < bytes ? limit - used : bytes;
}

Status mem_try(void **out, size_t bytes, const char *what, Err *err)
{
    size_t rounded = (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    bool huge = rounded >= 2 * HUGE_PAGE;
    /* Not aligned_alloc: that wants a multiple of the alignment, up to 2 MiB wasted per tensor. */
    if (posix_memalign(out, huge ? HUGE_PAGE : MEM_ALIGN, rounded ? rounded : MEM_ALIGN) != 0)
        *out = NULL;
    /* Kernels that stream through large memory would wait for its page table otherwise. */
    if (*out && huge)
        madvise(*out, rounded / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish: may fail */
    if (!*out)
        return err_set(err,
                       "no memory for %s: %.1f MiB asked for; close other programs or choose a "
                       "smaller size",
                       what, (double)bytes / 1048576.0);
    return STATUS_OK;
}

void *mem_grow(void *items, int64_t *capacity, int64_t need, size_t item_bytes)
{
    if (need <= *capacity)
        return items;
    int64_t grown = *capacity + *capacity / 2;
    if (grown < need)
        grown = need;
    if (grown < 16)
        grown = 16;
    CHECK((uint64_t)grown <= SIZE_MAX / item_bytes, "array of %lld items", (long long)grown);
    *capacity = grown;
    return xrealloc(items, (size_t)grown * item_bytes);
}

void arena_init(Arena *arena, void *base, size_t capacity)
{
    *arena = (Arena){.base = base, .used = 0, .capacity = capacity};
}

void *arena_take(Arena *arena, size_t bytes)
{
    size_t at = (arena->used + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    arena->used = at + bytes;
    if (!arena->base)
        return NULL;
    CHECK(arena->used <= arena->capacity, "arena of %zu bytes, %zu needed", arena->capacity,
          arena->used);
    return arena->base + at;
}
