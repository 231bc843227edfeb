/* Learning rates over the steps of a run. */
#ifndef CAMBIUM_TRAIN_SCHEDULE_H
#define CAMBIUM_TRAIN_SCHEDULE_H

#include <stdint.h>

#include "core/base/err.h"

/* More steps, or tokens, than a run can have: counts up to this do not overflow. */
#define SCHEDULE_MAX INT64_C(1000000000000000)

typedef enum ScheduleKind {
    SCHEDULE_COSINE = 0,
    SCHEDULE_LINEAR = 1,
    SCHEDULE_CONSTANT = 2,
    SCHEDULE_WSD = 3, /* warm-up, stable, decay: linear over the last `decay` of the steps */
} ScheduleKind;

typedef struct Schedule {
    ScheduleKind kind;
    double lr;      /* the highest */
    double floor;   /* the last, as a share of `lr` (not for constant) */
    double decay;   /* SCHEDULE_WSD: share of the steps that the fall takes */
    int64_t warmup; /* steps of linear rise from zero */
    int64_t steps;
} Schedule;

Schedule schedule_default(void); /* cosine to a tenth; lr, warmup and steps are 0 */
Status schedule_check(const Schedule *schedule, Err *err);
double schedule_lr(const Schedule *schedule, int64_t step); /* steps count from 0 */

const char *schedule_name(ScheduleKind kind);
Status schedule_parse(const char *name, ScheduleKind *out, Err *err);

#endif
