#include "infer/helix/grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT = 16 }; /* hidden units and words are cut at multiples of it, for aligned products */

/* ---- text ----------------------------------------------------------------------------------- */

int helix_grid_ranks(const HelixGrid *grid)
{
    return grid->kvp * grid->tpa;
}

void helix_grid_text(const HelixGrid *grid, char *text, size_t size)
{
    snprintf(text, size, "kvp=%d,tpa=%d,tpf=%d,ep=%d", grid->kvp, grid->tpa, grid->tpf, grid->ep);
}

static Status parse_width(const char **at, HelixGrid *grid, Err *err)
{
    struct {
        const char *name;
        int *width;
    } widths[] = {
        {"kvp=", &grid->kvp}, {"tpa=", &grid->tpa}, {"tpf=", &grid->tpf}, {"ep=", &grid->ep}};
    for (int i = 0; i < 4; i++) {
        size_t length = strlen(widths[i].name);
        if (strncmp(*at, widths[i].name, length) != 0)
            continue;
        char *end;
        long value = strtol(*at + length, &end, 10);
        if (end == *at + length || value < 1 || value > HELIX_RANKS)
            return err_usage(err, "--grid: %.*s wants a width from 1 to %d", (int)length - 1, *at,
                             HELIX_RANKS);
        if (*widths[i].width)
            return err_usage(err, "--grid: %.*s is given twice", (int)length - 1, *at);
        *widths[i].width = (int)value;
        *at = end;
        return STATUS_OK;
    }
    return err_usage(err, "--grid: '%s' is none of kvp=, tpa=, tpf=, ep=", *at);
}

/* The widths of a phase that were left out, where the other one and their product are known. */
static void complete(int *a, int *b, int ranks)
{
    if (!*a && !*b) {
        *a = ranks;
        *b = 1;
    } else if (!*b) {
        *b = ranks / *a > 0 ? ranks / *a : 1;
    } else if (!*a) {
        *a = ranks / *b > 0 ? ranks / *b : 1;
    }
}

Status helix_grid_parse(const char *text, int ranks, HelixGrid *out, Err *err)
{
    HelixGrid grid = {0};
    const char *at = text;
    do {
        at += *at == ',';
        TRY(parse_width(&at, &grid, err));
    } while (*at == ',');
    if (*at)
        return err_usage(err, "--grid: '%s' is not understood; write kvp=2,tpa=2,tpf=4,ep=1", at);
    if (ranks == 0 && grid.kvp && grid.tpa)
        ranks = grid.kvp * grid.tpa;
    if (ranks == 0 && grid.tpf && grid.ep)
        ranks = grid.tpf * grid.ep;
    if (ranks == 0)
        return err_usage(err, "--grid %s leaves the number of ranks open; give --ranks", text);
    complete(&grid.kvp, &grid.tpa, ranks);
    complete(&grid.tpf, &grid.ep, ranks);
    if (grid.kvp * grid.tpa != ranks || grid.tpf * grid.ep != ranks) {
        char whole[64];
        helix_grid_text(&grid, whole, sizeof whole);
        return err_usage(err,
                         "the grid %s is %d ranks in attention and %d in the feed-forward part, "
                         "where there are %d: kvp * tpa and tpf * ep must both be that",
                         whole, grid.kvp * grid.tpa, grid.tpf * grid.ep, ranks);
    }
    *out = grid;
    return STATUS_OK;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static int64_t fewest_kv_heads(const ModelConfig *const *configs, int64_t n)
{
    int64_t fewest = configs[0]->n_kv_heads;
    for (int64_t i = 1; i < n; i++)
        fewest = configs[i]->n_kv_heads < fewest ? configs[i]->n_kv_heads : fewest;
    return fewest;
}

/* The largest divisor of `ranks` that is at most `most`. */
static int largest_divisor(int ranks, int64_t most)
{
    int width = most < ranks ? (int)most : ranks;
    while (ranks % width != 0)
        width--;
    return width;
}

HelixGrid helix_grid_default(int ranks, const ModelConfig *const *configs, int64_t n)
{
    int tpa = largest_divisor(ranks, fewest_kv_heads(configs, n));
    return (HelixGrid){.kvp = ranks / tpa, .tpa = tpa, .tpf = ranks, .ep = 1};
}

Status helix_grid_check(const HelixGrid *grid, const ModelConfig *const *configs, int64_t n,
                        Err *err)
{
    int64_t heads = fewest_kv_heads(configs, n);
    HelixGrid near = *grid;
    char given[64], works[64];
    if (grid->tpa > heads) {
        near.tpa = largest_divisor(helix_grid_ranks(grid), heads);
        near.kvp = helix_grid_ranks(grid) / near.tpa;
    }
    if (grid->ep > n) {
        near.ep = largest_divisor(helix_grid_ranks(grid), n);
        near.tpf = helix_grid_ranks(grid) / near.ep;
    }
    helix_grid_text(grid, given, sizeof given);
    helix_grid_text(&near, works, sizeof works);
    if (grid->tpa > heads)
        return err_usage(
            err,
            "the grid %s cuts attention over tpa = %d ranks, but the model has %lld KV "
            "heads, which would have to be kept more than once; %s works",
            given, grid->tpa, (long long)heads, works);
    if (grid->ep > n)
        return err_usage(
            err,
            "the grid %s has ep = %d groups for %lld expert%s, and some would idle; %s "
            "works",
            given, grid->ep, (long long)n, n == 1 ? "" : "s", works);
    return STATUS_OK;
}

/* ---- who holds what ------------------------------------------------------------------------- */

/* The first parts are the larger ones, so that part 0 is empty only when all are. */
static int64_t cut(int64_t n, int parts, int index)
{
    return (n * index + parts - 1) / parts;
}

static HelixRange part(int64_t n, int parts, int index)
{
    int64_t begin = cut(n, parts, index);
    return (HelixRange){begin, cut(n, parts, index + 1) - begin};
}

/* The same in multiples of UNIT, but for the last part. */
static HelixRange part_of_units(int64_t n, int parts, int index)
{
    HelixRange units = part((n + UNIT - 1) / UNIT, parts, index);
    int64_t begin = units.begin * UNIT < n ? units.begin * UNIT : n;
    int64_t end = (units.begin + units.count) * UNIT;
    return (HelixRange){begin, (end < n ? end : n) - begin};
}

HelixRange helix_kv_heads(const HelixGrid *grid, const ModelConfig *config, int rank)
{
    return part(config->n_kv_heads, grid->tpa, rank / grid->kvp);
}

HelixRange helix_q_heads(const HelixGrid *grid, const ModelConfig *config, int rank)
{
    HelixRange kv = helix_kv_heads(grid, config, rank);
    int64_t group = config->n_heads / config->n_kv_heads;
    return (HelixRange){kv.begin * group, kv.count * group};
}

void helix_head_cuts(const HelixGrid *grid, const ModelConfig *config, int rank, int32_t *cuts)
{
    int64_t n = helix_q_heads(grid, config, rank).count;
    for (int k = 0; k <= grid->kvp; k++)
        cuts[k] = (int32_t)cut(n, grid->kvp, k);
}

HelixRange helix_own_heads(const HelixGrid *grid, const ModelConfig *config, int rank)
{
    HelixRange q = helix_q_heads(grid, config, rank);
    HelixRange own = part(q.count, grid->kvp, rank % grid->kvp);
    return (HelixRange){q.begin + own.begin, own.count};
}

bool helix_runs_ffn(const HelixGrid *grid, int64_t expert, int rank)
{
    return rank / grid->tpf == (int)(expert % grid->ep);
}

HelixRange helix_ffn_units(const HelixGrid *grid, const ModelConfig *config, int rank)
{
    return part_of_units(config->d_ff, grid->tpf, rank % grid->tpf);
}

HelixRange helix_words(const HelixGrid *grid, const ModelConfig *config, int rank)
{
    return part_of_units(config->vocab_size, helix_grid_ranks(grid), rank);
}

int helix_owner(const HelixGrid *grid, int64_t block, int64_t position)
{
    return (int)(position / block % grid->kvp);
}

int64_t helix_position(const HelixGrid *grid, int64_t block, int64_t local, int k)
{
    return (local / block * grid->kvp + k) * block + local % block;
}

int64_t helix_local_length(const HelixGrid *grid, int64_t block, int64_t length, int k)
{
    int64_t turn = block * grid->kvp; /* positions until rank 0 is the owner again */
    int64_t rest = length % turn - k * block;
    rest = rest < 0 ? 0 : rest < block ? rest : block;
    return length / turn * block + rest;
}

/* ---- parameters ----------------------------------------------------------------------------- */

static Shard rows(HelixRange range, int64_t each)
{
    return (Shard){SHARD_ROWS, range.begin * each, range.count * each};
}

static Shard columns(HelixRange range, int64_t each)
{
    return (Shard){SHARD_COLUMNS, range.begin * each, range.count * each};
}

static const Shard whole = {SHARD_WHOLE, 0, 0}, none = {SHARD_NONE, 0, 0};

static Shard head_part(const HelixShards *s, const ModelConfig *c, int which)
{
    bool words = which == HEAD_HEAD || which == HEAD_HEAD_BIAS;
    return words ? rows(helix_words(&s->grid, c, s->rank), 1) : whole;
}

/* The part of a block's matrix or bias. A bias behind a partial sum is added by one rank. */
static Shard block_part(const HelixShards *s, int64_t expert, const ModelConfig *c, int which)
{
    const HelixGrid *g = &s->grid;
    bool runs = helix_runs_ffn(g, expert, s->rank), first = s->rank % g->tpf == 0;
    switch ((BlockParam)which) {
    case BLOCK_ATTN_Q:
    case BLOCK_ATTN_Q_BIAS:
        return rows(helix_q_heads(g, c, s->rank), c->head_dim);
    case BLOCK_ATTN_K:
    case BLOCK_ATTN_K_BIAS:
    case BLOCK_ATTN_V:
    case BLOCK_ATTN_V_BIAS:
        return rows(helix_kv_heads(g, c, s->rank), c->head_dim);
    case BLOCK_ATTN_OUT:
        return columns(helix_own_heads(g, c, s->rank), c->head_dim);
    case BLOCK_ATTN_OUT_BIAS:
        return s->rank == 0 ? whole : none;
    case BLOCK_FFN_GATE:
    case BLOCK_FFN_UP:
    case BLOCK_FFN_UP_BIAS:
        return runs ? rows(helix_ffn_units(g, c, s->rank), 1) : none;
    case BLOCK_FFN_DOWN:
        return runs ? columns(helix_ffn_units(g, c, s->rank), 1) : none;
    case BLOCK_FFN_DOWN_BIAS:
        return runs && first ? whole : none;
    case BLOCK_ATTN_NORM:
    case BLOCK_ATTN_NORM_BIAS:
    case BLOCK_FFN_NORM:
    case BLOCK_FFN_NORM_BIAS:
    case BLOCK_PARAM_COUNT:
        break;
    }
    return whole;
}

/* y += B (A x): rows of the matrix are rows of B, its columns are columns of A. */
static Shard lora_part(Shard matrix, LoraSide side)
{
    bool cut = matrix.axis == SHARD_NONE || (matrix.axis == SHARD_ROWS && side == LORA_B) ||
               (matrix.axis == SHARD_COLUMNS && side == LORA_A);
    return cut ? matrix : whole;
}

static Shard part_of(const void *context, int64_t expert, const ModelConfig *config,
                     const ParamRef *ref)
{
    const HelixShards *s = context;
    if (ref->layer < 0)
        return whole;
    if (ref->layer == config->n_layers)
        return head_part(s, config, ref->which);
    Shard matrix = block_part(s, expert, config, ref->which);
    return ref->lora == LORA_NONE ? matrix : lora_part(matrix, ref->lora);
}

ShardPlan helix_shard_plan(const HelixShards *shards)
{
    return (ShardPlan){.part = part_of, .context = shards};
}
