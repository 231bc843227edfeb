/* Work that is enqueued again and again with the same arguments: where the device can record
 * (CUDA graphs), it is recorded once and then launched as a whole, which spares the host's time for
 * each of its hundreds of operations. Elsewhere it is simply enqueued every time. */
#ifndef CAMBIUM_CORE_TENSOR_REPLAY_H
#define CAMBIUM_CORE_TENSOR_REPLAY_H

#include "core/tensor/backend.h"

/* Starts as zeros. */
typedef struct Replay {
    Graph *graph;
    int64_t runs;
} Replay;

/* Enqueues operations; it must not wait, and what it does may depend only on things that never
 * change during the replay's life (what lies in device memory may change). */
typedef void ReplayWork(void *context);

/* Enqueues the work: the first time as it is (so that scratch and descriptors are made), the second
 * time recorded, from then on from the record. */
Status replay_run(Replay *replay, const Device *device, ReplayWork *work, void *context, Err *err);
void replay_clear(Replay *replay, const Device *device);

#endif
