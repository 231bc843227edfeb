#include "core/tensor/stopwatch.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/* The next lap, with its events; NULL when the device gives none. */
static StopwatchLap *next_lap(Stopwatch *w)
{
    const Backend *ops = w->device.ops;
    w->laps = mem_grow(w->laps, &w->capacity, w->count + 1, sizeof *w->laps);
    StopwatchLap *lap = &w->laps[w->count];
    if (w->count < w->made)
        return lap;
    Err lost;
    *lap = (StopwatchLap){0};
    if (ops->timer_new(&lap->begin, &lost) != STATUS_OK)
        return NULL;
    if (ops->timer_new(&lap->end, &lost) != STATUS_OK) {
        ops->event_free(lap->begin);
        return NULL;
    }
    w->made++;
    return lap;
}

void stopwatch_begin(Stopwatch *w, int kind)
{
    w->started = clock_seconds();
    if (!w->device.ops->timer_new)
        return;
    StopwatchLap *lap = next_lap(w);
    if (!lap)
        return;
    lap->kind = kind;
    w->device.ops->event_record(w->device.queue, lap->begin);
}

void stopwatch_end(Stopwatch *w, int kind)
{
    if (!w->device.ops->timer_new)
        w->seconds[kind] += clock_seconds() - w->started;
    else if (w->count < w->made)
        w->device.ops->event_record(w->device.queue, w->laps[w->count++].end);
}

void stopwatch_read(Stopwatch *w)
{
    for (int64_t i = 0; i < w->count; i++)
        w->seconds[w->laps[i].kind] +=
            w->device.ops->timer_seconds(w->laps[i].begin, w->laps[i].end);
    w->count = 0;
}

void stopwatch_clear(Stopwatch *w)
{
    for (int64_t i = 0; i < w->made; i++) {
        w->device.ops->event_free(w->laps[i].begin);
        w->device.ops->event_free(w->laps[i].end);
    }
    free(w->laps);
    w->laps = NULL;
    w->count = w->capacity = w->made = 0;
}
