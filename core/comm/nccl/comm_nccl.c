/* Ranks that have a GPU each, by NCCL: the plug-in cambium_nccl.so.
 *
 * Collectives run on a stream of the communicator's own. It waits for the caller's queue at the
 * start of each, and the caller's queue waits for it at the wait, by events: the host is never
 * stopped, and what is enqueued in between runs beside. Numbers on the host, and the identifier
 * that NCCL's ranks find each other by, go over another communicator.
 *
 * A rank that died leaves the others' kernels waiting for it, and their hosts for those kernels. So
 * a thread watches how long collectives take on the device; one that takes too long, or of which
 * NCCL knows that it failed, ends the communicator: its kernels stop, and the queues that wait for
 * them have failed. NCCL's own calls do not block; what they have begun is waited for as long. */
#include <cuda_runtime.h>
#include <nccl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/comm/plugins.h"

/* A collective that is on its way. */
typedef struct Flight {
    cudaEvent_t begin, end; /* what it waits for; its own end */
    CollectiveKind kind;
    Queue *queue;
} Flight;

typedef struct NcclComm {
    Comm comm;
    Comm *over;
    bool owns_over; /* made by split */
    ncclComm_t nccl;
    cudaStream_t stream;
    Flight flights[COMM_IN_FLIGHT];
    void *token; /* what barriers sum: one float */
    uint64_t started, finished;
    double patience; /* seconds */
    /* The thread that watches, and what it shares with the caller. */
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t watcher;
    bool watches, ends;
    bool aborted;
    Err why;       /* where aborted */
    uint64_t done; /* collectives that the device has finished */
    double since;  /* when the oldest one that it has not finished was seen to run; 0: not yet */
} NcclComm;

/* Long beside what ranks may differ by, as when one of them saves or evaluates. */
static const double patience_seconds = 600.0;
static const double look_seconds = 0.02;

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

/* ---- waiting, but not for ever --------------------------------------------------------------- */

static const char *const kind_names[] = {"an all-reduce", "a reduce-scatter", "an all-gather",
                                         "an all-to-all", "a broadcast",      "a barrier"};

static double patience(void)
{
    const char *text = getenv("CAMBIUM_PATIENCE");
    double seconds = text ? strtod(text, NULL) : 0.0;
    return seconds > 0.0 ? seconds : patience_seconds;
}

static void pause_a_little(double seconds)
{
    struct timespec time = {.tv_nsec = (long)(seconds * 1e9)};
    nanosleep(&time, NULL);
}

static void too_long(const NcclComm *self, const char *what, Err *err)
{
    err_set(err,
            "rank %d of %d: %s did not end within %g s: another rank is dead or stuck; look for "
            "its error, and start the run again (--resume)",
            self->comm.rank, self->comm.size, what, self->patience);
}

static Status is_aborted(NcclComm *self, Err *err)
{
    pthread_mutex_lock(&self->lock);
    bool aborted = self->aborted;
    if (aborted)
        *err = self->why;
    pthread_mutex_unlock(&self->lock);
    return aborted ? STATUS_FAIL : STATUS_OK;
}

/* Ends the communicator once, for this reason; everything that waits for it has failed. */
static void give_up(NcclComm *self, const Err *why)
{
    pthread_mutex_lock(&self->lock);
    bool first = !self->aborted;
    if (first)
        self->why = *why;
    self->aborted = true;
    for (uint64_t i = self->done; first && i < self->started; i++)
        self->comm.ops->queue_fail(self->flights[i % COMM_IN_FLIGHT].queue, why->text);
    pthread_mutex_unlock(&self->lock);
    if (first && self->nccl)
        ncclCommAbort(self->nccl);
}

/* What a call of NCCL's has begun, up to its end. */
static Status settle(NcclComm *self, ncclResult_t code, const char *what, Err *err)
{
    double end = clock_seconds() + self->patience;
    while (code == ncclInProgress) {
        ncclResult_t asked = ncclCommGetAsyncError(self->nccl, &code);
        if (asked != ncclSuccess)
            code = asked;
        if (code == ncclInProgress && clock_seconds() > end) {
            char text[64];
            snprintf(text, sizeof text, "its try to %s", what);
            too_long(self, text, err);
            give_up(self, err);
            return STATUS_FAIL;
        }
        if (code == ncclInProgress)
            pause_a_little(1e-4);
    }
    return nccl_check(self, code, what, err);
}

/* With the lock held: goes past what the device has finished. Whether the oldest collective that it
 * has not takes too long, or failed; `why` says so. */
static bool has_failed(NcclComm *self, Err *why)
{
    while (self->done < self->started) {
        const Flight *flight = &self->flights[self->done % COMM_IN_FLIGHT];
        if (cudaEventQuery(flight->end) == cudaSuccess) {
            self->done++;
            self->since = 0.0;
            continue;
        }
        ncclResult_t found = ncclSuccess;
        ncclCommGetAsyncError(self->nccl, &found);
        if (found != ncclSuccess && found != ncclInProgress) {
            err_set(why, "rank %d of %d: %s failed: %s", self->comm.rank, self->comm.size,
                    kind_names[flight->kind], ncclGetErrorString(found));
            return true;
        }
        if (cudaEventQuery(flight->begin) != cudaSuccess)
            return false; /* this rank is not there yet */
        if (self->since == 0.0)
            self->since = clock_seconds();
        if (clock_seconds() - self->since <= self->patience)
            return false;
        too_long(self, kind_names[flight->kind], why);
        return true;
    }
    return false;
}

static void *watch(void *context)
{
    NcclComm *self = context;
    pthread_mutex_lock(&self->lock);
    while (!self->ends && !self->aborted) {
        Err why;
        if (self->done == self->started) {
            pthread_cond_wait(&self->work, &self->lock);
            continue;
        }
        bool failed = has_failed(self, &why);
        pthread_mutex_unlock(&self->lock);
        if (failed)
            give_up(self, &why);
        pause_a_little(look_seconds);
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

static void watch_stop(NcclComm *self)
{
    if (!self->watches)
        return;
    pthread_mutex_lock(&self->lock);
    self->ends = true;
    pthread_cond_signal(&self->work);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->watcher, NULL);
    self->watches = false;
}

/* ---- making and freeing --------------------------------------------------------------------- */

static void release(NcclComm *self)
{
    Err lost;
    watch_stop(self);
    if (self->nccl && !self->aborted &&
        settle(self, ncclCommFinalize(self->nccl), "end", &lost) == STATUS_OK)
        ncclCommDestroy(self->nccl);
    for (int i = 0; i < COMM_IN_FLIGHT; i++) {
        if (self->flights[i].end)
            cudaEventDestroy(self->flights[i].end);
        if (self->flights[i].begin)
            cudaEventDestroy(self->flights[i].begin);
    }
    if (self->stream)
        cudaStreamDestroy(self->stream);
    cudaFree(self->token);
    if (self->owns_over)
        comm_free(self->over);
    pthread_cond_destroy(&self->work);
    pthread_mutex_destroy(&self->lock);
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
    for (int i = 0; i < COMM_IN_FLIGHT; i++) {
        cudaEvent_t *events[] = {&self->flights[i].begin, &self->flights[i].end};
        for (int k = 0; k < 2; k++)
            TRY(cuda_check(cudaEventCreateWithFlags(events[k], cudaEventDisableTiming),
                           "make an event", err));
    }
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
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    TRY(settle(self,
               ncclCommInitRankConfig(&self->nccl, self->comm.size, id, self->comm.rank, &config),
               "join the ranks", err));
    self->watches = pthread_create(&self->watcher, NULL, watch, self) == 0;
    return self->watches ? STATUS_OK : err_set(err, "no thread can be made that watches NCCL");
}

static Status make(Comm *over, const Backend *ops, Comm **out, Err *err)
{
    NcclComm *self = xcalloc(1, sizeof *self);
    *out = NULL;
    self->over = over;
    self->patience = patience();
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->work, NULL);
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
    Err why;
    err_set(&why, "another rank failed");
    give_up(self, &why);
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
    TRY(is_aborted(self, err));
    request->number = self->started;
    Flight *flight = &self->flights[request->number % COMM_IN_FLIGHT];
    TRY(cuda_check(cudaEventRecord(flight->begin, stream_of(comm, request->queue)),
                   "record an event", err));
    TRY(cuda_check(cudaStreamWaitEvent(self->stream, flight->begin, 0), "wait for an event", err));
    TRY(settle(self, launch(self, &request->what), "start a collective", err));
    TRY(cuda_check(cudaEventRecord(flight->end, self->stream), "record an event", err));
    pthread_mutex_lock(&self->lock);
    flight->kind = request->what.kind;
    flight->queue = request->queue;
    self->started++;
    pthread_cond_signal(&self->work);
    pthread_mutex_unlock(&self->lock);
    return is_aborted(self, err);
}

static Status nccl_wait(Comm *comm, CommRequest *request, Err *err)
{
    NcclComm *self = (NcclComm *)comm;
    CHECK(request->number == self->finished, "collectives are waited for in the order of start");
    TRY(is_aborted(self, err));
    self->finished++;
    cudaEvent_t end = self->flights[request->number % COMM_IN_FLIGHT].end;
    ncclResult_t found = ncclSuccess;
    TRY(nccl_check(self, ncclCommGetAsyncError(self->nccl, &found), "be asked for errors", err));
    TRY(nccl_check(self, found == ncclInProgress ? ncclSuccess : found, "finish a collective",
                   err));
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
