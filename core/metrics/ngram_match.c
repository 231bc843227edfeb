#include "core/metrics/ngram_match.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/metrics/trie.h"

int64_t ngram_total(int64_t count, int n)
{
    return count >= n ? count - n + 1 : 0;
}

typedef struct NgramCounts {
    Trie trie;
    int32_t *most; /* (nodes): in the reference that has it most often */
    int32_t *now;  /* (nodes): in the reference being counted */
} NgramCounts;

static void count_reference(NgramCounts *counts, const Symbols *ref, int max_order)
{
    memset(counts->now, 0, (size_t)counts->trie.count * sizeof *counts->now);
    for (int64_t begin = 0; begin < ref->count; begin++) {
        int32_t node = TRIE_ROOT;
        for (int n = 0; n < max_order && begin + n < ref->count; n++) {
            node = trie_step(&counts->trie, node, ref->items[begin + n]);
            if (++counts->now[node] > counts->most[node])
                counts->most[node] = counts->now[node];
        }
    }
}

void ngram_match(const Symbols *hyp, const Symbols *refs, int n_refs, int max_order,
                 int64_t *matches)
{
    int64_t symbols = hyp->count;
    for (int r = 0; r < n_refs; r++)
        symbols += refs[r].count;
    NgramCounts counts;
    int64_t steps = symbols * max_order;
    trie_init(&counts.trie, steps);
    counts.most = xcalloc((size_t)steps + 1, sizeof *counts.most);
    counts.now = xcalloc((size_t)steps + 1, sizeof *counts.now);
    for (int r = 0; r < n_refs; r++)
        count_reference(&counts, &refs[r], max_order);

    memset(matches, 0, (size_t)max_order * sizeof *matches);
    for (int64_t begin = 0; begin < hyp->count; begin++) {
        int32_t node = TRIE_ROOT;
        for (int n = 0; n < max_order && begin + n < hyp->count; n++) {
            node = trie_step(&counts.trie, node, hyp->items[begin + n]);
            if (counts.most[node] > 0) { /* each use takes one away: this is the clipping */
                counts.most[node]--;
                matches[n]++;
            }
        }
    }
    trie_clear(&counts.trie);
    free(counts.most);
    free(counts.now);
}
