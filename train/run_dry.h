/* What --dry-run tells of one stage. */
#ifndef CAMBIUM_TRAIN_RUN_DRY_H
#define CAMBIUM_TRAIN_RUN_DRY_H

#include "train/run.h"

typedef struct DryStage {
    const ModelConfig *config;
    const TrainSet *trained;
    const TrainConfig *train;
    const RunData *data;                /* or NULL: evaluations are left out */
    bool cached;                        /* a frozen prefix's output is kept */
    int64_t prefix_memory, prefix_file; /* bytes that it takes */
} DryStage;

/* Prints parameters, memory, compute, and the time, which is measured on small models. */
Status run_dry_stage(const Run *run, const DryStage *stage, FILE *out, Err *err);

/* The data of a run, where they are named; `data` is then `opened`, else NULL. */
Status run_dry_data(const StringList *list, RunData *opened, const RunData **data, Err *err);

#endif
