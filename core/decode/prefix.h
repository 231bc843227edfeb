/* The merge weights of sequences at the boundaries of their pages, kept on the host: what a
 * sequence starts with that takes over another's pages. Only rules whose weights move (bayes) need
 * them. */
#ifndef CAMBIUM_CORE_DECODE_PREFIX_H
#define CAMBIUM_CORE_DECODE_PREFIX_H

#include <stdint.h>

typedef struct PrefixWeights PrefixWeights;

PrefixWeights *prefix_weights_new(int64_t n_sequences, int64_t max_positions, int64_t page_size,
                                  int64_t n_experts);
void prefix_weights_free(PrefixWeights *prefix);

/* A sequence's weights (n_experts) once its token at `position` was seen: kept when the position
 * begins a page. */
void prefix_weights_keep(PrefixWeights *prefix, int64_t sequence, int64_t position,
                         const float *weights);
/* Sequence `to` has the pages of `from` before `position`, a boundary; returns the weights
 * (n_experts, borrowed) once the token there was seen, too. */
const float *prefix_weights_share(PrefixWeights *prefix, int64_t to, int64_t from,
                                  int64_t position);

#endif
