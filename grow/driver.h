/* The growth driver: the stages of a plan, one after the other, in one run folder. */
#ifndef CAMBIUM_GROW_DRIVER_H
#define CAMBIUM_GROW_DRIVER_H

#include "grow/plan.h"
#include "train/model_options.h"
#include "train/run.h"

/* Where the frozen prefix's output is kept for windows that come again. */
typedef enum PrefixPlace { PREFIX_OFF, PREFIX_RAM, PREFIX_DISK } PrefixPlace;

typedef struct GrowJob {
    const RunSettings *settings;
    json_t *options;            /* of the verb; see run_open; grow_run and grow_dry_run take it */
    const ModelSettings *model; /* of a new model */
    const GrowPlan *plan;
    PrefixPlace cache_prefix;
    bool keep_stages; /* every stage's model is also kept as FOLDER/stageN.h5 */
} GrowJob;

/* Runs all stages, or those that are left when the run is resumed. STATUS_STOPPED: saved. */
Status grow_run(const GrowJob *job, Err *err);

/* Prints each stage's blocks, parameters, memory and compute, and trains nothing. */
Status grow_dry_run(const GrowJob *job, Err *err);

#endif
