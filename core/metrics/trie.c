#include "core/metrics/trie.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

void trie_init(Trie *trie, int64_t steps)
{
    CHECK(steps < INT32_MAX, "%lld sequences", (long long)steps);
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)steps)
        slots *= 2;
    *trie = (Trie){.keys = xcalloc(slots, sizeof *trie->keys),
                   .nodes = xcalloc(slots, sizeof *trie->nodes),
                   .mask = slots - 1,
                   .count = 1};
}

void trie_clear(Trie *trie)
{
    free(trie->keys);
    free(trie->nodes);
    *trie = (Trie){0};
}

int32_t trie_step(Trie *trie, int32_t node, uint32_t symbol)
{
    uint64_t key = (uint64_t)(uint32_t)node << 32 | symbol;
    uint64_t slot = hash_mix64(key) & trie->mask;
    for (; trie->nodes[slot] != 0; slot = (slot + 1) & trie->mask)
        if (trie->keys[slot] == key)
            return trie->nodes[slot];
    DCHECK((uint64_t)trie->count <= trie->mask / 2 + 1, "the trie is full");
    trie->keys[slot] = key;
    trie->nodes[slot] = trie->count;
    return trie->count++;
}
