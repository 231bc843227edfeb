#include "infer/eval/twins.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

static bool same_ids(const IdList *a, const IdList *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->items, b->items, (size_t)a->count * sizeof *a->items) == 0);
}

static bool same_prompts(const Prompt *a, const Prompt *b)
{
    bool same = a->n_texts == b->n_texts && a->greedy == b->greedy && a->cut == b->cut &&
                same_ids(&a->context, &b->context);
    for (int64_t t = 0; t < a->n_texts && same; t++)
        same = same_ids(&a->texts[t], &b->texts[t]);
    return same;
}

static uint64_t hash_ids(const IdList *ids)
{
    return hash_for_table(ids->items, ids->count * (int64_t)sizeof *ids->items);
}

static uint64_t hash_prompt(const Prompt *prompt)
{
    uint64_t parts[2] = {hash_ids(&prompt->context), 0};
    for (int64_t t = 0; t < prompt->n_texts; t++) {
        parts[1] = hash_ids(&prompt->texts[t]);
        parts[0] = hash_for_table(parts, sizeof parts);
    }
    return parts[0];
}

int64_t *prompt_twins(const Prompt *prompts, int64_t n)
{
    uint64_t mask = 16;
    while (mask < 2 * (uint64_t)n)
        mask *= 2;
    int64_t *twins = xcalloc((size_t)n + 1, sizeof *twins);
    int64_t *slots = xcalloc(mask--, sizeof *slots); /* 0: free, else a prompt's number + 1 */
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = hash_prompt(&prompts[i]) & mask;
        twins[i] = i;
        if (prompts[i].generate)
            continue;
        while (slots[at] && !same_prompts(&prompts[slots[at] - 1], &prompts[i]))
            at = (at + 1) & mask;
        if (slots[at])
            twins[i] = slots[at] - 1;
        else
            slots[at] = i + 1;
    }
    free(slots);
    return twins;
}

int64_t text_twin(const Prompt *prompt, int64_t text)
{
    int64_t first = 0;
    while (!same_ids(&prompt->texts[first], &prompt->texts[text]))
        first++;
    return first;
}
