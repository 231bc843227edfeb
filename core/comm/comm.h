/* Communicators: ranks that exchange tensors. A run is Backend x Comm. Kinds: `self` (one rank),
 * `threads:N` (N ranks as threads of this process), and the plug-ins `mpi` (processes that mpirun
 * started) and `nccl` (GPUs).
 *
 * Collectives are started and waited for, so that computing can go on in between. All ranks of a
 * communicator start the same collectives in the same order; at most COMM_IN_FLIGHT are in flight.
 * Between start and wait the send buffer must not be written nor the receive buffer touched.
 * Sums are made in the order of the ranks, whatever arrives first: results are deterministic, and
 * the same for threads and processes (NCCL has an order of its own).
 * Each rank's Comm belongs to that rank's thread. */
#ifndef CAMBIUM_CORE_COMM_COMM_H
#define CAMBIUM_CORE_COMM_COMM_H

#include "core/tensor/backend.h"

enum { COMM_IN_FLIGHT = 8 };

typedef enum CollectiveKind {
    COLLECTIVE_ALL_REDUCE,     /* recv = sum over ranks of send; float32 or bfloat16 */
    COLLECTIVE_REDUCE_SCATTER, /* recv = the part of that sum that belongs to this rank; send's
                                  first dimension is size * recv's */
    COLLECTIVE_ALL_GATHER,     /* recv = all ranks' sends one after the other */
    COLLECTIVE_ALL_TO_ALL,     /* part r of send goes to rank r; parts arrive by rank */
    COLLECTIVE_BROADCAST,      /* recv = the root's send */
    COLLECTIVE_BARRIER,        /* no data */
} CollectiveKind;

/* `send` and `recv` may be the same memory (in place) for all_reduce and broadcast. For
 * all_to_all, `send_rows` and `recv_rows` (size; host, valid until the wait) cut the first
 * dimension unevenly; NULL: evenly. For all_gather `recv_rows` likewise; it must be given when
 * ranks send different numbers of rows. */
typedef struct Collective {
    CollectiveKind kind;
    Tensor send, recv;
    int root;
    const int64_t *send_rows, *recv_rows;
} Collective;

typedef struct CommRequest {
    uint64_t number; /* of this collective on its communicator */
    Collective what;
    Queue *queue;
} CommRequest;

typedef struct Comm Comm;

/* What a kind of communicator provides. */
typedef struct CommTable {
    const char *kind;
    Status (*start)(Comm *comm, CommRequest *request, Err *err);
    Status (*wait)(Comm *comm, CommRequest *request, Err *err);
    /* values[i] over all ranks, in host memory: sums in rank order, or the largest. */
    Status (*reduce_host)(Comm *comm, double *values, int64_t n, bool largest, Err *err);
    /* `bytes` of host memory, the root's to everybody. */
    Status (*broadcast_host)(Comm *comm, void *data, size_t bytes, int root, Err *err);
    /* Collective: ranks of equal color form a new communicator, ordered by their old ranks. */
    Status (*split)(Comm *comm, int color, Comm **out, Err *err);
    /* Makes every rank's calls fail from now on, so that nobody waits for one that failed. Between
     * processes: when this one has said what failed and ends, all others are ended. */
    void (*abort)(Comm *comm);
    void (*free)(Comm *comm);
} CommTable;

struct Comm {
    const CommTable *table;
    const Backend *ops; /* of the memory that collectives touch */
    int rank, size;
};

/* Starts a collective on tensors that earlier work of `queue` makes. `what` is copied. */
Status comm_start(Comm *comm, Queue *queue, const Collective *what, CommRequest *request, Err *err);
/* Later work of the request's queue sees the result; both buffers are the caller's again. */
Status comm_wait(Comm *comm, CommRequest *request, Err *err);
Status comm_run(Comm *comm, Queue *queue, const Collective *what, Err *err); /* both at once */

Status comm_barrier(Comm *comm, Err *err);
Status comm_sum_host(Comm *comm, double *values, int64_t n, Err *err);
Status comm_max_host(Comm *comm, double *values, int64_t n, Err *err);
Status comm_broadcast_host(Comm *comm, void *data, size_t bytes, int root, Err *err);
Status comm_split(Comm *comm, int color, Comm **out, Err *err);
void comm_abort(Comm *comm);
void comm_free(Comm *comm);

/* One rank. */
Comm *comm_self_new(const Backend *ops);

/* ---- processes ------------------------------------------------------------------------------ */

/* Whether mpirun (of Open MPI) started this process, and as which of how many. */
typedef struct CommLaunch {
    int rank, size;             /* among all processes; 0 of 1 without mpirun */
    int local_rank, local_size; /* among those of this machine */
} CommLaunch;
CommLaunch comm_launch(void);

/* The processes that mpirun started, by the plug-in cambium_mpi.so. Once per process, on the thread
 * that uses it; freeing it ends MPI, and waits for the others to do the same. A process that ends
 * without freeing it, or after comm_abort, ends all others with it. */
Status comm_mpi_new(const Backend *ops, Comm **out, Err *err);

/* GPUs, by the plug-in cambium_nccl.so: one rank for each of `over`'s, which stays in use for
 * numbers on the host and must outlive this one. Collective. Each rank's device is a GPU of its
 * own. Sums are NCCL's: the same in every run of the same ranks, but not in the order of the ranks.
 */
Status comm_nccl_new(Comm *over, const Device *device, Comm **out, Err *err);

/* What the plug-in of a kind ("mpi", "nccl") stands on ("Open MPI 4.1.4"), or why it is not there.
 */
Status comm_describe(const char *kind, char *text, size_t size, Err *err);

/* ---- threads -------------------------------------------------------------------------------- */

/* A wire that is slower than memory, for measuring overlap on one machine: a collective's result is
 * there `latency` seconds + bytes received / `bandwidth` after the last rank started it. Those in
 * flight share the bandwidth, one after the other. The host waits for the wire: times mean
 * something on synchronous devices. */
typedef struct CommWire {
    double latency;   /* seconds; 0: none */
    double bandwidth; /* bytes per second; 0: unlimited */
} CommWire;

/* The `n` communicators of n ranks that will be threads; each is freed by its rank. `wire` may be
 * NULL. */
void comm_threads_new(const Backend *ops, int n, const CommWire *wire, Comm **out);

/* Runs fn(context, comm) on `n` threads, each with its own communicator and an equal share of the
 * caller's workers (parallel_width), and waits for all. Returns the first failure by rank; a rank
 * that fails makes the others' collectives fail. */
typedef Status CommRankFn(void *context, Comm *comm, Err *err);
Status comm_run_threads(const Backend *ops, int n, const CommWire *wire, CommRankFn *fn,
                        void *context, Err *err);

#endif
