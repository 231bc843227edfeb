/* The Helix grid: the same N ranks are KVP x TPA during attention and TPF x EP during the
 * feed-forward part (Helix Parallelism, section 2). Which rank holds what follows from the grid and
 * shapes alone; this file says it for heads, hidden units, words and positions.
 *
 * Rank r is (t, k) = (r / KVP, r % KVP) in attention and (g, f) = (r / TPF, r % TPF) in the
 * feed-forward part. Counts that a width does not divide are cut unevenly. */
#ifndef CAMBIUM_INFER_HELIX_GRID_H
#define CAMBIUM_INFER_HELIX_GRID_H

#include "core/model/ensemble.h"
#include "core/model/shard.h"

enum { HELIX_RANKS = 64, HELIX_BLOCK = 16 };

typedef struct HelixGrid {
    int kvp, tpa, tpf, ep;
} HelixGrid;

/* [begin, begin + count) */
typedef struct HelixRange {
    int64_t begin, count;
} HelixRange;

/* "kvp=2,tpa=2,tpf=2,ep=2"; widths left out follow from the others and the number of ranks (0:
 * unknown). Fails with what is wrong. */
Status helix_grid_parse(const char *text, int ranks, HelixGrid *out, Err *err);
void helix_grid_text(const HelixGrid *grid, char *text, size_t size);
int helix_grid_ranks(const HelixGrid *grid);

/* A grid for N ranks where nothing else is known: as little KV duplication and as few shards of a
 * sequence as the experts' KV heads allow, and feed-forward parts over all ranks. */
HelixGrid helix_grid_default(int ranks, const ModelConfig *const *configs, int64_t n);

/* Fails with the rule that a grid breaks for these experts, and the nearest grid that works. */
Status helix_grid_check(const HelixGrid *grid, const ModelConfig *const *configs, int64_t n,
                        Err *err);

/* ---- who holds what ------------------------------------------------------------------------- */

/* KV heads of a rank's TPA group, and the query heads that read them. */
HelixRange helix_kv_heads(const HelixGrid *grid, const ModelConfig *config, int rank);
HelixRange helix_q_heads(const HelixGrid *grid, const ModelConfig *config, int rank);
/* Query heads that a rank owns after the exchange: part k of its group's; the output projection's
 * columns are theirs. */
HelixRange helix_own_heads(const HelixGrid *grid, const ModelConfig *config, int rank);
/* cuts (kvp + 1): where the parts of a group's query heads begin, from 0. */
void helix_head_cuts(const HelixGrid *grid, const ModelConfig *config, int rank, int32_t *cuts);
/* Whether the rank's EP group runs the expert's feed-forward part, and its hidden units. */
bool helix_runs_ffn(const HelixGrid *grid, int64_t expert, int rank);
HelixRange helix_ffn_units(const HelixGrid *grid, const ModelConfig *config, int rank);
/* Words of the vocabulary whose logits the rank makes. */
HelixRange helix_words(const HelixGrid *grid, const ModelConfig *config, int rank);

/* Position p belongs to rank (p / block) % kvp of a KVP group; how many of the first `length`
 * positions are rank k's. Never more than rank 0's. */
int helix_owner(const HelixGrid *grid, int64_t block, int64_t position);
int64_t helix_local_length(const HelixGrid *grid, int64_t block, int64_t length, int k);
/* Where rank k's `local`-th position is in the whole sequence. */
int64_t helix_position(const HelixGrid *grid, int64_t block, int64_t local, int k);

/* The part of every parameter that a rank holds; `plan` must outlive its use. */
typedef struct HelixShards {
    HelixGrid grid;
    int rank;
} HelixShards;
ShardPlan helix_shard_plan(const HelixShards *shards);

#endif
