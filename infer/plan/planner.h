/* Which layout serves a model on a machine: a roofline with latencies (infer/plan/roofline.h) over
 * every Helix grid, and over the layouts that it is compared with.
 *
 * A step makes one token for each of `batch` requests. Per layer it takes max(bytes read /
 * bandwidth, operations / rate) for attention and for the weights, the part of the exchange that
 * attention does not hide, the other collectives, and a fixed overhead; at the end the output head.
 * Ranks that share one machine hide nothing: what moves their messages is the cores that compute.
 * Thread-safe: nothing is kept. */
#ifndef CAMBIUM_INFER_PLAN_PLANNER_H
#define CAMBIUM_INFER_PLAN_PLANNER_H

#include "infer/plan/plan_hardware.h"
#include "infer/plan/plan_model.h"

/* kvp * tpa = tpf * ep ranks; see design section 9. */
typedef struct PlanGrid {
    int64_t kvp, tpa, tpf, ep;
} PlanGrid;

typedef enum PlanStrategy {
    PLAN_HELIX = 0,
    PLAN_TP = 1,  /* attention and feed-forward cut the same way; mixtures: TP x EP */
    PLAN_PP = 2,  /* the same in `pp` stages, each with a batch of its own in flight */
    PLAN_EP = 3,  /* requests divided among `dp` groups of ranks, experts among all (mixtures) */
    PLAN_KVP = 4, /* Medha: KV-parallel attention, feed-forward on the TP group alone (dense) */
} PlanStrategy;
enum { PLAN_STRATEGIES = 5 };
const char *plan_strategy_name(PlanStrategy strategy); /* "helix", "tp", "tp+pp", "dp+ep", "kvp" */

typedef struct PlanLayout {
    PlanStrategy strategy;
    PlanGrid grid;
    int64_t dp, pp; /* 1 but for PLAN_EP and PLAN_PP */
} PlanLayout;
int64_t plan_ranks(const PlanLayout *layout);

typedef struct PlanRequest {
    double context;           /* positions that each request has cached */
    double ttl;               /* seconds per token that are allowed; 0: as fast as can be */
    int64_t ranks, min_ranks; /* the most and the fewest; powers of two between them are tried */
    int64_t batch;            /* requests at a time; 0: 1, 2, 4, ... as many as fit */
    PlanType weights, kv;
    bool lockstep; /* HOP-B off: the exchange waits for all requests' attention */
    bool literal;  /* the output projection as in the paper's appendix: over TPA */
} PlanRequest;

/* One step of the busiest rank. Times are summed over layers. */
typedef struct PlanCost {
    double attention, attention_weights, feed_forward, head; /* seconds */
    double exchange; /* of the all-to-all, what attention does not hide */
    double reduce;   /* other collectives, and what goes between pipeline stages */
    double overhead;
    double total;                     /* time per token of a user */
    double hidden;                    /* seconds of the exchange that HOP-B hides */
    int64_t pieces;                   /* into which HOP-B cuts the batch at most; 0 and 1: none */
    bool compute_bound;               /* attention waits for arithmetic, not for memory */
    double read;                      /* bytes of weights and cache */
    double sent;                      /* bytes, exchange and other collectives */
    double weight_bytes, cache_bytes; /* held */
    bool fits;                        /* they are no more than the hardware's usable memory */
} PlanCost;

typedef struct PlanPoint {
    PlanLayout layout;
    int64_t batch; /* users at a time */
    PlanCost cost;
    double per_user; /* tokens per second and user */
    double per_rank; /* tokens per second and rank */
} PlanPoint;

/* ---- one grid -------------------------------------------------------------------------------- */

/* Fails with the rule that a Helix grid breaks: kvp * tpa = tpf * ep; tpa <= KV heads; no more
 * ranks than query heads; ep <= experts. */
Status plan_grid_check(const PlanModel *model, const PlanGrid *grid, Err *err);

/* Time per token and memory per rank of a Helix grid, whether it fits or not. */
Status planner_predict(const PlanModel *model, const PlanHardware *hardware,
                       const PlanRequest *request, const PlanGrid *grid, int64_t batch,
                       PlanPoint *out, Err *err);

/* The same of any layout, which is taken as valid. */
PlanPoint plan_point(const PlanModel *model, const PlanHardware *hardware,
                     const PlanRequest *request, const PlanLayout *layout, int64_t batch);

/* ---- all of them ----------------------------------------------------------------------------- */

typedef struct PlanSearch {
    PlanPoint *points; /* all that fit; owned */
    int64_t count, capacity;
    int64_t tried;
    double least_memory; /* bytes per rank of the smallest that does not fit */
} PlanSearch;

/* Fails when nothing fits. The caller frees with plan_search_clear. */
Status planner_search(const PlanModel *model, const PlanHardware *hardware,
                      const PlanRequest *request, PlanSearch *out, Err *err);
void plan_search_clear(PlanSearch *search);

/* A set of strategies: bit s for strategy s. */
enum { PLAN_ALL = (1 << PLAN_STRATEGIES) - 1, PLAN_BASELINES = PLAN_ALL & ~(1 << PLAN_HELIX) };

/* The points that no other point of those strategies beats in both tokens per second and user and
 * tokens per second and rank, by falling speed of a user. Returns their number; `front` has room
 * for search->count borrowed pointers. */
int64_t plan_front(const PlanSearch *search, unsigned strategies, const PlanPoint **front);

/* The point with the most tokens per second and rank that takes at most `ttl` seconds per token (0:
 * the fastest), or NULL. */
const PlanPoint *plan_pick(const PlanSearch *search, unsigned strategies, double ttl);

/* Helix against the baselines: the best speed of a user over theirs, and the largest factor in
 * tokens per second and rank at a speed that they reach. 0 when either has no point. */
typedef struct PlanGain {
    double interactivity, throughput;
    double at; /* seconds per token at which that factor is */
} PlanGain;
PlanGain plan_gain(const PlanSearch *search);

/* The Helix grid and batch for `request`. Fails when none fits, or none is fast enough, with what
 * would be. */
Status planner_best(const PlanModel *model, const PlanHardware *hardware,
                    const PlanRequest *request, PlanPoint *out, Err *err);

#endif
