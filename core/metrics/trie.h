/* Numbers for sequences: each different sequence of symbols is one node, and equal sequences are
 * the same node. So the node of a word's code points is the word's id, and the node of n words is
 * the id of an n-gram: exact, without a copy of the text and without collisions. */
#ifndef CAMBIUM_CORE_METRICS_TRIE_H
#define CAMBIUM_CORE_METRICS_TRIE_H

#include <stdint.h>

typedef struct Trie {
    uint64_t *keys; /* parent node and symbol; open addressing, at most half full */
    int32_t *nodes; /* 0: free */
    uint64_t mask;
    int32_t count; /* nodes, the root included */
} Trie;

enum { TRIE_ROOT = 0 };

/* Room for `steps` calls of trie_step in all. */
void trie_init(Trie *trie, int64_t steps);
void trie_clear(Trie *trie);

/* The node of the sequence of `node` with `symbol` behind it. */
int32_t trie_step(Trie *trie, int32_t node, uint32_t symbol);

#endif
