/* What training will read, before it reads it. */
#ifndef CAMBIUM_TRAIN_REHEARSE_H
#define CAMBIUM_TRAIN_REHEARSE_H

#include "train/run.h"

typedef struct Rehearsal {
    const char *name; /* for warnings: "stage 2" */
    const RunData *data;
    bool from_start;
    int64_t steps;
    bool quiet; /* warn of nothing */
} Rehearsal;

/* What follows from it. */
typedef struct Rehearsed {
    int64_t windows; /* different ones that are read, at the most */
    bool repeats;    /* a window may be read twice */
} Rehearsed;

/* Fails when the packs are of another tokenizer or too short, as the trainer would; goes through
 * the reading without reading (mixtures to about a row) and takes `reading` to its end. Warns where
 * tokens repeat while others are never read. */
Status run_rehearse(const Run *run, const Rehearsal *what, Reading *reading, Rehearsed *out,
                    Err *err);

#endif
