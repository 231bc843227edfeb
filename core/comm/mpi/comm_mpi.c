/* Ranks that are processes, by MPI: the plug-in cambium_mpi.so.
 *
 * Tensors pass through host memory, the same way for every backend. A queue of the communicator's
 * own moves them, so that the host waits for what a collective sends and for nothing that was
 * enqueued after it. Sums are made in the order of the ranks by the backend's own operation, hence
 * with the bits of the other communicators: every rank collects its part of all sends (first
 * stage), sums it, and the sums are gathered (second stage). MPI's reductions may bracket the ranks
 * as they like, and know no bfloat16.
 *
 * The second stage of a collective starts when its first one is found to be finished: by a later
 * start or a wait. Ranks may find that at different times, so the two stages have MPI communicators
 * of their own, and the order on each is the same everywhere.
 *
 * Open MPI moves nothing but inside its own calls. While collectives are in flight and this process
 * computes, a thread makes such calls in its place: one lock lets one thread into MPI at a time,
 * which is all that MPI_THREAD_SERIALIZED asks for. */
#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/comm/plugins.h"

typedef enum Stage { STAGE_FIRST, STAGE_SECOND, STAGE_DONE } Stage;

/* Host memory that grows and is kept. */
typedef struct HostBuffer {
    void *data;
    size_t bytes;
} HostBuffer;

/* How one side of an exchange is cut: (size) each, in units. */
typedef struct Parts {
    int *counts, *places;
} Parts;

/* One collective in flight. */
typedef struct Job {
    Collective what;
    Stage stage;
    MPI_Request pending;
    HostBuffer out, in;
    Parts sends, receives;
} Job;

typedef struct MpiComm {
    Comm comm;
    MPI_Comm first, second; /* of the two stages */
    bool is_world;          /* the communicator of all processes: freeing it ends MPI */
    Queue *queue;           /* moves tensors to the host and back */
    Event *event;
    Job jobs[COMM_IN_FLIGHT];
    uint64_t started, finished;
    void *parts; /* device: what is summed */
    size_t parts_bytes;
    Tensor *sources; /* (size): scratch of sums */
    float *ones;     /* (size) */
} MpiComm;

static const CommTable mpi_table;
static bool failed; /* this process has called abort: nothing is waited for any more */

static Status mpi_check(int code, const char *what, Err *err)
{
    if (code == MPI_SUCCESS)
        return STATUS_OK;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    return err_set(err, "MPI could not %s: %.*s", what, length, text);
}

/* ---- progress ------------------------------------------------------------------------------- */

/* How often MPI is called while this process computes: small beside an exchange that is worth
 * hiding, and long beside what a call takes. */
static const struct timespec pause_between = {.tv_nsec = 200 * 1000};

static struct {
    pthread_mutex_t lock; /* held by whoever is in MPI, and for what follows */
    pthread_cond_t work;
    pthread_t thread;
    bool runs, ends;
    int64_t in_flight; /* collectives of all communicators */
} progress = {.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP, .work = PTHREAD_COND_INITIALIZER};

static void *make_progress(void *ignored)
{
    sigset_t all;
    sigfillset(&all); /* signals are for the thread that may wait for them */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_mutex_lock(&progress.lock);
    while (!progress.ends) {
        int found;
        if (progress.in_flight == 0) {
            pthread_cond_wait(&progress.work, &progress.lock);
            continue;
        }
        /* Nobody sends there: all that this call does is to move what is under way. */
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, &found, MPI_STATUS_IGNORE);
        pthread_mutex_unlock(&progress.lock);
        nanosleep(&pause_between, NULL);
        pthread_mutex_lock(&progress.lock);
    }
    pthread_mutex_unlock(&progress.lock);
    return ignored;
}

static Status progress_start(Err *err)
{
    progress.runs = pthread_create(&progress.thread, NULL, make_progress, NULL) == 0;
    return progress.runs ? STATUS_OK : err_set(err, "no thread can be made that moves messages");
}

/* Before MPI ends. */
static void progress_stop(void)
{
    if (!progress.runs)
        return;
    pthread_mutex_lock(&progress.lock);
    progress.ends = true;
    pthread_cond_signal(&progress.work);
    pthread_mutex_unlock(&progress.lock);
    pthread_join(progress.thread, NULL);
    progress.runs = false;
}

static void enter_mpi(void)
{
    pthread_mutex_lock(&progress.lock);
}

/* With so many more collectives in flight than before. */
static void leave_mpi(int change)
{
    bool begins = progress.in_flight == 0 && change > 0;
    progress.in_flight += change;
    if (begins)
        pthread_cond_signal(&progress.work);
    pthread_mutex_unlock(&progress.lock);
}

/* ---- making and freeing --------------------------------------------------------------------- */

static void mpi_free(Comm *comm)
{
    MpiComm *self = (MpiComm *)comm;
    const Backend *ops = comm->ops;
    for (int i = 0; i < COMM_IN_FLIGHT; i++) {
        Job *job = &self->jobs[i];
        free(job->out.data);
        free(job->in.data);
        free(job->sends.counts);
        free(job->sends.places);
        free(job->receives.counts);
        free(job->receives.places);
    }
    if (self->parts)
        ops->free(self->parts);
    if (self->event)
        ops->event_free(self->event);
    if (self->queue)
        ops->queue_free(self->queue);
    bool ended = failed;
    if (self->is_world)
        progress_stop();
    enter_mpi();
    if (!ended && self->first != MPI_COMM_NULL)
        MPI_Comm_free(&self->first);
    if (!ended && self->second != MPI_COMM_NULL)
        MPI_Comm_free(&self->second);
    if (!ended && self->is_world)
        MPI_Finalize();
    leave_mpi(0);
    free(self->sources);
    free(self->ones);
    free(self);
}

/* A communicator of the ranks of `group`, which it takes. */
static Status make(const Backend *ops, MPI_Comm group, Comm **out, Err *err)
{
    MpiComm *self = xcalloc(1, sizeof *self);
    *out = NULL;
    self->comm = (Comm){.table = &mpi_table, .ops = ops};
    self->first = group;
    self->second = MPI_COMM_NULL;
    MPI_Comm_set_errhandler(group, MPI_ERRORS_RETURN);
    MPI_Comm_rank(group, &self->comm.rank);
    MPI_Comm_size(group, &self->comm.size);
    size_t size = (size_t)self->comm.size;
    self->sources = xcalloc(size, sizeof *self->sources);
    self->ones = xcalloc(size, sizeof *self->ones);
    for (size_t r = 0; r < size; r++)
        self->ones[r] = 1.0f;
    for (int i = 0; i < COMM_IN_FLIGHT; i++) {
        Parts *const parts[] = {&self->jobs[i].sends, &self->jobs[i].receives};
        for (int k = 0; k < 2; k++) {
            parts[k]->counts = xcalloc(size, sizeof(int));
            parts[k]->places = xcalloc(size, sizeof(int));
        }
    }
    Status status = mpi_check(MPI_Comm_dup(group, &self->second), "make a communicator", err);
    if (status == STATUS_OK)
        status = ops->queue_new(&self->queue, err);
    if (status == STATUS_OK)
        status = ops->event_new(&self->event, err);
    if (status != STATUS_OK)
        mpi_free(&self->comm);
    else
        *out = &self->comm;
    return status;
}

/* Processes that may run on the same cores share them: mpirun may or may not have bound each to
 * cores of its own. */
static void share_cores(void)
{
    MPI_Comm machine;
    cpu_set_t own, both;
    int rank, size, sharing = 0;
    if (parallel_width() != parallel_cores() || sched_getaffinity(0, sizeof own, &own) != 0)
        return;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    MPI_Comm_rank(machine, &rank);
    MPI_Comm_size(machine, &size);
    cpu_set_t *all = xcalloc((size_t)size, sizeof *all);
    MPI_Allgather(&own, sizeof own, MPI_BYTE, all, sizeof own, MPI_BYTE, machine);
    for (int r = 0; r < size; r++) {
        CPU_AND(&both, &own, &all[r]);
        sharing += CPU_COUNT(&both) > 0;
    }
    free(all);
    MPI_Comm_free(&machine);
    int width = parallel_width() / sharing;
    parallel_set_width(width > 0 ? width : 1);
}

/* The process ends without having ended MPI: it failed, and the others must not wait for it. */
static void end_others(void)
{
    int finalized = 0;
    /* Kept, so that the other thread stays out; where it is within, it ends with the process. */
    (void)pthread_mutex_trylock(&progress.lock);
    MPI_Finalized(&finalized);
    if (!finalized)
        MPI_Abort(MPI_COMM_WORLD, 1);
}

Status cambium_mpi_new(const Backend *ops, Comm **out, Err *err)
{
    int level = 0, initialized = 0;
    *out = NULL;
    MPI_Initialized(&initialized);
    if (initialized)
        return err_set(err, "MPI was started already in this process, which it can be once");
    TRY(mpi_check(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level), "start", err));
    atexit(end_others);
    if (level < MPI_THREAD_SERIALIZED)
        return err_set(err, "this MPI cannot be called from a program with threads");
    MPI_Comm world;
    TRY(mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &world), "make a communicator", err));
    share_cores();
    TRY(make(ops, world, out, err));
    ((MpiComm *)*out)->is_world = true;
    return ((MpiComm *)*out)->comm.size > 1 ? progress_start(err) : STATUS_OK;
}

void cambium_describe(char *text, size_t size)
{
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length;
    MPI_Get_library_version(version, &length);
    /* "Open MPI v4.1.4, package: ..." */
    snprintf(text, size, "%.*s; for processes that mpirun starts", (int)strcspn(version, ","),
             version);
}

static Status mpi_split(Comm *comm, int color, Comm **out, Err *err)
{
    MpiComm *self = (MpiComm *)comm;
    MPI_Comm group;
    enter_mpi();
    Status status =
        mpi_check(MPI_Comm_split(self->first, color, comm->rank, &group), "split the ranks", err);
    if (status == STATUS_OK)
        status = make(comm->ops, group, out, err);
    leave_mpi(0);
    return status;
}

static void mpi_abort(Comm *comm)
{
    (void)comm;
    failed = true;
}

/* ---- memory --------------------------------------------------------------------------------- */

static Status need(HostBuffer *buffer, size_t bytes, Err *err)
{
    if (bytes <= buffer->bytes)
        return STATUS_OK;
    free(buffer->data);
    *buffer = (HostBuffer){0};
    TRY(mem_try(&buffer->data, bytes, "a message between ranks", err));
    buffer->bytes = bytes;
    return STATUS_OK;
}

static Status need_parts(MpiComm *self, size_t bytes, Err *err)
{
    if (bytes <= self->parts_bytes)
        return STATUS_OK;
    if (self->parts)
        self->comm.ops->free(self->parts);
    self->parts = NULL;
    self->parts_bytes = 0;
    TRY(self->comm.ops->alloc(&self->parts, bytes, "the parts of a sum over ranks", err));
    self->parts_bytes = bytes;
    return STATUS_OK;
}

/* ---- cutting -------------------------------------------------------------------------------- */

static int64_t share(int64_t n, int rank, int size)
{
    return n * rank / size;
}

/* Adds part `r` of `units` behind the parts before it. */
static Status cut(Parts *parts, int r, int64_t units, Err *err)
{
    int64_t place = r > 0 ? (int64_t)parts->places[r - 1] + parts->counts[r - 1] : 0;
    if (units > INT_MAX || place > INT_MAX)
        return err_set(err, "%lld rows or numbers are more than MPI moves at once",
                       (long long)(place + units));
    parts->counts[r] = (int)units;
    parts->places[r] = (int)place;
    return STATUS_OK;
}

/* Rows of a tensor's first dimension, as told or evenly. */
static Status cut_rows(Parts *parts, const Tensor *whole, const int64_t *rows, int size, Err *err)
{
    for (int r = 0; r < size; r++)
        TRY(cut(parts, r, rows ? rows[r] : whole->shape[0] / size, err));
    CHECK((int64_t)parts->places[size - 1] + parts->counts[size - 1] == whole->shape[0],
          "the parts of a collective are not the whole of %lld rows", (long long)whole->shape[0]);
    return STATUS_OK;
}

/* The bytes that an exchange counts in, as a type of MPI. */
static MPI_Datatype unit_of(size_t bytes)
{
    MPI_Datatype type;
    CHECK(bytes <= INT_MAX, "a row of %zu bytes", bytes);
    MPI_Type_contiguous((int)bytes, MPI_BYTE, &type);
    MPI_Type_commit(&type);
    return type;
}

static size_t row_bytes(const Tensor *t)
{
    return t->shape[0] > 0 ? tensor_bytes(t) / (size_t)t->shape[0] : 0;
}

/* ---- collectives ---------------------------------------------------------------------------- */

/* Copies a tensor that earlier work of the caller's queue makes to the host. */
static Status fetch(MpiComm *self, Queue *queue, const Tensor *tensor, HostBuffer *to, Err *err)
{
    const Backend *ops = self->comm.ops;
    size_t bytes = tensor_bytes(tensor);
    TRY(need(to, bytes, err));
    ops->event_record(queue, self->event);
    ops->event_wait(self->queue, self->event);
    ops->download(self->queue, to->data, tensor->data, bytes);
    return ops->queue_wait(self->queue, err);
}

static Status exchange(MpiComm *self, Job *job, size_t unit_bytes, Err *err)
{
    MPI_Datatype unit = unit_of(unit_bytes);
    int code = MPI_Ialltoallv(job->out.data, job->sends.counts, job->sends.places, unit,
                              job->in.data, job->receives.counts, job->receives.places, unit,
                              self->first, &job->pending);
    MPI_Type_free(&unit); /* once nothing uses it any more */
    return mpi_check(code, "exchange", err);
}

/* The first stage of a sum: everybody's part of this rank. */
static Status start_sum(MpiComm *self, Job *job, Err *err)
{
    int rank = self->comm.rank, size = self->comm.size;
    int64_t n = tensor_count(&job->what.send);
    if (job->what.kind == COLLECTIVE_REDUCE_SCATTER)
        CHECK(n == tensor_count(&job->what.recv) * size, "reduce_scatter: sizes");
    for (int r = 0; r < size; r++)
        TRY(cut(&job->sends, r, share(n, r + 1, size) - share(n, r, size), err));
    for (int r = 0; r < size; r++)
        TRY(cut(&job->receives, r, job->sends.counts[rank], err));
    size_t unit = dtype_bytes(job->what.send.dtype);
    TRY(need(&job->in, (size_t)job->sends.counts[rank] * (size_t)size * unit, err));
    return exchange(self, job, unit, err);
}

static Status start_gather(MpiComm *self, Job *job, Err *err)
{
    const Tensor *send = &job->what.send, *recv = &job->what.recv;
    TRY(need(&job->in, tensor_bytes(recv), err));
    TRY(cut_rows(&job->receives, recv, job->what.recv_rows, self->comm.size, err));
    CHECK(job->receives.counts[self->comm.rank] == send->shape[0],
          "all_gather: %lld rows where others expect %d (recv_rows tells uneven numbers)",
          (long long)send->shape[0], job->receives.counts[self->comm.rank]);
    MPI_Datatype unit = unit_of(row_bytes(recv));
    int code = MPI_Iallgatherv(job->out.data, (int)send->shape[0], unit, job->in.data,
                               job->receives.counts, job->receives.places, unit, self->first,
                               &job->pending);
    MPI_Type_free(&unit);
    return mpi_check(code, "gather", err);
}

static Status start_exchange(MpiComm *self, Job *job, Err *err)
{
    const Collective *what = &job->what;
    TRY(need(&job->in, tensor_bytes(&what->recv), err));
    TRY(cut_rows(&job->sends, &what->send, what->send_rows, self->comm.size, err));
    TRY(cut_rows(&job->receives, &what->recv, what->recv_rows, self->comm.size, err));
    size_t unit = row_bytes(&what->send) ? row_bytes(&what->send) : row_bytes(&what->recv);
    return exchange(self, job, unit, err);
}

static Status start_broadcast(MpiComm *self, Job *job, Err *err)
{
    size_t bytes = tensor_bytes(&job->what.recv);
    bool is_root = job->what.root == self->comm.rank;
    TRY(need(&job->in, bytes, err));
    MPI_Datatype unit = unit_of(1);
    if (bytes > INT_MAX)
        return err_set(err, "%zu bytes are more than MPI broadcasts at once", bytes);
    int code = MPI_Ibcast(is_root ? job->out.data : job->in.data, (int)bytes, unit, job->what.root,
                          self->first, &job->pending);
    MPI_Type_free(&unit);
    return mpi_check(code, "broadcast", err);
}

static Status start_first(MpiComm *self, Job *job, Err *err)
{
    switch (job->what.kind) {
    case COLLECTIVE_ALL_REDUCE:
    case COLLECTIVE_REDUCE_SCATTER:
        return start_sum(self, job, err);
    case COLLECTIVE_ALL_GATHER:
        return start_gather(self, job, err);
    case COLLECTIVE_ALL_TO_ALL:
        return start_exchange(self, job, err);
    case COLLECTIVE_BROADCAST:
        return start_broadcast(self, job, err);
    case COLLECTIVE_BARRIER:
        break;
    }
    return mpi_check(MPI_Ibarrier(self->first, &job->pending), "meet", err);
}

/* Sums the parts that have come, into this rank's part of what it receives. */
static Status sum_parts(MpiComm *self, Job *job, Tensor out, Err *err)
{
    const Backend *ops = self->comm.ops;
    int64_t count = tensor_count(&out);
    size_t bytes = tensor_bytes(&out) * (size_t)self->comm.size;
    if (count == 0)
        return STATUS_OK;
    TRY(need_parts(self, bytes, err));
    Tensor all = tensor_1d(self->parts, out.dtype, count * self->comm.size);
    ops->upload(self->queue, self->parts, job->in.data, bytes);
    for (int r = 0; r < self->comm.size; r++)
        self->sources[r] = tensor_slice(&all, r * count, count);
    WeightedSumArgs sum = {
        .x = self->sources, .weights = self->ones, .n = self->comm.size, .y = out};
    ops->weighted_sum(self->queue, &sum);
    return STATUS_OK;
}

static Tensor flat(const Tensor *t)
{
    return tensor_1d(t->data, t->dtype, tensor_count(t));
}

/* What follows the first stage: sums, or nothing. */
static Status end_first(MpiComm *self, Job *job, Err *err)
{
    const Backend *ops = self->comm.ops;
    int rank = self->comm.rank, begin = job->sends.places[rank];
    Tensor recv = flat(&job->what.recv);
    job->stage = STAGE_DONE;
    if (job->what.kind == COLLECTIVE_REDUCE_SCATTER)
        return sum_parts(self, job, recv, err);
    if (job->what.kind != COLLECTIVE_ALL_REDUCE)
        return STATUS_OK;
    Tensor own = tensor_slice(&recv, begin, job->sends.counts[rank]);
    size_t unit = dtype_bytes(recv.dtype);
    TRY(sum_parts(self, job, own, err));
    ops->download(self->queue, (char *)job->out.data + (size_t)begin * unit, own.data,
                  tensor_bytes(&own));
    TRY(ops->queue_wait(self->queue, err));
    MPI_Datatype type = unit_of(unit);
    int code = MPI_Iallgatherv(MPI_IN_PLACE, 0, type, job->out.data, job->sends.counts,
                               job->sends.places, type, self->second, &job->pending);
    MPI_Type_free(&type);
    job->stage = STAGE_SECOND;
    return mpi_check(code, "gather the sums", err);
}

static Job *job_of(MpiComm *self, uint64_t number)
{
    return &self->jobs[number % COMM_IN_FLIGHT];
}

/* Looks what has come meanwhile, in the order of the starts; MPI moves nothing unless it is asked.
 */
static Status look(MpiComm *self, Err *err)
{
    for (uint64_t n = self->finished; n < self->started; n++) {
        Job *job = job_of(self, n);
        int done = 0;
        if (job->stage == STAGE_DONE)
            continue;
        TRY(mpi_check(MPI_Test(&job->pending, &done, MPI_STATUS_IGNORE), "go on", err));
        if (job->stage == STAGE_FIRST && !done)
            return STATUS_OK; /* the second stages must start in this order */
        if (job->stage == STAGE_FIRST)
            TRY(end_first(self, job, err));
        else if (done)
            job->stage = STAGE_DONE;
    }
    return STATUS_OK;
}

static Status start(MpiComm *self, CommRequest *request, Err *err)
{
    CHECK(self->started - self->finished < COMM_IN_FLIGHT, "more than %d collectives in flight",
          COMM_IN_FLIGHT);
    TRY(look(self, err));
    request->number = self->started;
    Job *job = job_of(self, request->number);
    job->what = request->what;
    job->stage = STAGE_FIRST;
    bool sends =
        request->what.kind != COLLECTIVE_BARRIER &&
        (request->what.kind != COLLECTIVE_BROADCAST || request->what.root == self->comm.rank);
    if (sends)
        TRY(fetch(self, request->queue, &request->what.send, &job->out, err));
    TRY(start_first(self, job, err));
    self->started++;
    return STATUS_OK;
}

static Status mpi_start(Comm *comm, CommRequest *request, Err *err)
{
    enter_mpi();
    Status status = start((MpiComm *)comm, request, err);
    leave_mpi(status == STATUS_OK ? 1 : 0);
    return status;
}

/* Brings what has come to the device. Sums are there already. */
static void deliver(MpiComm *self, const Job *job)
{
    const Collective *what = &job->what;
    bool is_root = what->kind == COLLECTIVE_BROADCAST && what->root == self->comm.rank;
    if (what->kind == COLLECTIVE_BARRIER || what->kind == COLLECTIVE_REDUCE_SCATTER)
        return;
    const void *from =
        what->kind == COLLECTIVE_ALL_REDUCE || is_root ? job->out.data : job->in.data;
    self->comm.ops->upload(self->queue, what->recv.data, from, tensor_bytes(&what->recv));
}

static Status finish(MpiComm *self, Job *job, Err *err)
{
    while (job->stage != STAGE_DONE) {
        TRY(mpi_check(MPI_Wait(&job->pending, MPI_STATUS_IGNORE), "finish", err));
        if (job->stage == STAGE_FIRST)
            TRY(end_first(self, job, err));
        else
            job->stage = STAGE_DONE;
    }
    self->finished++;
    return STATUS_OK;
}

static Status mpi_wait(Comm *comm, CommRequest *request, Err *err)
{
    MpiComm *self = (MpiComm *)comm;
    const Backend *ops = comm->ops;
    Job *job = job_of(self, request->number);
    CHECK(request->number == self->finished, "collectives are waited for in the order of start");
    enter_mpi();
    Status status = finish(self, job, err);
    leave_mpi(status == STATUS_OK ? -1 : 0);
    TRY(status);
    /* The caller's queue may still use what it receives into. */
    ops->event_record(request->queue, self->event);
    ops->event_wait(self->queue, self->event);
    deliver(self, job);
    ops->event_record(self->queue, self->event);
    ops->event_wait(request->queue, self->event);
    return ops->queue_wait(self->queue, err); /* the host memory is free again */
}

static Status mpi_reduce_host(Comm *comm, double *values, int64_t n, bool largest, Err *err)
{
    MpiComm *self = (MpiComm *)comm;
    CHECK(n <= INT_MAX, "%lld numbers at once", (long long)n);
    double *all = xmalloc((size_t)n * (size_t)comm->size * sizeof *all);
    enter_mpi();
    int code = MPI_Allgather(values, (int)n, MPI_DOUBLE, all, (int)n, MPI_DOUBLE, self->first);
    leave_mpi(0);
    for (int64_t i = 0; i < n && code == MPI_SUCCESS; i++) {
        values[i] = all[i];
        for (int r = 1; r < comm->size; r++) {
            double other = all[r * n + i];
            if (largest)
                values[i] = other > values[i] ? other : values[i];
            else
                values[i] += other;
        }
    }
    free(all);
    return mpi_check(code, "gather", err);
}

static Status mpi_broadcast_host(Comm *comm, void *data, size_t bytes, int root, Err *err)
{
    CHECK(bytes <= INT_MAX, "%zu bytes at once", bytes);
    enter_mpi();
    int code = MPI_Bcast(data, (int)bytes, MPI_BYTE, root, ((MpiComm *)comm)->first);
    leave_mpi(0);
    return mpi_check(code, "broadcast", err);
}

static const CommTable mpi_table = {
    .kind = "mpi",
    .start = mpi_start,
    .wait = mpi_wait,
    .reduce_host = mpi_reduce_host,
    .broadcast_host = mpi_broadcast_host,
    .split = mpi_split,
    .abort = mpi_abort,
    .free = mpi_free,
};
