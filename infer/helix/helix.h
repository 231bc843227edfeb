/* A model opened over the ranks of a Helix grid: threads of this process, or the processes that
 * mpirun started. Rank 0 leads: it alone runs the decoder, whose layers (behind a RunnerSource) run
 * on all ranks; the others follow its commands.
 *
 * One rank is the local decoder: then there is no grid and the source is NULL. */
#ifndef CAMBIUM_INFER_HELIX_HELIX_H
#define CAMBIUM_INFER_HELIX_HELIX_H

#include "core/cli/load_model.h"
#include "core/comm/ranks.h"
#include "core/decode/budget.h"
#include "infer/helix/rank.h"

typedef struct HelixSettings {
    int64_t ranks;
    int64_t block;
    int64_t memory; /* bytes; 0: what is free */
    char *grid;     /* "auto" (helix_choose_grid), or as helix_grid_parse reads it */
    char *hopb;     /* "on", "off" */
    char *comm;     /* auto, threads, mpi, nccl */
    /* What --grid auto is chosen for; no options. 0: the model's context, one sequence. */
    int64_t grid_context, grid_batch;
} HelixSettings;

/* Rows of a verb's option table; `field` is its HelixSettings. */
#define HELIX_OPTIONS(Settings, field)                                                             \
    {"ranks", OPTION_INT, offsetof(Settings, field) + offsetof(HelixSettings, ranks),              \
     "N",     "1",        "ranks to decode on (under mpirun: as many as it started)",              \
     NULL,    0,          "Helix"},                                                                \
        {"grid",                                                                                   \
         OPTION_TEXT,                                                                              \
         offsetof(Settings, field) + offsetof(HelixSettings, grid),                                \
         "GRID",                                                                                   \
         "auto",                                                                                   \
         "what the ranks do: kvp=2,tpa=2,tpf=4,ep=1 (KV shards and heads in attention, hidden "    \
         "units and experts in the feed-forward part); auto: the planner's, as --verbose tells",   \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"hopb",                                                                                   \
         OPTION_CHOICE,                                                                            \
         offsetof(Settings, field) + offsetof(HelixSettings, hopb),                                \
         NULL,                                                                                     \
         "on",                                                                                     \
         "overlap a request's exchange with the next one's attention",                             \
         "on|off",                                                                                 \
         0,                                                                                        \
         NULL},                                                                                    \
        {"memory",                                                                                 \
         OPTION_INT,                                                                               \
         offsetof(Settings, field) + offsetof(HelixSettings, memory),                              \
         "BYTES",                                                                                  \
         "0",                                                                                      \
         "what weights and KV cache may take of this machine's memory, or of each GPU's (0: what " \
         "is free); a context that does not fit is refused",                                       \
         NULL,                                                                                     \
         0,                                                                                        \
         NULL},                                                                                    \
        {"kv-block", OPTION_INT, offsetof(Settings, field) + offsetof(HelixSettings, block),       \
         "N",        "16",       "positions that a KV shard owns in a row",                        \
         NULL,       0,          NULL},                                                            \
    {                                                                                              \
        "comm", OPTION_CHOICE, offsetof(Settings, field) + offsetof(HelixSettings, comm), NULL,    \
            "auto", "how the ranks talk (auto: threads, MPI under mpirun, NCCL between GPUs)",     \
            "auto|threads|mpi|nccl", 0, NULL                                                       \
    }

typedef struct Helix Helix;

/* Opens the model on all ranks; refuses weights that do not fit the memory before it loads them. To
 * be closed also when it fails (out is then set, too, unless nothing was opened). `wire` (NULL:
 * none) slows the threads' communicator down. */
Status helix_open(Helix **out, const char *path, const LoadSettings *load,
                  const HelixSettings *settings, const CommWire *wire, Err *err);

/* False in the processes that follow: they call helix_follow and nothing else. */
bool helix_leads(const Helix *helix);
Status helix_follow(Helix *helix, Err *err);

/* The leader's: rank 0's shards (with whole configurations), borrowed, and where layers run. */
const LoadedModel *helix_model(const Helix *helix);
RunnerSource *helix_source(Helix *helix);             /* NULL: this process */
const MemoryBudget *helix_budget(const Helix *helix); /* for its decoders */
int helix_ranks(const Helix *helix);
HelixGrid helix_grid(const Helix *helix);
HelixTimes helix_times(const Helix *helix); /* rank 0's, of the present decoder or the last one */

/* Ends the followers. Takes the status of the work and returns what this process should. No decoder
 * may be left. NULL is allowed. */
Status helix_close(Helix *helix, Status status, Err *err);

/* Opens, works where the leader is and follows elsewhere, and closes: what a verb does. */
typedef Status HelixWork(void *context, Helix *helix, Err *err);
Status helix_use(const char *path, const LoadSettings *load, const HelixSettings *settings,
                 HelixWork *work, void *context, Err *err);

#endif
