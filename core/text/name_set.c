#include "core/text/name_set.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

void name_set_add(NameSet *set, const char *text, int64_t bytes, int32_t id)
{
    if (bytes == 0)
        return;
    set->names = mem_grow(set->names, &set->capacity, set->count + 1, sizeof *set->names);
    set->names[set->count++] = (Name){set->text.size, bytes, id};
    strbuf_append(&set->text, text, (size_t)bytes);
}

static const char *text_of(const NameSet *set, const Name *name)
{
    return set->text.data + name->at;
}

/* The slot of the name, or the free one where it belongs. */
static int32_t *probe(const NameSet *set, const char *text, int64_t bytes)
{
    for (uint64_t slot = hash_for_table(text, bytes);; slot++) {
        int32_t *index = &set->slots[slot & set->mask];
        if (*index < 0)
            return index;
        const Name *name = &set->names[*index];
        if (name->bytes == bytes && memcmp(text_of(set, name), text, (size_t)bytes) == 0)
            return index;
    }
}

static void mark_start(NameSet *set, const Name *name)
{
    const uint8_t *text = (const uint8_t *)text_of(set, name);
    int low = name->bytes > 1 ? text[1] : 0, high = name->bytes > 1 ? text[1] : 255;
    for (int second = low; second <= high; second++) {
        int pair = text[0] << 8 | second;
        set->starts[pair / 64] |= UINT64_C(1) << pair % 64;
    }
}

static int descending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x > y ? -1 : x < y;
}

static void list_lengths(NameSet *set)
{
    set->lengths = xcalloc((size_t)set->count + 1, sizeof *set->lengths);
    for (int64_t i = 0; i < set->count; i++)
        set->lengths[i] = set->names[i].bytes;
    qsort(set->lengths, (size_t)set->count, sizeof *set->lengths, descending);
    for (int64_t i = 0; i < set->count; i++)
        if (i == 0 || set->lengths[i] != set->lengths[i - 1])
            set->lengths[set->n_lengths++] = set->lengths[i];
}

void name_set_finish(NameSet *set)
{
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)set->count)
        slots *= 2;
    set->mask = slots - 1;
    set->slots = xmalloc(slots * sizeof *set->slots);
    memset(set->slots, 0xFF, slots * sizeof *set->slots);
    for (int64_t i = 0; i < set->count; i++) {
        int32_t *slot = probe(set, text_of(set, &set->names[i]), set->names[i].bytes);
        if (*slot < 0)
            *slot = (int32_t)i;
        mark_start(set, &set->names[i]);
    }
    list_lengths(set);
}

void name_set_clear(NameSet *set)
{
    strbuf_clear(&set->text);
    free(set->names);
    free(set->slots);
    free(set->lengths);
    *set = (NameSet){0};
}

const Name *name_set_find(const NameSet *set, const char *text, int64_t bytes, int64_t limit)
{
    bool started = name_set_starts(set, text, bytes);
    for (int64_t i = 0; i < set->n_lengths && started; i++) {
        int64_t length = set->lengths[i];
        if (length > bytes || length > limit)
            continue;
        int32_t found = *probe(set, text, length);
        if (found >= 0)
            return &set->names[found];
    }
    return NULL;
}
