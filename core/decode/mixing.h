/* The merge rules on the host: how expert weights follow from what was seen (design section 8). */
#ifndef CAMBIUM_CORE_DECODE_MIXING_H
#define CAMBIUM_CORE_DECODE_MIXING_H

#include "core/model/ensemble.h"

/* Writes the weights of a sequence that has seen nothing: (n_experts). */
void mixing_start(const Ensemble *ensemble, float *weights);

/* log p of a token from each expert's log p, under weights on probabilities:
 * log sum_e w_e exp(logp_e). */
double mixing_logprob(int64_t n_experts, const float *weights, const float *logp);

/* After a token is seen: bayes moves the weights by p_e(token) and forgets a little; the other
 * rules leave them alone. `logp` (n_experts): each expert's log-probability of the token. */
void mixing_observe(const Ensemble *ensemble, float *weights, const float *logp);

/* MERGE_ADAPTER: weights (n_experts) from features (n_experts * top), each expert's largest
 * log-probabilities, falling. */
void mixing_adapter(const Ensemble *ensemble, const float *features, float *weights);

/* True when the rule mixes probabilities (bayes, adapter), false when it mixes logits. */
bool mixing_on_probabilities(MergeRule rule);

#endif
