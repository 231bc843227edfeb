/* Edit distance of many orders of the same words to one reference, within a band around the
 * diagonal of the table, as TER needs it (Tercom's beam; the band is sacrebleu's). Rows of the
 * table that one order shares with another are computed once. */
#ifndef CAMBIUM_CORE_METRICS_EDIT_DISTANCE_H
#define CAMBIUM_CORE_METRICS_EDIT_DISTANCE_H

#include "core/metrics/symbols.h"

typedef struct EditDistance EditDistance;

/* Which word of the hypothesis belongs to each word of the reference, and what is wrong. */
typedef struct Alignment {
    int64_t *of_ref; /* (reference): the word there, or the last one before it; -1: none */
    bool *ref_wrong; /* (reference) */
    bool *hyp_wrong; /* (hypothesis) */
} Alignment;

/* Keeps a pointer to `ref`; all hypotheses will have `hyp_count` words. */
EditDistance *edit_distance_new(const Symbols *ref, int64_t hyp_count);
void edit_distance_free(EditDistance *distance);

/* The least number of insertions, deletions and substitutions; `*out` is borrowed until the next
 * call of this function. */
int64_t edit_distance_align(EditDistance *distance, const Symbols *hyp, const Alignment **out);

/* The number alone. Fast where `hyp` begins and ends like the text of the last edit_distance_align.
 */
int64_t edit_distance_try(EditDistance *distance, const Symbols *hyp);

#endif
