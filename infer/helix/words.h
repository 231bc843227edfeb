/* The head over ranks: each makes the logits of its words; rank 0 receives them. */
#ifndef CAMBIUM_INFER_HELIX_WORDS_H
#define CAMBIUM_INFER_HELIX_WORDS_H

#include "core/model/forward.h"
#include "infer/helix/rank.h"

enum { WORDS_ROWS = 32 }; /* rows whose logits are made at once */

typedef struct Words {
    Device device;
    Comm *world; /* borrowed */
    HelixGrid grid;
    Tensor logits;   /* (WORDS_ROWS * own words) float32 */
    Tensor gathered; /* rank 0: (WORDS_ROWS * V) float32 */
    Tensor lse;      /* (WORDS_ROWS) float32 */
    Tensor sums;     /* (WORDS_ROWS, 2) float32: log-sum-exp, log-probability of the target */
    Tensor all_sums; /* rank 0: (ranks, WORDS_ROWS, 2) */
} Words;

void words_plan(Words *words, const HelixRankSetup *setup, Arena *arena);

/* Collective. logits (count, V) float32 of y (count, C) on rank 0; absent on the others. */
Status words_logits(Words *words, const Model *model, const Tensor *y, const Tensor *logits,
                    Err *err);

/* Collective. logp[i] (host, rank 0) = log p(targets[i]) of y (n, C): each rank's log-sum-exp over
 * its words and, where it has the target, the target's logit give the whole. 0 where the target is
 * -1. */
Status words_logprobs(Words *words, const Model *model, const Tensor *y, const int32_t *targets,
                      float *logp, Err *err);

#endif
