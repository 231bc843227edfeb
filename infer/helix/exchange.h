/* Attention over a KV-sharded cache: each rank attends to its own positions, the partial outputs of
 * every query head travel to the rank that owns the head, and are merged there by their
 * log-sum-exps (Helix Parallelism, section 2.1). With HOP-B the exchange of one request overlaps
 * the attention of the next (section 2.1.3). */
#ifndef CAMBIUM_INFER_HELIX_EXCHANGE_H
#define CAMBIUM_INFER_HELIX_EXCHANGE_H

#include "core/base/mem.h"
#include "core/comm/comm.h"
#include "core/tensor/stopwatch.h"
#include "infer/helix/grid.h"

/* Shapes of one model's attention on one rank: T query heads here, own of them after the exchange.
 */
typedef struct ExchangeShape {
    int64_t chunk; /* rows at most */
    int64_t heads, own, head_dim;
    int32_t cuts[HELIX_RANKS + 1]; /* (kvp + 1): whose the heads are */
    DType type;                    /* of outputs */
    float scale;
} ExchangeShape;

typedef struct Exchange {
    ExchangeShape shape;
    Tensor out, lse;         /* (chunk, heads, D), (chunk, heads): of the local positions */
    Tensor packed, received; /* (chunk * heads, D + pad), (kvp * chunk * own, D + pad) */
    Tensor parts, part_lse;  /* (kvp * chunk * own, D), (kvp * chunk * own) */
} Exchange;

/* Takes the tensors from an arena, which may only measure. */
void exchange_plan(Exchange *exchange, const ExchangeShape *shape, int kvp, Arena *arena);

typedef struct ExchangeRun {
    Device device;
    Comm *comm;          /* the KVP group */
    Tensor q;            /* (n, heads, D), rotated */
    Tensor rows, limits; /* (n) int32: sequences, local positions that each row sees */
    KvPages kv;
    Tensor merged;         /* (n, own, D): out */
    const int64_t *groups; /* (n_groups + 1): rows that are exchanged together, from 0 to n */
    int64_t n_groups;
    Stopwatch *watch; /* laps of the kinds below */
} ExchangeRun;

/* What a step's time goes to: attending, waiting for what others send, sums over ranks. */
enum { LAP_ATTENTION, LAP_EXPOSED, LAP_REDUCE };

Status exchange_run(Exchange *exchange, ExchangeRun *run, Err *err);

#endif
