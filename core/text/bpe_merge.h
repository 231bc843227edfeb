/* Byte-pair merging: which pairs of tokens join, in which order, and the joining itself.
 *
 * A PairTable is read-only once filled and may be shared; a BpeWork belongs to one thread. */
#ifndef CAMBIUM_CORE_TEXT_BPE_MERGE_H
#define CAMBIUM_CORE_TEXT_BPE_MERGE_H

#include <stdbool.h>
#include <stdint.h>

enum { BPE_SMALL = 64 }; /* symbols up to which scanning beats a heap */

/* The longest run of symbols merged at once; positions are 32-bit and memory stays bounded. */
#define BPE_LONGEST (INT64_C(1) << 24)
#define BPE_NO_RANK UINT32_MAX

typedef struct Pair {
    uint64_t key;  /* left id << 32 | right id */
    uint32_t rank; /* merged in ascending order; BPE_NO_RANK: a free slot */
    int32_t result;
} Pair;

typedef struct PairTable {
    Pair *slots; /* open addressing */
    uint64_t mask;
    uint64_t count;
    uint32_t ranks; /* all ranks are below */
} PairTable;

void pair_table_init(PairTable *table, int64_t expected);
void pair_table_clear(PairTable *table);

/* Returns false, and changes nothing, when the pair is there already. */
bool pair_table_add(PairTable *table, int32_t left, int32_t right, uint32_t rank, int32_t result);

/* NULL when the two do not join. */
const Pair *pair_table_find(const PairTable *table, int32_t left, int32_t right);

/* Scratch memory that grows as needed. All zero is a good start. */
typedef struct BpeWork {
    int32_t *next; /* the living symbols as a doubly linked list */
    int32_t *previous;
    uint32_t *ranks; /* of the pair that begins at each symbol */
    int32_t *later;  /* pairs of one rank, from left to right, as a doubly linked list */
    int32_t *earlier;
    int32_t *tails; /* (ranks) the last pair of each such list, -1: empty */
    uint64_t *heap; /* rank << 32 | position */
    int64_t heap_count;
    int64_t capacity, tails_capacity, heap_capacity;
} BpeWork;

void bpe_work_clear(BpeWork *work);

/* Joins pairs in `symbols` until none is left: always the lowest rank, leftmost among equals.
 * Returns the new count; `count` is at most BPE_LONGEST. Linear where pairs of one rank turn up
 * from left to right, as they do in repetitive text; O(count log count) at worst. */
int64_t bpe_merge(const PairTable *table, BpeWork *work, int32_t *symbols, int64_t count);

#endif
