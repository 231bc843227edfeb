/* What the host does to one row of logits: biases, penalties and the mask of JSON before the draw,
 * and the most probable alternatives after it. */
#ifndef CAMBIUM_INFER_SERVE_LOGIT_RULES_H
#define CAMBIUM_INFER_SERVE_LOGIT_RULES_H

#include "infer/serve/job.h"

/* Whether the job's row must come to the host, and whether it goes back changed. */
bool logit_rules_read(const Job *job);
bool logit_rules_change(const Job *job);

/* The log-sum-exp of a row (V). */
float logit_rules_lse(const float *row, int64_t V);

/* top (n): the largest of log softmax(row), falling, ties by lower id; returns min(n, V). */
int64_t logit_rules_top(const float *row, int64_t V, float lse, TopToken *top, int64_t n);

/* Changes the row as the job wishes. Fails when no token is left. `marks` (V, zeroed) is scratch
 * and is zeroed again. */
Status logit_rules_apply(const Job *job, const JsonMask *mask, float *row, int64_t V,
                         uint8_t *marks, Err *err);

#endif
