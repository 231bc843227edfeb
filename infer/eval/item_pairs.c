#include "infer/eval/item_pairs.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

static ItemPairs pairs_for(int64_t most)
{
    ItemPairs pairs = {0};
    for (int f = 0; f < 2; f++)
        pairs.items[f] = xcalloc((size_t)most, sizeof **pairs.items);
    return pairs;
}

static void add_pair(ItemPairs *pairs, const ItemScore *a, const ItemScore *b)
{
    pairs->items[0][pairs->n] = a;
    pairs->items[1][pairs->n++] = b;
}

ItemPairs item_pairs_new(const ItemScores files[2])
{
    ItemPairs pairs = pairs_for(files[0].count < files[1].count ? files[0].count : files[1].count);
    int64_t at[2] = {0, 0};
    while (at[0] < files[0].count && at[1] < files[1].count) {
        const ItemScore *a = &files[0].items[at[0]], *b = &files[1].items[at[1]];
        int order = item_score_order(a, b);
        if (order == 0)
            add_pair(&pairs, a, b);
        at[0] += order <= 0;
        at[1] += order >= 0;
    }
    for (int f = 0; f < 2; f++)
        pairs.alone[f] = files[f].count - pairs.n;
    return pairs;
}

void item_pairs_clear(ItemPairs *pairs)
{
    free(pairs->items[0]);
    free(pairs->items[1]);
    *pairs = (ItemPairs){0};
}

static ItemPart part_of(const ItemPairs *pairs, int64_t i)
{
    const ItemScore *a = pairs->items[0][i], *b = pairs->items[1][i];
    return (ItemPart){.task = a->task,
                      .category = a->category ? a->category : b->category,
                      .group = a->group ? a->group : b->group};
}

static bool fits(const char *wanted, const char *text)
{
    return !wanted || (text && strcmp(wanted, text) == 0);
}

ItemPairs item_pairs_of(const ItemPairs *all, const ItemPart *part)
{
    ItemPairs pairs = pairs_for(all->n);
    for (int64_t i = 0; i < all->n; i++) {
        ItemPart own = part_of(all, i);
        if (fits(part->task, own.task) && fits(part->category, own.category) &&
            fits(part->group, own.group))
            add_pair(&pairs, all->items[0][i], all->items[1][i]);
    }
    return pairs;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool item_parts_share_category(const ItemPart *a, const ItemPart *b)
{
    return same_text(a->task, b->task) && same_text(a->category, b->category);
}

ItemParts item_parts_new(const ItemPairs *pairs)
{
    ItemParts parts = {0};
    for (int64_t i = 0; i < pairs->n; i++) {
        ItemPart own = part_of(pairs, i);
        /* From the end: neighbours are mostly of one group. */
        int64_t at = parts.count - 1;
        while (at >= 0 && !(item_parts_share_category(&parts.items[at], &own) &&
                            same_text(parts.items[at].group, own.group)))
            at--;
        if (at >= 0)
            continue;
        parts.items = mem_grow(parts.items, &parts.capacity, parts.count + 1, sizeof *parts.items);
        parts.items[parts.count++] = own;
    }
    return parts;
}
