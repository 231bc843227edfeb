/* Work that is enqueued again and again with the same arguments: where the device can record
 * (CUDA graphs), it is recorded once and then launched as a whole, which spares the host's time for
 * each of its hundreds of operations. Elsewhere it is simply enqueued every time.
 *
 * A record keeps, as they were when it was made: which operations there are and in which order,
 * their shapes, types, flags and numbers (a scale, a seed), all that the backend chose by them (the
 * kernels and their grids), and the address of every tensor. So, as long as a Replay lives,
 *
 *  - the work must be a function of things that stay: whatever may differ from run to run (rows,
 *    whether gradients are added, a factor) is either one Replay for each value, or is not replayed
 *    (dropout's seed), or lies in device memory;
 *  - the memory of its tensors must stay where it is: allocated before its first run, freed after
 *    replay_clear. That goes for weights, gradients, activations, KV pages and page tables alike. A
 *    buffer that has to grow needs a new Replay;
 *  - what lies in that memory may change: tokens, positions, page tables, limits, weights. It is
 *    written by work that is enqueued before replay_run, in order, on the same queue;
 *  - the host's memory must not be touched: no upload or download is recorded, for the host would
 *    have to leave the buffer alone for good. Small arrays on the host that an operation takes by
 *    value (weights of a sum) are copied into the record; they count as numbers;
 *  - the queue must be the same one, and outlive the Replay.
 *
 * Nobody needs to care for what an operation keeps in the queue: descriptors and workspaces stay as
 * long as the queue, and when its scratch moves, records made before are stale and made anew.
 *
 * Where recordings are checked (the emulated device), each run records the work once more: it must
 * give the same record, and all addresses in it must lie in memory that has not been freed since.
 * Else the program ends with one line that says what differs or what was freed. */
#ifndef CAMBIUM_CORE_TENSOR_REPLAY_H
#define CAMBIUM_CORE_TENSOR_REPLAY_H

#include "core/tensor/backend.h"

/* Starts as zeros. */
typedef struct Replay {
    Graph *graph;
    int64_t runs;
} Replay;

/* Enqueues operations, as told above; it must not wait. It is not called in every run. */
typedef void ReplayWork(void *context);

/* Enqueues the work: the first time as it is (so that scratch and descriptors are made), the second
 * time recorded, from then on from the record. Fails as the queue has. */
Status replay_run(Replay *replay, const Device *device, ReplayWork *work, void *context, Err *err);
void replay_clear(Replay *replay, const Device *device);

#endif
