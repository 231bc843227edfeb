/* The questions that two items files have in common, and the parts that they fall into. */
#ifndef CAMBIUM_INFER_EVAL_ITEM_PAIRS_H
#define CAMBIUM_INFER_EVAL_ITEM_PAIRS_H

#include <stdbool.h>

#include "infer/eval/item_scores.h"

/* In the order of task and id. */
typedef struct ItemPairs {
    const ItemScore **items[2]; /* (n): borrowed */
    int64_t n;
    int64_t alone[2]; /* questions that the other file lacks */
} ItemPairs;

ItemPairs item_pairs_new(const ItemScores files[2]);
void item_pairs_clear(ItemPairs *pairs);

/* Which pairs; NULL is any. Texts are borrowed from the items: the first file's, or the second's
 * where the first does not say. */
typedef struct ItemPart {
    const char *task, *category, *group;
} ItemPart;

ItemPairs item_pairs_of(const ItemPairs *all, const ItemPart *part);

/* Whether the parts are of one task and one category, or both of none. */
bool item_parts_share_category(const ItemPart *a, const ItemPart *b);

/* Every task, category and group that a pair has, as one part for each such triple, in the order of
 * the pairs. NULL in them: the pair has none. The caller frees `items`. */
typedef struct ItemParts {
    ItemPart *items;
    int64_t count, capacity;
} ItemParts;

ItemParts item_parts_new(const ItemPairs *pairs);

#endif
