/* One or more experts over one vocabulary, and the rule that combines their logits (design section
 * 8). Decoding, evaluation and serving take an Ensemble; a single model is one of one expert. */
#ifndef CAMBIUM_CORE_MODEL_ENSEMBLE_H
#define CAMBIUM_CORE_MODEL_ENSEMBLE_H

#include "core/model/model.h"

typedef enum MergeRule {
    MERGE_MEAN = 0,     /* mean of logits: the paper */
    MERGE_WEIGHTED = 1, /* fixed weights on logits */
    MERGE_BAYES = 2,    /* weights on probabilities, updated by every token seen */
    MERGE_ADAPTER = 3,  /* weights on probabilities from a small trained map */
} MergeRule;

/* The adapter: features of a position are, for each expert in turn, its `top` largest
 * log-probabilities, falling; hidden = gelu(W1 f + b1), weights = softmax(W2 hidden + b2). */
typedef struct MergeAdapter {
    int64_t top, hidden;
    float *w1, *b1; /* (hidden, E * top), (hidden): host memory, owned */
    float *w2, *b2; /* (E, hidden), (E) */
} MergeAdapter;

typedef struct Ensemble {
    int64_t n_experts;
    Model **experts; /* owned; several may read one table, which the first of them owns */
    char **names;    /* where each came from; owned */
    MergeRule rule;
    float *weights; /* (n_experts): MERGE_WEIGHTED, and bayes' prior; owned */
    float forget;   /* bayes: a in w = (1 - a) w' + a / E; 0.01 */
    MergeAdapter adapter;
} Ensemble;

void ensemble_free(Ensemble *ensemble);
/* The first expert that reads the same table. */
int64_t ensemble_table_owner(const Ensemble *ensemble, int64_t expert);
/* Positions that all experts were trained on. */
int64_t ensemble_context(const Ensemble *ensemble);
const char *merge_rule_name(MergeRule rule);
Status merge_rule_parse(const char *name, MergeRule *out, Err *err);

#endif
