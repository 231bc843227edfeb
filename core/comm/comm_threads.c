/* Ranks that are threads of this process: a collective is copies between the ranks' own buffers,
 * made by the receiver. Everybody posts, then moves what it receives, then waits until nobody reads
 * its buffers any more.
 *
 * The host waits only until all ranks have come so far; the devices wait for each other by events.
 * A receiver's queue waits for the senders' work before it reads, and each queue's later work waits
 * for all who read its buffers. An event is waited for only after it was recorded: ranks meet in
 * between. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/comm/comm.h"

typedef struct Group Group;

/* What all communicators that descend from one share: the lock, and whether a rank has failed. */
typedef struct World {
    pthread_mutex_t lock;
    bool aborted;
    int comms; /* communicators alive */
    Group *groups;
} World;

/* Points of a rank's queue that other ranks' queues wait for. */
typedef enum Point {
    POINT_SENT,    /* what it sends is made */
    POINT_REDUCED, /* its part of a sum is made */
    POINT_READ,    /* it has read what others sent */
    POINT_COUNT,
} Point;

/* One collective in flight. */
typedef struct Slot {
    const CommRequest **posted;  /* (size): by rank */
    Event **points[POINT_COUNT]; /* (size): by rank, made by its first collective in this slot */
    int n_posted, n_reduced, n_done, n_left;
    double wire_start; /* clock: all ranks have started, and the wire is free for this one */
} Slot;

struct Group {
    World *world;
    const Backend *ops;
    Group *next; /* in world->groups */
    pthread_cond_t changed;
    int size;
    int members; /* communicators alive */
    CommWire wire;
    double wire_free; /* clock: when the wire has taken all that was started */
    Slot slots[COMM_IN_FLIGHT];
    /* A plain barrier, and what ranks lay open between two of them. */
    int arrived;
    uint64_t generation;
    double **values; /* (size): reduce_host */
    void *told;      /* the root's data: broadcast_host */
    int *colors;     /* (size): split */
    Comm **parts;    /* (size): split */
};

typedef struct ThreadComm {
    Comm comm;
    Group *group;
    uint64_t started, finished;
    Tensor *sources; /* (size): scratch of sums */
    float *ones;     /* (size) */
} ThreadComm;

static const CommTable threads_table;

/* ---- groups --------------------------------------------------------------------------------- */

static Group *group_new(World *world, const Backend *ops, int size, const CommWire *wire)
{
    Group *group = xcalloc(1, sizeof *group);
    group->world = world;
    group->ops = ops;
    group->size = group->members = size;
    if (wire)
        group->wire = *wire;
    CHECK(pthread_cond_init(&group->changed, NULL) == 0, "no condition variable");
    for (int i = 0; i < COMM_IN_FLIGHT; i++) {
        Slot *slot = &group->slots[i];
        slot->posted = xcalloc((size_t)size, sizeof *slot->posted);
        for (int p = 0; p < POINT_COUNT; p++)
            slot->points[p] = xcalloc((size_t)size, sizeof(Event *));
    }
    group->values = xcalloc((size_t)size, sizeof *group->values);
    group->colors = xcalloc((size_t)size, sizeof *group->colors);
    group->parts = xcalloc((size_t)size, sizeof(Comm *));
    group->next = world->groups;
    world->groups = group;
    world->comms += size;
    return group;
}

static void slot_clear(const Group *group, Slot *slot)
{
    for (int p = 0; p < POINT_COUNT; p++) {
        for (int r = 0; r < group->size; r++)
            if (slot->points[p][r])
                group->ops->event_free(slot->points[p][r]);
        free(slot->points[p]);
    }
    free(slot->posted);
}

static void group_free(Group *group)
{
    Group **at = &group->world->groups;
    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    for (int i = 0; i < COMM_IN_FLIGHT; i++)
        slot_clear(group, &group->slots[i]);
    pthread_cond_destroy(&group->changed);
    free(group->values);
    free(group->colors);
    free(group->parts);
    free(group);
}

static Comm *member_new(Group *group, int rank)
{
    ThreadComm *self = xcalloc(1, sizeof *self);
    self->comm =
        (Comm){.table = &threads_table, .ops = group->ops, .rank = rank, .size = group->size};
    self->group = group;
    self->sources = xcalloc((size_t)group->size, sizeof *self->sources);
    self->ones = xcalloc((size_t)group->size, sizeof *self->ones);
    for (int i = 0; i < group->size; i++)
        self->ones[i] = 1.0f;
    return &self->comm;
}

void comm_threads_new(const Backend *ops, int n, const CommWire *wire, Comm **out)
{
    CHECK(n >= 1, "%d ranks", n);
    World *world = xcalloc(1, sizeof *world);
    CHECK(pthread_mutex_init(&world->lock, NULL) == 0, "no mutex");
    Group *group = group_new(world, ops, n, wire);
    for (int r = 0; r < n; r++)
        out[r] = member_new(group, r);
}

static void threads_free(Comm *comm)
{
    ThreadComm *self = (ThreadComm *)comm;
    Group *group = self->group;
    World *world = group->world;
    pthread_mutex_lock(&world->lock);
    bool last_of_group = --group->members == 0;
    bool last_of_world = --world->comms == 0;
    if (last_of_group)
        group_free(group);
    pthread_mutex_unlock(&world->lock);
    if (last_of_world) {
        pthread_mutex_destroy(&world->lock);
        free(world);
    }
    free(self->sources);
    free(self->ones);
    free(self);
}

static void threads_abort(Comm *comm)
{
    World *world = ((ThreadComm *)comm)->group->world;
    pthread_mutex_lock(&world->lock);
    world->aborted = true;
    for (Group *group = world->groups; group; group = group->next)
        pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&world->lock);
}

static Status failed_elsewhere(Err *err)
{
    return err_set(err, "another rank failed");
}

/* Waits, with the lock held, until *count reaches the number of ranks. */
static Status await_all(Group *group, const int *count, Err *err)
{
    while (*count < group->size && !group->world->aborted)
        pthread_cond_wait(&group->changed, &group->world->lock);
    return group->world->aborted ? failed_elsewhere(err) : STATUS_OK;
}

static Status announce(Group *group, int *count, Err *err)
{
    pthread_mutex_lock(&group->world->lock);
    if (++*count == group->size)
        pthread_cond_broadcast(&group->changed);
    Status status = await_all(group, count, err);
    pthread_mutex_unlock(&group->world->lock);
    return status;
}

static Status barrier(Group *group, Err *err)
{
    pthread_mutex_lock(&group->world->lock);
    uint64_t generation = group->generation;
    if (++group->arrived == group->size) {
        group->arrived = 0;
        group->generation++;
        pthread_cond_broadcast(&group->changed);
    }
    while (group->generation == generation && !group->world->aborted)
        pthread_cond_wait(&group->changed, &group->world->lock);
    Status status = group->generation == generation ? failed_elsewhere(err) : STATUS_OK;
    pthread_mutex_unlock(&group->world->lock);
    return status;
}

/* ---- points of queues ----------------------------------------------------------------------- */

static Status make_points(const ThreadComm *self, Slot *slot, Err *err)
{
    for (int p = 0; p < POINT_COUNT; p++) {
        Event **own = &slot->points[p][self->comm.rank];
        if (!*own)
            TRY(self->comm.ops->event_new(own, err));
    }
    return STATUS_OK;
}

static void mark(const ThreadComm *self, const CommRequest *request, const Slot *slot, Point point)
{
    self->comm.ops->event_record(request->queue, slot->points[point][self->comm.rank]);
}

/* Later work of this rank's queue waits until all other queues have come to the point. */
static void follow(const ThreadComm *self, const CommRequest *request, const Slot *slot,
                   Point point)
{
    for (int r = 0; r < self->comm.size; r++)
        if (r != self->comm.rank)
            self->comm.ops->event_wait(request->queue, slot->points[point][r]);
}

/* ---- moving data ---------------------------------------------------------------------------- */

static const Collective *of_rank(const Slot *slot, int rank)
{
    return &slot->posted[rank]->what;
}

/* Rows [begin, end) of a tensor into rows of another, by bytes. */
static void copy_rows(const ThreadComm *self, const CommRequest *request, const Tensor *to,
                      int64_t to_row, const Tensor *from, int64_t from_row, int64_t rows)
{
    if (rows == 0)
        return;
    Tensor source = tensor_slice(from, from_row, rows);
    Tensor target = tensor_slice(to, to_row, rows);
    CHECK(tensor_bytes(&source) == tensor_bytes(&target), "a collective of unequal parts");
    self->comm.ops->copy(request->queue, target.data, source.data, tensor_bytes(&source));
}

static Tensor flat(const Tensor *t)
{
    return tensor_1d(t->data, t->dtype, tensor_count(t));
}

/* out = the sum over ranks of elements [begin, begin + count) of their sends. */
static void sum_parts(ThreadComm *self, const CommRequest *request, const Slot *slot, Tensor out,
                      int64_t begin, int64_t count)
{
    if (count == 0)
        return;
    for (int r = 0; r < self->comm.size; r++) {
        Tensor send = flat(&of_rank(slot, r)->send);
        self->sources[r] = tensor_slice(&send, begin, count);
    }
    WeightedSumArgs sum = {
        .x = self->sources, .weights = self->ones, .n = self->comm.size, .y = out};
    self->comm.ops->weighted_sum(request->queue, &sum);
}

static int64_t share(int64_t n, int rank, int size)
{
    return n * rank / size;
}

/* Each rank sums one part of everybody's buffers and all take all parts. In place this is safe:
 * part r of any buffer is read by rank r alone until the second half, when it is final. */
static Status all_reduce(ThreadComm *self, const CommRequest *request, Slot *slot, Err *err)
{
    int rank = self->comm.rank, size = self->comm.size;
    Tensor recv = flat(&request->what.recv);
    int64_t n = recv.shape[0], begin = share(n, rank, size);
    int64_t count = share(n, rank + 1, size) - begin;
    sum_parts(self, request, slot, tensor_slice(&recv, begin, count), begin, count);
    mark(self, request, slot, POINT_REDUCED);
    TRY(announce(self->group, &slot->n_reduced, err));
    follow(self, request, slot, POINT_REDUCED);
    for (int r = 0; r < size; r++) {
        Tensor theirs = flat(&of_rank(slot, r)->recv);
        int64_t at = share(n, r, size);
        if (r != rank)
            copy_rows(self, request, &recv, at, &theirs, at, share(n, r + 1, size) - at);
    }
    return STATUS_OK;
}

static int64_t part_rows(const Tensor *whole, const int64_t *rows, int part, int size)
{
    return rows ? rows[part] : whole->shape[0] / size;
}

static void all_gather(ThreadComm *self, const CommRequest *request, const Slot *slot)
{
    int64_t row = 0;
    for (int r = 0; r < self->comm.size; r++) {
        const Tensor *send = &of_rank(slot, r)->send;
        copy_rows(self, request, &request->what.recv, row, send, 0, send->shape[0]);
        row += send->shape[0];
    }
    CHECK(row == request->what.recv.shape[0], "all_gather: %lld rows for %lld", (long long)row,
          (long long)request->what.recv.shape[0]);
}

static void all_to_all(ThreadComm *self, const CommRequest *request, const Slot *slot)
{
    int size = self->comm.size;
    const Collective *mine = &request->what;
    int64_t row = 0;
    for (int r = 0; r < size; r++) {
        const Collective *theirs = of_rank(slot, r);
        int64_t from = 0;
        for (int before = 0; before < self->comm.rank; before++)
            from += part_rows(&theirs->send, theirs->send_rows, before, size);
        int64_t rows = part_rows(&theirs->send, theirs->send_rows, self->comm.rank, size);
        CHECK(rows == part_rows(&mine->recv, mine->recv_rows, r, size),
              "all_to_all: rank %d sends %lld rows to rank %d, which expects others", r,
              (long long)rows, self->comm.rank);
        copy_rows(self, request, &mine->recv, row, &theirs->send, from, rows);
        row += rows;
    }
}

static Status move(ThreadComm *self, const CommRequest *request, Slot *slot, Err *err)
{
    const Collective *mine = &request->what;
    int rank = self->comm.rank, size = self->comm.size;
    for (int r = 0; r < size; r++)
        CHECK(of_rank(slot, r)->kind == mine->kind, "ranks started different collectives");
    switch (mine->kind) {
    case COLLECTIVE_ALL_REDUCE:
        return all_reduce(self, request, slot, err);
    case COLLECTIVE_REDUCE_SCATTER: {
        int64_t n = tensor_count(&mine->recv);
        CHECK(tensor_count(&mine->send) == n * size, "reduce_scatter: sizes");
        sum_parts(self, request, slot, flat(&mine->recv), n * rank, n);
        return STATUS_OK;
    }
    case COLLECTIVE_ALL_GATHER:
        all_gather(self, request, slot);
        return STATUS_OK;
    case COLLECTIVE_ALL_TO_ALL:
        all_to_all(self, request, slot);
        return STATUS_OK;
    case COLLECTIVE_BROADCAST: {
        const Tensor *from = &of_rank(slot, mine->root)->send;
        if (from->data != mine->recv.data)
            copy_rows(self, request, &mine->recv, 0, from, 0, from->shape[0]);
        return STATUS_OK;
    }
    case COLLECTIVE_BARRIER:
        return STATUS_OK;
    }
    return STATUS_OK;
}

/* ---- start and wait ------------------------------------------------------------------------- */

/* How long the simulated wire takes for what a rank receives. */
static double wire_seconds(const Group *group, const CommRequest *request)
{
    if (group->wire.bandwidth <= 0.0 || group->size == 1 ||
        request->what.kind == COLLECTIVE_BARRIER)
        return 0.0;
    return (double)tensor_bytes(&request->what.recv) / group->wire.bandwidth;
}

static Status threads_start(Comm *comm, CommRequest *request, Err *err)
{
    ThreadComm *self = (ThreadComm *)comm;
    Group *group = self->group;
    CHECK(self->started - self->finished < COMM_IN_FLIGHT, "more than %d collectives in flight",
          COMM_IN_FLIGHT);
    request->number = self->started++;
    Slot *slot = &group->slots[request->number % COMM_IN_FLIGHT];
    TRY(make_points(self, slot, err));
    pthread_mutex_lock(&group->world->lock);
    /* A slow rank may not have left the slot's last collective yet. */
    while (slot->posted[comm->rank] && !group->world->aborted)
        pthread_cond_wait(&group->changed, &group->world->lock);
    mark(self, request, slot, POINT_SENT);
    slot->posted[comm->rank] = request;
    if (++slot->n_posted == group->size) {
        slot->wire_start = fmax(clock_seconds(), group->wire_free);
        group->wire_free = slot->wire_start + wire_seconds(group, request);
        pthread_cond_broadcast(&group->changed);
    }
    Status status = group->world->aborted ? failed_elsewhere(err) : STATUS_OK;
    pthread_mutex_unlock(&group->world->lock);
    return status;
}

static void wait_for_wire(const Group *group, double received)
{
    double left = received + group->wire.latency - clock_seconds();
    if (left <= 0.0)
        return;
    struct timespec nap = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    nanosleep(&nap, NULL);
}

static Status threads_wait(Comm *comm, CommRequest *request, Err *err)
{
    ThreadComm *self = (ThreadComm *)comm;
    Group *group = self->group;
    Slot *slot = &group->slots[request->number % COMM_IN_FLIGHT];
    CHECK(request->number == self->finished, "collectives are waited for in the order of start");
    self->finished++;
    pthread_mutex_lock(&group->world->lock);
    Status status = await_all(group, &slot->n_posted, err);
    double wire_start = slot->wire_start;
    pthread_mutex_unlock(&group->world->lock);
    TRY(status);
    follow(self, request, slot, POINT_SENT);
    TRY(move(self, request, slot, err));
    mark(self, request, slot, POINT_READ);
    wait_for_wire(group, wire_start + wire_seconds(group, request));
    TRY(announce(group, &slot->n_done, err));
    follow(self, request, slot, POINT_READ);
    pthread_mutex_lock(&group->world->lock);
    if (++slot->n_left == group->size) {
        slot->n_posted = slot->n_reduced = slot->n_done = slot->n_left = 0;
        for (int r = 0; r < group->size; r++)
            slot->posted[r] = NULL;
        pthread_cond_broadcast(&group->changed);
    }
    pthread_mutex_unlock(&group->world->lock);
    return STATUS_OK;
}

static Status threads_reduce_host(Comm *comm, double *values, int64_t n, bool largest, Err *err)
{
    enum { MOST = 64 };
    double result[MOST];
    Group *group = ((ThreadComm *)comm)->group;
    CHECK(n <= MOST, "%lld numbers at once", (long long)n);
    group->values[comm->rank] = values;
    TRY(barrier(group, err));
    for (int64_t i = 0; i < n; i++) {
        result[i] = group->values[0][i];
        for (int r = 1; r < group->size; r++) {
            double other = group->values[r][i];
            if (largest)
                result[i] = other > result[i] ? other : result[i];
            else
                result[i] += other;
        }
    }
    TRY(barrier(group, err));
    memcpy(values, result, (size_t)n * sizeof *values);
    return STATUS_OK;
}

static Status threads_broadcast_host(Comm *comm, void *data, size_t bytes, int root, Err *err)
{
    Group *group = ((ThreadComm *)comm)->group;
    if (comm->rank == root)
        group->told = data;
    TRY(barrier(group, err));
    if (comm->rank != root)
        memcpy(data, group->told, bytes);
    return barrier(group, err);
}

/* The first rank of every color makes the new group for its members. */
static Status threads_split(Comm *comm, int color, Comm **out, Err *err)
{
    Group *group = ((ThreadComm *)comm)->group;
    group->colors[comm->rank] = color;
    TRY(barrier(group, err));
    int first = 0, members = 0;
    while (group->colors[first] != color)
        first++;
    for (int r = first; r < group->size; r++)
        members += group->colors[r] == color;
    if (first == comm->rank) {
        pthread_mutex_lock(&group->world->lock);
        Group *child = group_new(group->world, comm->ops, members, &group->wire);
        pthread_mutex_unlock(&group->world->lock);
        for (int r = first, rank = 0; r < group->size; r++)
            if (group->colors[r] == color)
                group->parts[r] = member_new(child, rank++);
    }
    TRY(barrier(group, err));
    *out = group->parts[comm->rank];
    return STATUS_OK;
}

static const CommTable threads_table = {
    .kind = "threads",
    .start = threads_start,
    .wait = threads_wait,
    .reduce_host = threads_reduce_host,
    .broadcast_host = threads_broadcast_host,
    .split = threads_split,
    .abort = threads_abort,
    .free = threads_free,
};

/* ---- running -------------------------------------------------------------------------------- */

typedef struct Seat {
    CommRankFn *fn;
    void *context;
    Comm *comm;
    int width;
    Status status;
    Err err;
} Seat;

static void *seat_main(void *argument)
{
    Seat *seat = argument;
    parallel_set_width(seat->width);
    seat->status = seat->fn(seat->context, seat->comm, &seat->err);
    if (seat->status != STATUS_OK)
        comm_abort(seat->comm);
    return NULL;
}

Status comm_run_threads(const Backend *ops, int n, const CommWire *wire, CommRankFn *fn,
                        void *context, Err *err)
{
    Comm **comms = xcalloc((size_t)n, sizeof(Comm *));
    Seat *seats = xcalloc((size_t)n, sizeof *seats);
    pthread_t *threads = xcalloc((size_t)n, sizeof *threads);
    comm_threads_new(ops, n, wire, comms);
    int width = parallel_width() / n > 0 ? parallel_width() / n : 1;
    for (int r = 0; r < n; r++) {
        seats[r] = (Seat){.fn = fn, .context = context, .comm = comms[r], .width = width};
        CHECK(pthread_create(&threads[r], NULL, seat_main, &seats[r]) == 0, "no thread for a rank");
    }
    Status status = STATUS_OK;
    for (int r = 0; r < n; r++)
        pthread_join(threads[r], NULL);
    /* A rank that only heard of another's failure says so; the failure itself tells more. */
    for (int r = 0; r < n; r++) {
        bool heard =
            seats[r].status != STATUS_OK && strcmp(seats[r].err.text, "another rank failed") == 0;
        if (seats[r].status == STATUS_OK || (status != STATUS_OK && heard))
            continue;
        bool replace = status == STATUS_OK || strcmp(err->text, "another rank failed") == 0;
        if (replace) {
            status = seats[r].status;
            *err = seats[r].err;
        }
    }
    for (int r = 0; r < n; r++)
        comm_free(comms[r]);
    free(comms);
    free(seats);
    free(threads);
    return status;
}
