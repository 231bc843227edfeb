#include "train/schedule.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {"cosine", "linear", "constant", "wsd"};
enum { N_KINDS = sizeof names / sizeof *names };

Schedule schedule_default(void)
{
    return (Schedule){.kind = SCHEDULE_COSINE, .floor = 0.1, .decay = 0.2};
}

Status schedule_check(const Schedule *s, Err *err)
{
    if (s->steps < 1)
        return err_set(err, "a run of %lld steps trains nothing; give it more --tokens",
                       (long long)s->steps);
    if (!(s->lr > 0.0 && s->lr < 1e3))
        return err_set(err, "the learning rate %g is not between 0 and 1000", s->lr);
    if (!(s->floor >= 0.0 && s->floor <= 1.0))
        return err_set(err,
                       "the last learning rate, as a share of the highest, is %g; it must be "
                       "from 0 to 1",
                       s->floor);
    if (!(s->decay > 0.0 && s->decay <= 1.0))
        return err_set(err,
                       "the share of steps that the learning rate falls is %g; it must be "
                       "above 0 and at most 1",
                       s->decay);
    if (s->warmup < 0 || s->warmup > s->steps)
        return err_set(err, "a warm-up of %lld steps in a run of %lld", (long long)s->warmup,
                       (long long)s->steps);
    return STATUS_OK;
}

/* How far the fall has gone, from 0 at the end of the warm-up (or of the plateau) to 1 at the last
 * step. */
static double progress(const Schedule *s, int64_t from, int64_t step)
{
    int64_t span = s->steps - 1 - from;
    if (step <= from)
        return 0.0;
    return span > 0 ? (double)(step - from) / (double)span : 1.0;
}

double schedule_lr(const Schedule *s, int64_t step)
{
    if (step < s->warmup)
        return s->lr * (double)(step + 1) / (double)s->warmup;
    double share = 1.0;
    if (s->kind == SCHEDULE_COSINE) {
        share = 0.5 * (1.0 + cos(3.141592653589793 * progress(s, s->warmup, step)));
    } else if (s->kind == SCHEDULE_LINEAR) {
        share = 1.0 - progress(s, s->warmup, step);
    } else if (s->kind == SCHEDULE_WSD) {
        int64_t fall = (int64_t)(s->decay * (double)s->steps);
        int64_t from = s->steps - fall > s->warmup ? s->steps - fall : s->warmup;
        share = 1.0 - progress(s, from, step);
    } else {
        return s->lr;
    }
    return s->lr * (s->floor + (1.0 - s->floor) * share);
}

const char *schedule_name(ScheduleKind kind)
{
    return names[kind];
}

Status schedule_parse(const char *name, ScheduleKind *out, Err *err)
{
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (ScheduleKind)i;
            return STATUS_OK;
        }
    return err_set(err, "no schedule '%s'; there are cosine, linear, constant and wsd", name);
}
