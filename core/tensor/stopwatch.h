/* How long parts of a queue's work take: by the device's events where work runs beside the host,
 * by the host's clock where it is done when its call returns. Belongs to one thread. */
#ifndef CAMBIUM_CORE_TENSOR_STOPWATCH_H
#define CAMBIUM_CORE_TENSOR_STOPWATCH_H

#include "core/tensor/backend.h"

enum { STOPWATCH_KINDS = 4 };

typedef struct StopwatchLap {
    int kind;
    Event *begin, *end; /* made when they are first needed, and kept */
} StopwatchLap;

/* Starts as zeros but for the device. */
typedef struct Stopwatch {
    Device device;
    double seconds[STOPWATCH_KINDS]; /* added to; of a device's work by stopwatch_read */
    double started;
    StopwatchLap *laps;
    int64_t count, capacity, made;
} Stopwatch;

/* What is enqueued between the two counts for `kind`. Laps do not nest. Where a device has no event
 * left the lap is not measured. */
void stopwatch_begin(Stopwatch *watch, int kind);
void stopwatch_end(Stopwatch *watch, int kind);

/* Adds up the laps since the last call. The queue has been waited for. */
void stopwatch_read(Stopwatch *watch);
void stopwatch_clear(Stopwatch *watch);

#endif
