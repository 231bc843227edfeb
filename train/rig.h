/* A model of random values with all that training steps need, on random tokens: what measurements
 * of speed run, those of `cambium bench` and those behind --dry-run. */
#ifndef CAMBIUM_TRAIN_RIG_H
#define CAMBIUM_TRAIN_RIG_H

#include "core/base/rng.h"
#include "train/backward.h"
#include "train/optimizer.h"

typedef struct RigSetup {
    const Device *device; /* backend and queue must outlive the rig */
    const ModelConfig *config;
    DType compute;
    TrainSet trained;
    int64_t rows, context; /* of a micro-batch */
} RigSetup;

typedef struct Rig {
    RigSetup setup;
    Model *model;
    Grads *grads;
    Pass *pass;
    Optimizer *optimizer;
    int32_t *ids, *targets; /* (rows, context) */
    int64_t *windows;       /* (rows): 0, 1, ... */
    Rng rng;
    double pass_seconds, optimizer_seconds; /* of the last step */
} Rig;

Status rig_init(Rig *rig, const RigSetup *setup, Err *err);
void rig_clear(Rig *rig);

/* One optimizer step on one micro-batch; `prefix` may be NULL. */
Status rig_step(Rig *rig, const PrefixCache *prefix, Err *err);
/* The losses of one micro-batch without gradients; sets pass_seconds. */
Status rig_evaluate(Rig *rig, Err *err);

#endif
