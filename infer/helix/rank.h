/* One rank of a Helix decoder: its shards of all experts, its part of the KV caches, and the pass
 * through the layers. All ranks make the same calls in the same order; calls marked (together)
 * exchange data and end on every rank or fail on every rank.
 *
 * Positions and lengths in this interface are those of the whole sequence. */
#ifndef CAMBIUM_INFER_HELIX_RANK_H
#define CAMBIUM_INFER_HELIX_RANK_H

#include "core/comm/comm.h"
#include "core/decode/runner.h"
#include "infer/helix/grid.h"

typedef struct HelixRankSetup {
    const Ensemble *ensemble; /* this rank's shards; borrowed */
    HelixGrid grid;
    int64_t block; /* positions that a rank owns in a row */
    bool hopb;     /* exchange request by request, each behind the attention of the next */
    /* Borrowed: all ranks in order; those of equal t by k; those of equal g by f; those of equal f
     * by g. */
    Comm *world, *kvp, *tpf, *ep;
    DecoderOptions options; /* complete */
} HelixRankSetup;

typedef struct HelixRank HelixRank;

size_t helix_rank_bytes(const HelixRankSetup *setup);
Status helix_rank_new(HelixRank **out, const HelixRankSetup *setup, Err *err);
void helix_rank_free(HelixRank *rank);

int64_t helix_rank_open(HelixRank *rank);
void helix_rank_close(HelixRank *rank, int64_t sequence);
void helix_rank_truncate(HelixRank *rank, int64_t sequence, int64_t length);
/* Takes over `units` pages on every rank: helix_rank_unit positions each. */
void helix_rank_share(HelixRank *rank, int64_t sequence, int64_t from, int64_t units);
int64_t helix_rank_unit(const HelixRank *rank);
/* What fits on rank 0 of a KVP group fits on the others. */
Status helix_rank_extend(HelixRank *rank, int64_t sequence, int64_t count, Err *err);
int64_t helix_rank_free_positions(const HelixRank *rank);

Status helix_rank_fill(HelixRank *rank, int64_t sequence, uint64_t seed, Err *err);

/* (together) As a Runner's read_kv and write_kv, on rank 0; the others give NULL. */
Status helix_rank_read_kv(HelixRank *rank, const KvRows *rows, void *host, Err *err);
Status helix_rank_write_kv(HelixRank *rank, const KvRows *rows, const void *host, Err *err);

/* (together) As a Runner's run; `rows->targets` is not looked at. */
Status helix_rank_run(HelixRank *rank, const RunnerRows *rows, Err *err);
/* (together) As a Runner's logits, on rank 0; the others give an absent tensor. */
Status helix_rank_logits(HelixRank *rank, int64_t expert, int64_t begin, int64_t count,
                         const Tensor *logits, Err *err);
/* (together) As a Runner's target_logprobs, on rank 0; logp of the others is not written. */
Status helix_rank_target_logprobs(HelixRank *rank, int64_t expert, const int32_t *targets,
                                  int64_t n, float *logp, Err *err);

/* Seconds of this rank since it was made: of steps by its host, of their parts by its device. */
typedef struct HelixTimes {
    double steps, attention, exposed, reduce; /* exposed: waiting for the exchange; reduce: in sums
                                                 over ranks */
} HelixTimes;
HelixTimes helix_rank_times(const HelixRank *rank);

#endif
