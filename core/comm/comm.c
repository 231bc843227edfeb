#include "core/comm/comm.h"

#include <stdlib.h>

#include "core/base/mem.h"

Status comm_start(Comm *comm, Queue *queue, const Collective *what, CommRequest *request, Err *err)
{
    *request = (CommRequest){.what = *what, .queue = queue};
    return comm->table->start(comm, request, err);
}

Status comm_wait(Comm *comm, CommRequest *request, Err *err)
{
    return comm->table->wait(comm, request, err);
}

Status comm_run(Comm *comm, Queue *queue, const Collective *what, Err *err)
{
    CommRequest request;
    TRY(comm_start(comm, queue, what, &request, err));
    return comm_wait(comm, &request, err);
}

Status comm_barrier(Comm *comm, Err *err)
{
    double nothing = 0.0;
    return comm->table->reduce_host(comm, &nothing, 1, false, err);
}

Status comm_sum_host(Comm *comm, double *values, int64_t n, Err *err)
{
    return comm->table->reduce_host(comm, values, n, false, err);
}

Status comm_max_host(Comm *comm, double *values, int64_t n, Err *err)
{
    return comm->table->reduce_host(comm, values, n, true, err);
}

Status comm_broadcast_host(Comm *comm, void *data, size_t bytes, int root, Err *err)
{
    return comm->table->broadcast_host(comm, data, bytes, root, err);
}

Status comm_split(Comm *comm, int color, Comm **out, Err *err)
{
    return comm->table->split(comm, color, out, err);
}

void comm_abort(Comm *comm)
{
    comm->table->abort(comm);
}

void comm_free(Comm *comm)
{
    if (comm)
        comm->table->free(comm);
}

/* ---- one rank ------------------------------------------------------------------------------- */

static Status self_start(Comm *comm, CommRequest *request, Err *err)
{
    (void)err;
    const Collective *what = &request->what;
    if (what->kind != COLLECTIVE_BARRIER && what->recv.data != what->send.data)
        comm->ops->copy(request->queue, what->recv.data, what->send.data,
                        tensor_bytes(&what->recv));
    return STATUS_OK;
}

static Status self_wait(Comm *comm, CommRequest *request, Err *err)
{
    (void)comm, (void)request, (void)err;
    return STATUS_OK;
}

static Status self_reduce_host(Comm *comm, double *values, int64_t n, bool largest, Err *err)
{
    (void)comm, (void)values, (void)n, (void)largest, (void)err;
    return STATUS_OK;
}

static Status self_broadcast_host(Comm *comm, void *data, size_t bytes, int root, Err *err)
{
    (void)comm, (void)data, (void)bytes, (void)root, (void)err;
    return STATUS_OK;
}

static Status self_split(Comm *comm, int color, Comm **out, Err *err)
{
    (void)color, (void)err;
    *out = comm_self_new(comm->ops);
    return STATUS_OK;
}

static void self_abort(Comm *comm)
{
    (void)comm;
}

static void self_free(Comm *comm)
{
    free(comm);
}

static const CommTable self_table = {
    .kind = "self",
    .start = self_start,
    .wait = self_wait,
    .reduce_host = self_reduce_host,
    .broadcast_host = self_broadcast_host,
    .split = self_split,
    .abort = self_abort,
    .free = self_free,
};

Comm *comm_self_new(const Backend *ops)
{
    Comm *comm = xcalloc(1, sizeof *comm);
    *comm = (Comm){.table = &self_table, .ops = ops, .rank = 0, .size = 1};
    return comm;
}
