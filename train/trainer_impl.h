/* The insides of a trainer, shared by its files alone. */
#ifndef CAMBIUM_TRAIN_TRAINER_IMPL_H
#define CAMBIUM_TRAIN_TRAINER_IMPL_H

#include "core/base/log.h"
#include "core/comm/comm.h"
#include "train/buckets.h"
#include "train/trainer.h"

/* What one rank has of its own. Ranks that are threads share the weights: their Model is a copy of
 * the first one's with a queue of its own, and the first rank alone runs the optimizer. A rank that
 * is a process has its own of everything: all make the same step of the same numbers. */
typedef struct TrainRank {
    int number;  /* among all ranks */
    Model model; /* a shallow copy; owns its queue unless it is the first */
    Grads *grads;
    Pass *pass;
    Loader *loader;
    BucketSum sum;
    int32_t *tokens; /* (batch / ranks, T + 1) */
    int64_t *windows;
    int32_t *ids, *targets, *bytes; /* (micro_batch, T) */
} TrainRank;

struct Trainer {
    TrainerSetup setup;
    LoaderSource sources[LOADER_MAX_SOURCES];
    int64_t micro_batch;
    TrainPlan plan;
    TrainRank *ranks; /* (train_own_ranks) */
    Optimizer *optimizer;
    int64_t steps_before; /* of the growth, before this stage */
    Reading began;        /* what was read when the stage began */
    bool *prefix_known;  /* (loader_windows) came before in this stage; NULL without setup.prefix */
    int64_t prefix_hits; /* tokens of the step whose windows all came before */
    TrainerStatus status;
    double started;
    double lr, grad_norm; /* of the last step */
    Progress bar;
    double pace_time; /* since when tokens_per_second counts */
    int64_t pace_tokens;
    int64_t saved_step; /* of the last checkpoint; -1: none yet */
    bool stopped;
};

/* Loss and bits per byte on the validation splits; a metrics line; status.eval_*. */
Status trainer_evaluate(Trainer *trainer, Err *err);

/* A metrics line that says what was read of each source. */
void trainer_write_reading(const Trainer *trainer);

/* Notes windows of rows that are computed at once; whether all of them came before. */
bool trainer_know_windows(Trainer *trainer, const int64_t *windows, int64_t rows);

/* A metrics line with the members that all lines have. The caller adds its own and writes it. */
json_t *trainer_line(const Trainer *trainer, const char *event);

#endif
