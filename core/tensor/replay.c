#include "core/tensor/replay.h"

static Status record(const Device *device, ReplayWork *work, void *context, Graph **out, Err *err)
{
    device->ops->capture_begin(device->queue);
    work(context);
    return device->ops->capture_end(device->queue, out, err);
}

/* Records the work once more and compares: what has changed behind a record would else be seen as a
 * wrong result somewhere, or not at all. */
static Status check(const Replay *replay, const Device *device, ReplayWork *work, void *context,
                    Err *err)
{
    Graph *now;
    TRY(record(device, work, context, &now, err));
    const char *difference = device->ops->graph_difference(replay->graph, now);
    CHECK(!difference, "recorded work has changed: %s", difference);
    device->ops->graph_free(now);
    return STATUS_OK;
}

static void drop(Replay *replay, const Device *device)
{
    if (replay->graph)
        device->ops->graph_free(replay->graph);
    replay->graph = NULL;
}

Status replay_run(Replay *replay, const Device *device, ReplayWork *work, void *context, Err *err)
{
    const Backend *ops = device->ops;
    if (!ops->capture_begin || replay->runs++ == 0) {
        work(context);
        return STATUS_OK;
    }
    if (replay->graph && ops->graph_stale(device->queue, replay->graph))
        drop(replay, device);
    if (!replay->graph)
        TRY(record(device, work, context, &replay->graph, err));
    else if (ops->graph_difference)
        TRY(check(replay, device, work, context, err));
    ops->graph_launch(device->queue, replay->graph);
    return STATUS_OK;
}

void replay_clear(Replay *replay, const Device *device)
{
    drop(replay, device);
    *replay = (Replay){0};
}
