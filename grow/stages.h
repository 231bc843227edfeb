/* The stages of a job: what each trains, reads and keeps, known before any of it happens. */
#ifndef CAMBIUM_GROW_STAGES_H
#define CAMBIUM_GROW_STAGES_H

#include "grow/driver.h"
#include "train/rehearse.h"

Status stage_schedule(const GrowJob *job, const GrowStage *stage, int64_t row, Schedule *out,
                      Err *err);
/* What trains in a stage of a model that has grown to `config`. */
Status stage_trained(const GrowStage *stage, const ModelConfig *config, TrainSet *out, Err *err);
const StringList *stage_data(const GrowJob *job, const GrowStage *stage);

/* The model before the first stage that is left, with its blocks if it is a new one. */
Status stages_first_config(const GrowJob *job, const Run *run, ModelConfig *out, Err *err);

/* A stage, as it will be. */
typedef struct StageView {
    int64_t number; /* from 0 */
    const GrowStage *stage;
    ModelConfig config;
    TrainSet trained;
    Schedule schedule;
    RunData data; /* empty in a dry run without data */
    const Reading *before, *after;
    PrefixPlace prefix; /* where its frozen prefix is kept; PREFIX_OFF also when nothing repeats */
    int64_t prefix_windows, prefix_bytes;
} StageView;

typedef Status StageVisit(void *context, const StageView *view, Err *err);

/* Shows every stage from `first` on; fails with what would stop one of them: data, tokenizers,
 * rates, shapes, room for the cached prefix. `restored`: the first one is in its middle. Warns
 * (unless it goes on with a checkpoint) where tokens are repeated and others never read. */
Status stages_walk(const GrowJob *job, const Run *run, int64_t first, bool restored,
                   StageVisit *visit, void *context, Err *err);

/* Whether `bytes` of a cached prefix have room beside `planned` bytes of training. `free_bytes`:
 * what the memory or the disk has; 0: not known. */
Status stage_prefix_fits(PrefixPlace place, int64_t bytes, double planned, double free_bytes,
                         Err *err);

#endif
