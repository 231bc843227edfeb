/* Which grid `--grid auto` is. The rule of helix_grid_default needs no figures; the planner weighs
 * what it leaves out (KV heads that the ranks do not divide, how long the context is, experts that
 * could be groups of ranks) on a typical machine, not on this one: nothing is measured, so that the
 * choice is made at once and is the same everywhere. */
#ifndef CAMBIUM_INFER_HELIX_CHOOSE_GRID_H
#define CAMBIUM_INFER_HELIX_CHOOSE_GRID_H

#include "infer/helix/grid.h"

typedef struct GridWish {
    int ranks;
    bool own_devices;       /* each rank has a GPU; else they share one machine */
    int64_t context, batch; /* positions that a sequence has cached, and sequences at a time */
    DType weights, kv;
    bool hopb;
} GridWish;

typedef struct GridChoice {
    HelixGrid grid;
    char reason[1100]; /* a sentence without a full stop */
} GridChoice;

/* The planner's grid where it is clearly faster than the rule's; else, and where the planner
 * refuses (more ranks than query heads), the rule's. */
GridChoice helix_choose_grid(const GridWish *wish, const ModelConfig *const *configs, int64_t n);

#endif
