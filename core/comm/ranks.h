/* The ranks of a run: threads of this process, or the processes that mpirun started, each of which
 * is one rank.
 *
 * Processes go through a run in step: before each phase all say whether they are still well
 * (ranks_agree), so that what one of them finds wrong is told once and ends all of them. Only the
 * first one prints and writes files. Within a phase (training, decoding) a process that fails ends
 * the others when it ends. */
#ifndef CAMBIUM_CORE_COMM_RANKS_H
#define CAMBIUM_CORE_COMM_RANKS_H

#include "core/comm/comm.h"

typedef struct RanksWish {
    const char *kind;    /* "auto", "threads", "mpi" or "nccl" */
    const char *device;  /* of --device */
    const char *require; /* of --require, or NULL */
    int64_t count;       /* of --ranks */
    bool count_given;
} RanksWish;

typedef struct Ranks {
    int count;      /* of all */
    Comm *comm;     /* of the processes; NULL: the ranks are threads of this one */
    Comm *over;     /* what `comm` stands on, or NULL */
    bool is_first;  /* this process prints and writes */
    bool in_phase;  /* set by the owner while it works without agreeing */
    bool is_over;   /* all have heard that one failed */
    bool is_silent; /* it was another one, which says so */
} Ranks;

/* Opens this process's device and meets the other processes, if there are any. To be closed also
 * when it fails. */
Status ranks_open(Ranks *ranks, Device *device, const RanksWish *wish, Err *err);
/* Closes both, says what happened to the others, and returns what this process should. Where
 * another process failed, that one alone returns it: mpirun ends all as soon as one leaves with an
 * error, and it could be this one, before the other has said why. */
Status ranks_close(Ranks *ranks, Device *device, Status status, Err *err);

/* Collective: STATUS_OK when no process has failed; else STATUS_FAIL, and the first of those that
 * failed keeps its sentence while all others become silent. */
Status ranks_agree(Ranks *ranks, Status status, Err *err);

#endif
