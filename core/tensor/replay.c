#include "core/tensor/replay.h"

Status replay_run(Replay *replay, const Device *device, ReplayWork *work, void *context, Err *err)
{
    const Backend *ops = device->ops;
    if (!ops->capture_begin || replay->runs++ == 0) {
        work(context);
        return STATUS_OK;
    }
    if (!replay->graph) {
        ops->capture_begin(device->queue);
        work(context);
        TRY(ops->capture_end(device->queue, &replay->graph, err));
    }
    ops->graph_launch(device->queue, replay->graph);
    return STATUS_OK;
}

void replay_clear(Replay *replay, const Device *device)
{
    if (replay->graph)
        device->ops->graph_free(replay->graph);
    *replay = (Replay){0};
}
