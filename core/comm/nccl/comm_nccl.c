/* Ranks that have a GPU each, by NCCL: the plug-in cambium_nccl.so.
 *
 * Collectives run on a stream of the communicator's own. It waits for the caller's queue at the
 * start of each, and the caller's queue waits for it at the wait, by events: the host is never
 * stopped, and what is enqueued in between runs beside. Numbers on the host, and the identifier
 * that NCCL's ranks find each other by, go over another communicator. */
#include <cuda_runtime.h>
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/comm/plugins.h"

typedef struct NcclComm {
    Comm comm;
    Comm *over;
    bool owns_over; /* made by split */
    bool aborted;
    ncclComm_t nccl;
    cudaStream_t stream;
    cudaEvent_t begin, ends[COMM_IN_FLIGHT]; /* of what a collective waits for; of each in flight */
    void *token;                             /* what barriers sum: one float */
    uint64_t started, finished;
} NcclComm;

static const CommTable nccl_table;

/* ---- errors --------------------------------------------------------------------------------- */

static Status cuda_check(cudaError_t code, const char *what, Err *err)
{
    if (code == cudaSuccess)
        return STATUS_OK;
    return err_set(err, "NCCL cannot be used: the GPU could not %s (%s)", what,
                   cudaGetErrorString(code));
}

static Status nccl_check(const NcclComm *self, ncclResult_t code, const char *what, Err *err)
{
    if (code == ncclSuccess)
        return STATUS_OK;
    const char *more = ncclGetLastError(self->nccl);
    bool tells = more && more[0];
    return err_set(err, "NCCL could not %s: %s%s%s", what, ncclGetErrorString(code),
                   tells ? ", " : "", tells ? more : "");
}

/* ---- making and freeing --------------------------------------------------------------------- */

static void release(NcclComm *self)
{
    if (self->nccl && !self->aborted)
        ncclCommDestroy(self->nccl);
    for (int i = 0; i < COMM_IN_FLIGHT; i++)
        if (self->ends[i])
            cudaEventDestroy(self->ends[i]);
    if (self->begin)
        cudaEventDestroy(self->begin);
    if (self->stream)
        cudaStreamDestroy(self->stream);
    cudaFree(self->token);
    if (self->owns_over)
        comm_free(self->over);
    free(self);
}

static void nccl_free(Comm *comm)
{
    release((NcclComm *)comm);
}

static Status make_stream(NcclComm *self, Err *err)
{
    int count = 0;
    TRY(cuda_check(cudaGetDeviceCount(&count), "be found", err));
    TRY(cuda_check(cudaStreamCreateWithFlags(&self->stream, cudaStreamNonBlocking), "make a stream",
                   err));
    TRY(cuda_check(cudaEventCreateWithFlags(&self->begin, cudaEventDisableTiming), "make an event",
                   err));
    for (int i = 0; i < COMM_IN_FLIGHT; i++)
        TRY(cuda_check(cudaEventCreateWithFlags(&self->ends[i], cudaEventDisableTiming),
                       "make an event", err));
    return cuda_check(cudaMalloc(&self->token, sizeof(float)), "give memory", err);
}

/* The first rank's bytes to all, as numbers. */
static Status share_bytes(Comm *over, void *bytes, size_t n, Err *err)
{
    enum { AT_ONCE = 64 };
    double values[AT_ONCE];
    uint8_t *at = bytes;
    for (size_t done = 0; done < n; done += AT_ONCE) {
        size_t some = n - done < AT_ONCE ? n - done : AT_ONCE;
        for (size_t i = 0; i < some; i++)
            values[i] = over->rank == 0 ? (double)at[done + i] : 0.0;
        TRY(comm_sum_host(over, values, (int64_t)some, err));
        for (size_t i = 0; i < some; i++)
            at[done + i] = (uint8_t)values[i];
    }
    return STATUS_OK;
}

/* Nobody waits in NCCL for a rank that will not come. */
static Status all_well(Comm *over, Status own, Err *err)
{
    double failed = own != STATUS_OK;
    Err heard;
    if (comm_max_host(over, &failed, 1, &heard) != STATUS_OK && own == STATUS_OK) {
        *err = heard;
        return STATUS_FAIL;
    }
    if (own == STATUS_OK && failed != 0.0)
        return err_set(err, "another rank failed");
    return own;
}

static Status join(NcclComm *self, Err *err)
{
    ncclUniqueId id;
    memset(&id, 0, sizeof id);
    Status status = make_stream(self, err);
    if (status == STATUS_OK && self->comm.rank == 0)
        status = nccl_check(self, ncclGetUniqueId(&id), "make an identifier", err);
    TRY(all_well(self->over, status, err));
    TRY(share_bytes(self->over, &id, sizeof id, err));
    return nccl_check(self, ncclCommInitRank(&self->nccl, self->comm.size, id, self->comm.rank),
                      "join the ranks", err);
}

static Status make(Comm *over, const Backend *ops, Comm **out, Err *err)
{
    NcclComm *self = xcalloc(1, sizeof *self);
    *out = NULL;
    self->over = over;
    self->comm = (Comm){.table = &nccl_table, .ops = ops, .rank = over->rank, .size = over->size};
    Status status = join(self, err);
    if (status == STATUS_OK)
        *out = &self->comm;
    else
        release(self);
    return status;
}

Status cambium_nccl_new(Comm *over, const Device *device, Comm **out, Err *err)
{
    return make(over, device->ops, out, err);
}

void cambium_describe(char *text, size_t size)
{
    int version = 0, gpus = 0;
    ncclGetVersion(&version);
    if (cudaGetDeviceCount(&gpus) != cudaSuccess)
        gpus = 0;
    snprintf(text, size, "NCCL %d.%d.%d; %d GPUs", version / 10000, version / 100 % 100,
             version % 100, gpus);
}

static Status nccl_split(Comm *comm, int color, Comm **out, Err *err)
{
    Comm *over;
    TRY(comm_split(((NcclComm *)comm)->over, color, &over, err));
    Status status = make(over, comm->ops, out, err);
    if (status == STATUS_OK)
        ((NcclComm *)*out)->owns_over = true;
    else
        comm_free(over);
    return status;
}

static void nccl_abort(Comm *comm)
{
    NcclComm *self = (NcclComm *)comm;
    if (!self->aborted)
        ncclCommAbort(self->nccl);
    self->aborted = true;
    comm_abort(self->over);
}

/* ---- collectives ---------------------------------------------------------------------------- */

static ncclDataType_t sum_type(DType dtype)
{
    CHECK(dtype == DTYPE_F32 || dtype == DTYPE_BF16, "a sum of %s", dtype_name(dtype));
    return dtype == DTYPE_F32 ? ncclFloat32 : ncclBfloat16;
}

static int64_t rows_of(const Tensor *whole, const int64_t *rows, int part, int size)
{
    return rows ? rows[part] : whole->shape[0] / size;
}

/* Rows [from, from + rows) of a tensor, as what NCCL sends: an address and bytes. */
static size_t piece(const Tensor *whole, int64_t from, int64_t rows, char **at)
{
    size_t row = whole->shape[0] > 0 ? tensor_bytes(whole) / (size_t)whole->shape[0] : 0;
    *at = (char *)whole->data + (size_t)from * row;
    return (size_t)rows * row;
}

/* Every rank's part of `send` to it, and what others send to this one, behind each other; of an
 * all_gather all parts are the whole. */
static ncclResult_t exchange(const NcclComm *self, const Collective *what)
{
    bool gathers = what->kind == COLLECTIVE_ALL_GATHER;
    int64_t from = 0, to = 0;
    ncclGroupStart();
    for (int r = 0; r < self->comm.size; r++) {
        char *at;
        int64_t out = gathers ? what->send.shape[0]
                              : rows_of(&what->send, what->send_rows, r, self->comm.size);
        int64_t in = rows_of(&what->recv, what->recv_rows, r, self->comm.size);
        size_t bytes = piece(&what->send, gathers ? 0 : from, out, &at);
        if (bytes > 0)
            ncclSend(at, bytes, ncclUint8, r, self->nccl, self->stream);
        bytes = piece(&what->recv, to, in, &at);
        if (bytes > 0)
            ncclRecv(at, bytes, ncclUint8, r, self->nccl, self->stream);
        from += out;
        to += in;
    }
    return ncclGroupEnd(); /* reports what failed in between */
}

static ncclResult_t launch(const NcclComm *self, const Collective *what)
{
    const Tensor *send = &what->send, *recv = &what->recv;
    switch (what->kind) {
    case COLLECTIVE_ALL_REDUCE:
        return ncclAllReduce(send->data, recv->data, (size_t)tensor_count(send),
                             sum_type(send->dtype), ncclSum, self->nccl, self->stream);
    case COLLECTIVE_REDUCE_SCATTER:
        return ncclReduceScatter(send->data, recv->data, (size_t)tensor_count(recv),
                                 sum_type(send->dtype), ncclSum, self->nccl, self->stream);
    case COLLECTIVE_ALL_GATHER:
        if (!what->recv_rows)
            return ncclAllGather(send->data, recv->data, tensor_bytes(send), ncclUint8, self->nccl,
                                 self->stream);
        return exchange(self, what);
    case COLLECTIVE_ALL_TO_ALL:
        return exchange(self, what);
    case COLLECTIVE_BROADCAST:
        return ncclBroadcast(send->data, recv->data, tensor_bytes(recv), ncclUint8, what->root,
                             self->nccl, self->stream);
    case COLLECTIVE_BARRIER:
        break;
    }
    return ncclAllReduce(self->token, self->token, 1, ncclFloat32, ncclSum, self->nccl,
                         self->stream);
}

static cudaStream_t stream_of(const Comm *comm, Queue *queue)
{
    return comm->ops->native_stream(queue);
}

static Status nccl_start(Comm *comm, CommRequest *request, Err *err)
{
    NcclComm *self = (NcclComm *)comm;
    CHECK(self->started - self->finished < COMM_IN_FLIGHT, "more than %d collectives in flight",
          COMM_IN_FLIGHT);
    if (self->aborted)
        return err_set(err, "another rank failed");
    request->number = self->started++;
    cudaEvent_t end = self->ends[request->number % COMM_IN_FLIGHT];
    TRY(cuda_check(cudaEventRecord(self->begin, stream_of(comm, request->queue)), "record an event",
                   err));
    TRY(cuda_check(cudaStreamWaitEvent(self->stream, self->begin, 0), "wait for an event", err));
    TRY(nccl_check(self, launch(self, &request->what), "start a collective", err));
    return cuda_check(cudaEventRecord(end, self->stream), "record an event", err);
}

static Status nccl_wait(Comm *comm, CommRequest *request, Err *err)
{
    NcclComm *self = (NcclComm *)comm;
    CHECK(request->number == self->finished, "collectives are waited for in the order of start");
    if (self->aborted)
        return err_set(err, "another rank failed");
    self->finished++;
    cudaEvent_t end = self->ends[request->number % COMM_IN_FLIGHT];
    ncclResult_t found = ncclSuccess;
    TRY(nccl_check(self, ncclCommGetAsyncError(self->nccl, &found), "be asked for errors", err));
    TRY(nccl_check(self, found, "finish a collective", err));
    return cuda_check(cudaStreamWaitEvent(stream_of(comm, request->queue), end, 0),
                      "wait for an event", err);
}

static Status nccl_reduce_host(Comm *comm, double *values, int64_t n, bool largest, Err *err)
{
    Comm *over = ((NcclComm *)comm)->over;
    return over->table->reduce_host(over, values, n, largest, err);
}

static Status nccl_broadcast_host(Comm *comm, void *data, size_t bytes, int root, Err *err)
{
    Comm *over = ((NcclComm *)comm)->over;
    return over->table->broadcast_host(over, data, bytes, root, err);
}

static const CommTable nccl_table = {
    .kind = "nccl",
    .start = nccl_start,
    .wait = nccl_wait,
    .reduce_host = nccl_reduce_host,
    .broadcast_host = nccl_broadcast_host,
    .split = nccl_split,
    .abort = nccl_abort,
    .free = nccl_free,
};
