#include "core/text/token_index.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

/* The slot that holds these bytes, or the free one where they belong. */
static uint64_t probe(const TokenIndex *index, const TokenizerSpec *spec, const char *text,
                      int64_t bytes)
{
    uint64_t slot = hash_for_table(text, bytes) & index->mask;
    for (;; slot = (slot + 1) & index->mask) {
        int32_t id = index->slots[slot];
        if (id < 0)
            return slot;
        int64_t start = spec->offsets[id];
        if (spec->offsets[id + 1] - start == bytes &&
            memcmp(spec->text + start, text, (size_t)bytes) == 0)
            return slot;
    }
}

static int preference(uint8_t type)
{
    static const uint8_t order[] = {[TOKEN_TEXT] = 0,
                                    [TOKEN_ADDED] = 1,
                                    [TOKEN_SPECIAL] = 2,
                                    [TOKEN_BYTE] = 3,
                                    [TOKEN_UNUSED] = 4};
    return order[type];
}

void token_index_init(TokenIndex *index, const TokenizerSpec *spec)
{
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)spec->n_tokens)
        slots *= 2;
    index->mask = slots - 1;
    index->slots = xmalloc(slots * sizeof *index->slots);
    memset(index->slots, 0xFF, slots * sizeof *index->slots);
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        int64_t start = spec->offsets[id], bytes = spec->offsets[id + 1] - start;
        if (bytes == 0)
            continue;
        int32_t *slot = &index->slots[probe(index, spec, spec->text + start, bytes)];
        if (*slot < 0 || preference(spec->types[id]) < preference(spec->types[*slot]))
            *slot = (int32_t)id;
    }
}

void token_index_clear(TokenIndex *index)
{
    free(index->slots);
    *index = (TokenIndex){0};
}

int32_t token_index_find(const TokenIndex *index, const TokenizerSpec *spec, const char *text,
                         int64_t bytes)
{
    return bytes > 0 ? index->slots[probe(index, spec, text, bytes)] : -1;
}
