/* How long a run takes, measured before it starts. */
#ifndef CAMBIUM_TRAIN_TRAIN_TIME_H
#define CAMBIUM_TRAIN_TRAIN_TIME_H

#include "train/trainer.h"

/* Seconds. */
typedef struct TrainTime {
    double step;        /* an optimizer step */
    double cached_step; /* the same when the frozen prefix's output is known */
    double eval;        /* an evaluation, per token */
} TrainTime;

/* Times steps of small models with the run's own shapes and adds up: a model with its head and at
 * most one block, and what one more block of each kind costs (frozen below everything that trains;
 * trained; frozen, but passed by the gradient). Takes some seconds, and the memory of two heads and
 * three blocks. */
Status train_time(const Device *device, const ModelConfig *model, DType compute,
                  const TrainSet *trained, const TrainConfig *config, TrainTime *out, Err *err);

/* Of a run of `steps` steps, `cached_steps` of them with a known prefix, that evaluates
 * `eval_tokens` tokens at a time, `eval_every` steps apart (0: once at the end). */
double train_time_total(const TrainTime *time, int64_t steps, int64_t cached_steps,
                        int64_t eval_tokens, int64_t eval_every);

#endif
