/* Names of tokens that are found whole in a text: at each place the longest. Read-only once filled,
 * so threads may share it. */
#ifndef CAMBIUM_CORE_TEXT_NAME_SET_H
#define CAMBIUM_CORE_TEXT_NAME_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"

typedef struct Name {
    int64_t at; /* in `text` */
    int64_t bytes;
    int32_t id;
} Name;

typedef struct NameSet {
    StrBuf text;
    Name *names;
    int64_t count, capacity;
    int64_t n_ordinary; /* that are no control tokens; the owner counts them */
    int32_t *slots;     /* names by their text, -1: free; made by name_set_finish */
    uint64_t mask;
    int64_t *lengths; /* the distinct lengths, descending */
    int64_t n_lengths;
    uint64_t starts[1024]; /* bit set: two bytes that some name begins with */
} NameSet;

void name_set_add(NameSet *set, const char *text, int64_t bytes, int32_t id);
/* Once, after the last was added. Of names with the same text the first counts. */
void name_set_finish(NameSet *set);
void name_set_clear(NameSet *set);

/* Whether some name begins with the first two bytes. */
static inline bool name_set_starts(const NameSet *set, const char *text, int64_t bytes)
{
    if (bytes < 2)
        return true;
    int pair = (uint8_t)text[0] << 8 | (uint8_t)text[1];
    return set->starts[pair / 64] >> pair % 64 & 1;
}

/* The longest name of at most `limit` bytes at `text`, of which `bytes` can be read; or NULL. */
const Name *name_set_find(const NameSet *set, const char *text, int64_t bytes, int64_t limit);

#endif
