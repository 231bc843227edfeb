/* How many n-grams two texts share: the counting under BLEU and chrF. */
#ifndef CAMBIUM_CORE_METRICS_NGRAM_MATCH_H
#define CAMBIUM_CORE_METRICS_NGRAM_MATCH_H

#include "core/metrics/symbols.h"

/* matches[n - 1], n = 1 to max_order: n-grams of `hyp` that a reference has too, each counted at
 * most as often as the reference that has it most often (clipped counts; Papineni et al., 2002). */
void ngram_match(const Symbols *hyp, const Symbols *refs, int n_refs, int max_order,
                 int64_t *matches);

/* How many n-grams a text of `count` symbols has. */
int64_t ngram_total(int64_t count, int n);

#endif
