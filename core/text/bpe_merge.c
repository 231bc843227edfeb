#include "core/text/bpe_merge.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/mem.h"

static uint64_t pair_hash(uint64_t key)
{
    key *= UINT64_C(0x9E3779B97F4A7C15);
    return key ^ key >> 32;
}

void pair_table_init(PairTable *table, int64_t expected)
{
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)expected)
        slots *= 2;
    *table = (PairTable){.mask = slots - 1, .slots = xmalloc(slots * sizeof(Pair))};
    for (uint64_t i = 0; i < slots; i++)
        table->slots[i] = (Pair){.rank = BPE_NO_RANK};
}

void pair_table_clear(PairTable *table)
{
    free(table->slots);
    *table = (PairTable){0};
}

static Pair *probe(const PairTable *table, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t slot = pair_hash(key) & table->mask;
    while (table->slots[slot].rank != BPE_NO_RANK && table->slots[slot].key != key)
        slot = (slot + 1) & table->mask;
    return &table->slots[slot];
}

bool pair_table_add(PairTable *table, int32_t left, int32_t right, uint32_t rank, int32_t result)
{
    DCHECK(2 * table->count <= table->mask + 1, "more pairs than expected");
    Pair *pair = probe(table, left, right);
    if (pair->rank != BPE_NO_RANK)
        return false;
    *pair = (Pair){(uint64_t)(uint32_t)left << 32 | (uint32_t)right, rank, result};
    table->count++;
    if (rank >= table->ranks)
        table->ranks = rank + 1;
    return true;
}

const Pair *pair_table_find(const PairTable *table, int32_t left, int32_t right)
{
    const Pair *pair = probe(table, left, right);
    return pair->rank == BPE_NO_RANK ? NULL : pair;
}

void bpe_work_clear(BpeWork *work)
{
    free(work->next);
    free(work->previous);
    free(work->ranks);
    free(work->later);
    free(work->earlier);
    free(work->tails);
    free(work->heap);
    *work = (BpeWork){0};
}

/* The rank of the pair (left, right); its result goes to *result. */
static uint32_t pair_rank(const PairTable *table, int32_t left, int32_t right, int32_t *result)
{
    const Pair *pair = probe(table, left, right);
    *result = pair->result;
    return pair->rank;
}

/* Rank and result of the pair (left, right) in one word. */
static uint64_t pair_outcome(const PairTable *table, int32_t left, int32_t right)
{
    const Pair *pair = probe(table, left, right);
    return (uint64_t)pair->rank << 32 | (uint32_t)pair->result;
}

static int64_t merge_small(const PairTable *table, int32_t *symbols, int64_t count)
{
    uint64_t outcomes[BPE_SMALL];
    for (int64_t i = 0; i + 1 < count; i++)
        outcomes[i] = pair_outcome(table, symbols[i], symbols[i + 1]);
    while (count > 1) {
        uint32_t lowest = BPE_NO_RANK;
        int64_t best = 0;
        for (int64_t i = 0; i + 1 < count; i++) {
            uint32_t rank = (uint32_t)(outcomes[i] >> 32);
            best = rank < lowest ? i : best;
            lowest = rank < lowest ? rank : lowest;
        }
        if (lowest == BPE_NO_RANK)
            break;
        symbols[best] = (int32_t)(uint32_t)outcomes[best];
        int64_t after = best + 1;
        count--;
        for (int64_t i = after; i < count; i++) {
            symbols[i] = symbols[i + 1];
            outcomes[i - 1] = outcomes[i];
        }
        if (best > 0)
            outcomes[best - 1] = pair_outcome(table, symbols[best - 1], symbols[best]);
        if (after < count)
            outcomes[best] = pair_outcome(table, symbols[best], symbols[after]);
    }
    return count;
}

/* A heap of four children per node: half the levels, and the four lie in one cache line. */
static void heap_sift_down(uint64_t *heap, int64_t count, int64_t at)
{
    uint64_t key = heap[at];
    for (;;) {
        int64_t child = 4 * at + 1;
        if (child >= count)
            break;
        int64_t end = child + 4 < count ? child + 4 : count, least = child;
        for (int64_t i = child + 1; i < end; i++)
            if (heap[i] < heap[least])
                least = i;
        if (heap[least] >= key)
            break;
        heap[at] = heap[least];
        at = least;
    }
    heap[at] = key;
}

static void heap_push(BpeWork *work, uint64_t key)
{
    work->heap =
        mem_grow(work->heap, &work->heap_capacity, work->heap_count + 1, sizeof *work->heap);
    int64_t at = work->heap_count++;
    while (at > 0 && work->heap[(at - 1) / 4] > key) {
        work->heap[at] = work->heap[(at - 1) / 4];
        at = (at - 1) / 4;
    }
    work->heap[at] = key;
}

static uint64_t heap_pop(BpeWork *work)
{
    uint64_t key = work->heap[0];
    work->heap[0] = work->heap[--work->heap_count];
    if (work->heap_count > 0)
        heap_sift_down(work->heap, work->heap_count, 0);
    return key;
}

enum { UNLISTED = -2 };

static void work_reserve(BpeWork *work, int64_t count, int64_t ranks)
{
    if (count > work->capacity) {
        work->capacity = 2 * count;
        size_t bytes = (size_t)work->capacity * sizeof(int32_t);
        work->next = xrealloc(work->next, bytes);
        work->previous = xrealloc(work->previous, bytes);
        work->ranks = xrealloc(work->ranks, bytes);
        work->later = xrealloc(work->later, bytes);
        work->earlier = xrealloc(work->earlier, bytes);
    }
    if (ranks > work->tails_capacity) {
        /* Each run leaves all lists empty, so this is set once. */
        work->tails = xrealloc(work->tails, (size_t)ranks * sizeof *work->tails);
        memset(work->tails, 0xFF, (size_t)ranks * sizeof *work->tails);
        work->tails_capacity = ranks;
    }
    work->heap_count = 0;
}

/* Looks the pair at `at` up and queues it: at the end of its rank's list when it lies right of all
 * others there, which costs no heap operation unless the list was empty; else by itself. */
static void add_pair(const PairTable *table, BpeWork *work, const int32_t *symbols, int32_t at)
{
    int32_t after = work->next[at], result;
    uint32_t rank =
        after < 0 ? BPE_NO_RANK : pair_rank(table, symbols[at], symbols[after], &result);
    work->ranks[at] = rank;
    work->earlier[at] = UNLISTED;
    if (rank == BPE_NO_RANK)
        return;
    int32_t tail = work->tails[rank];
    if (tail < at) {
        work->earlier[at] = tail;
        work->later[at] = -1;
        work->tails[rank] = at;
        if (tail >= 0) {
            work->later[tail] = at;
            return;
        }
    }
    heap_push(work, (uint64_t)rank << 32 | (uint32_t)at);
}

/* Forgets the pair at `at`. What the heap still holds of it is stale, and skipped later; when it
 * was the first of its list, the next one takes its place in the heap. */
static void remove_pair(BpeWork *work, int32_t at)
{
    uint32_t rank = work->ranks[at];
    work->ranks[at] = BPE_NO_RANK;
    if (work->earlier[at] == UNLISTED)
        return;
    int32_t earlier = work->earlier[at], later = work->later[at];
    work->earlier[at] = UNLISTED;
    if (earlier >= 0)
        work->later[earlier] = later;
    else if (later >= 0)
        heap_push(work, (uint64_t)rank << 32 | (uint32_t)later);
    if (later >= 0)
        work->earlier[later] = earlier;
    else
        work->tails[rank] = earlier;
}

static int64_t merge_large(const PairTable *table, BpeWork *work, int32_t *symbols, int64_t count)
{
    work_reserve(work, count, table->ranks);
    for (int32_t i = 0; i < count; i++) {
        work->previous[i] = i - 1;
        work->next[i] = i + 1 < count ? i + 1 : -1;
        add_pair(table, work, symbols, i);
    }
    while (work->heap_count > 0) {
        uint64_t key = heap_pop(work);
        int32_t at = (int32_t)(uint32_t)key;
        if (work->ranks[at] != (uint32_t)(key >> 32))
            continue;
        int32_t before = work->previous[at], after = work->next[at], beyond = work->next[after];
        remove_pair(work, at);
        remove_pair(work, after);
        symbols[at] = pair_table_find(table, symbols[at], symbols[after])->result;
        work->next[at] = beyond;
        if (beyond >= 0)
            work->previous[beyond] = at;
        add_pair(table, work, symbols, at);
        if (before >= 0) {
            remove_pair(work, before);
            add_pair(table, work, symbols, before);
        }
    }
    int64_t kept = 0;
    for (int32_t i = 0; i >= 0; i = work->next[i])
        symbols[kept++] = symbols[i];
    return kept;
}

int64_t bpe_merge(const PairTable *table, BpeWork *work, int32_t *symbols, int64_t count)
{
    DCHECK(count <= BPE_LONGEST, "too many symbols");
    if (count < 2 || table->count == 0)
        return count;
    return count <= BPE_SMALL ? merge_small(table, symbols, count)
                              : merge_large(table, work, symbols, count);
}
