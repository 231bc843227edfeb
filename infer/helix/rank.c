#include "infer/helix/rank.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/decode/kv_fill.h"
#include "core/model/forward.h"
#include "infer/helix/exchange.h"
#include "infer/helix/gather_kv.h"
#include "infer/helix/words.h"

enum {
    GROUP_ROWS = 128, /* of one request that are exchanged at once, at most */
    GROUPS = 64,      /* of a step */
};

/* One expert's shard with its buffers. */
typedef struct HelixExpert {
    const Model *model;
    KvCache *cache;
    HelixRange q, kv, own, units;
    bool runs_ffn;
    Tensor x;       /* (chunk, C) float32: the residual stream */
    Tensor y;       /* (chunk, C) compute: after the final norm */
    Tensor partial; /* (chunk, C) float32: a projection's output, partial or whole */
    BlockBuffers buffers;
    Exchange exchange;
    Stream stream; /* of the present run */
} HelixExpert;

struct HelixRank {
    HelixRankSetup setup;
    int rank;
    Device device;
    int64_t n_experts, n_layers; /* of the deepest expert */
    HelixExpert *experts;
    int64_t *lengths; /* (max_sequences) */
    void *memory;
    Tensor tokens, positions, sequences, limits, slots; /* (chunk) int32 */
    int32_t *host;                                      /* (2, chunk): limits and slots */
    Tensor gathered; /* EP > 1: (chunk * the sum of C of a round's experts) float32 */
    Words words;
    int64_t groups[GROUPS + 1], n_groups;
    double steps; /* seconds */
    Stopwatch watch;
};

/* ---- buffers -------------------------------------------------------------------------------- */

static Tensor rows_of(Arena *arena, DType type, int64_t rows, int64_t cols)
{
    return tensor_take(arena, tensor_2d(NULL, type, rows, cols));
}

static void plan_block(HelixExpert *e, int64_t chunk, Arena *arena)
{
    const ModelConfig *c = &e->model->config;
    DType type = e->model->compute;
    int64_t D = c->head_dim, F = e->runs_ffn ? e->units.count : 0;
    BlockBuffers *b = &e->buffers;
    *b = (BlockBuffers){0};
    b->attn_in = rows_of(arena, type, chunk, c->d_model);
    b->q = rows_of(arena, type, chunk, e->q.count * D);
    b->k = rows_of(arena, type, chunk, e->kv.count * D);
    b->v = rows_of(arena, type, chunk, e->kv.count * D);
    b->attn = rows_of(arena, type, chunk, e->own.count * D);
    b->ffn_in = rows_of(arena, type, chunk, c->d_model);
    if (c->act == ACT_SWIGLU) {
        b->ffn_up = rows_of(arena, type, chunk, F);
        b->ffn_gate = rows_of(arena, type, chunk, F);
    }
    b->ffn_act = rows_of(arena, type, chunk, F);
    if (c->lora_rank > 0)
        b->lora = rows_of(arena, type, chunk, c->lora_rank);
}

static void plan_expert(const HelixRank *r, HelixExpert *e, Arena *arena)
{
    const ModelConfig *c = &e->model->config;
    int64_t chunk = r->setup.options.chunk;
    e->x = rows_of(arena, DTYPE_F32, chunk, c->d_model);
    e->y = rows_of(arena, e->model->compute, chunk, c->d_model);
    e->partial = rows_of(arena, DTYPE_F32, chunk, c->d_model);
    plan_block(e, chunk, arena);
    ExchangeShape shape = {.chunk = chunk,
                           .heads = e->q.count,
                           .own = e->own.count,
                           .head_dim = c->head_dim,
                           .type = e->model->compute,
                           .scale = 1.0f / sqrtf((float)c->head_dim)};
    helix_head_cuts(&r->setup.grid, c, r->rank, shape.cuts);
    exchange_plan(&e->exchange, &shape, r->setup.grid.kvp, arena);
}

/* Elements that one row of all experts of a round takes, where groups gather each other's. */
static int64_t widest_round(const HelixRank *r)
{
    int64_t widest = 0, ep = r->setup.grid.ep;
    for (int64_t first = 0; first < r->n_experts; first += ep) {
        int64_t width = 0;
        for (int64_t i = first; i < first + ep && i < r->n_experts; i++)
            width += r->experts[i].model->config.d_model;
        widest = width > widest ? width : widest;
    }
    return widest;
}

static void plan(HelixRank *r, Arena *arena)
{
    int64_t chunk = r->setup.options.chunk;
    Tensor *ints[] = {&r->tokens, &r->positions, &r->sequences, &r->limits, &r->slots};
    for (int i = 0; i < 5; i++)
        *ints[i] = tensor_take(arena, tensor_1d(NULL, DTYPE_I32, chunk));
    for (int64_t i = 0; i < r->n_experts; i++)
        plan_expert(r, &r->experts[i], arena);
    if (r->setup.grid.ep > 1)
        r->gathered = tensor_take(arena, tensor_1d(NULL, DTYPE_F32, chunk * widest_round(r)));
    words_plan(&r->words, &r->setup, arena);
}

/* A rank's cache holds its share of every sequence, rank 0's being the largest. */
static KvShape cache_shape(const HelixRank *r, const HelixExpert *e)
{
    const HelixRankSetup *s = &r->setup;
    const DecoderOptions *o = &s->options;
    KvShape shape = runner_kv_shape(e->model, o);
    int64_t pages = (o->kv_positions / s->grid.kvp + o->page_size - 1) / o->page_size;
    shape.n_kv_heads = e->kv.count;
    shape.max_positions = helix_local_length(&s->grid, s->block, o->max_positions, 0);
    shape.n_pages = pages + (s->grid.kvp > 1 ? o->max_sequences : 0);
    return shape;
}

/* ---- making --------------------------------------------------------------------------------- */

static HelixRank *describe(const HelixRankSetup *setup)
{
    HelixRank *r = xcalloc(1, sizeof *r);
    r->setup = *setup;
    r->rank = setup->world->rank;
    r->device = setup->ensemble->experts[0]->device;
    r->watch.device = r->device;
    r->n_experts = setup->ensemble->n_experts;
    r->experts = xcalloc((size_t)r->n_experts, sizeof *r->experts);
    for (int64_t i = 0; i < r->n_experts; i++) {
        HelixExpert *e = &r->experts[i];
        e->model = setup->ensemble->experts[i];
        const ModelConfig *c = &e->model->config;
        e->q = helix_q_heads(&setup->grid, c, r->rank);
        e->kv = helix_kv_heads(&setup->grid, c, r->rank);
        e->own = helix_own_heads(&setup->grid, c, r->rank);
        e->units = helix_ffn_units(&setup->grid, c, r->rank);
        e->runs_ffn = helix_runs_ffn(&setup->grid, i, r->rank);
        r->n_layers = c->n_layers > r->n_layers ? c->n_layers : r->n_layers;
    }
    return r;
}

size_t helix_rank_bytes(const HelixRankSetup *setup)
{
    HelixRank *r = describe(setup);
    Arena arena;
    arena_init(&arena, NULL, 0);
    plan(r, &arena);
    size_t bytes = arena.used;
    for (int64_t i = 0; i < r->n_experts; i++) {
        KvShape shape = cache_shape(r, &r->experts[i]);
        bytes += kv_cache_bytes(&shape);
    }
    helix_rank_free(r);
    return bytes;
}

Status helix_rank_new(HelixRank **out, const HelixRankSetup *setup, Err *err)
{
    *out = NULL;
    CHECK(setup->options.page_size % setup->block == 0, "pages of %lld do not hold blocks of %lld",
          (long long)setup->options.page_size, (long long)setup->block);
    HelixRank *r = describe(setup);
    r->lengths = xcalloc((size_t)setup->options.max_sequences, sizeof *r->lengths);
    r->host = xcalloc((size_t)(2 * setup->options.chunk), sizeof *r->host);
    Arena arena;
    arena_init(&arena, NULL, 0);
    plan(r, &arena);
    size_t bytes = arena.used;
    Status status = r->device.ops->alloc(&r->memory, bytes, "the decoder's buffers", err);
    if (status == STATUS_OK) {
        arena_init(&arena, r->memory, bytes);
        plan(r, &arena);
    }
    for (int64_t i = 0; i < r->n_experts && status == STATUS_OK; i++) {
        KvShape shape = cache_shape(r, &r->experts[i]);
        status = kv_cache_new(&r->experts[i].cache, &r->device, &shape, err);
    }
    if (status != STATUS_OK)
        helix_rank_free(r);
    else
        *out = r;
    return status;
}

void helix_rank_free(HelixRank *r)
{
    if (!r)
        return;
    for (int64_t i = 0; i < r->n_experts; i++)
        kv_cache_free(r->experts[i].cache);
    if (r->memory)
        r->device.ops->free(r->memory);
    stopwatch_clear(&r->watch);
    free(r->experts);
    free(r->lengths);
    free(r->host);
    free(r);
}

HelixTimes helix_rank_times(const HelixRank *r)
{
    const double *seconds = r->watch.seconds;
    return (HelixTimes){.steps = r->steps,
                        .attention = seconds[LAP_ATTENTION],
                        .exposed = seconds[LAP_EXPOSED],
                        .reduce = seconds[LAP_REDUCE]};
}

/* ---- sequences ------------------------------------------------------------------------------ */

static int64_t local_length(const HelixRank *r, int64_t length)
{
    const HelixRankSetup *s = &r->setup;
    return helix_local_length(&s->grid, s->block, length, s->kvp->rank);
}

int64_t helix_rank_open(HelixRank *r)
{
    int64_t sequence = -1;
    for (int64_t i = 0; i < r->n_experts; i++)
        sequence = kv_cache_open(r->experts[i].cache);
    if (sequence >= 0)
        r->lengths[sequence] = 0;
    return sequence;
}

void helix_rank_close(HelixRank *r, int64_t sequence)
{
    for (int64_t i = 0; i < r->n_experts; i++)
        kv_cache_close(r->experts[i].cache, sequence);
}

void helix_rank_truncate(HelixRank *r, int64_t sequence, int64_t length)
{
    int64_t local = local_length(r, length);
    for (int64_t i = 0; i < r->n_experts; i++)
        if (kv_cache_length(r->experts[i].cache, sequence) > local)
            kv_cache_truncate(r->experts[i].cache, sequence, local);
    if (r->lengths[sequence] > length)
        r->lengths[sequence] = length;
}

int64_t helix_rank_unit(const HelixRank *r)
{
    return r->setup.options.page_size * r->setup.grid.kvp;
}

void helix_rank_share(HelixRank *r, int64_t sequence, int64_t from, int64_t units)
{
    for (int64_t i = 0; i < r->n_experts; i++)
        kv_cache_share(r->experts[i].cache, sequence, from, units);
    r->lengths[sequence] = units * helix_rank_unit(r);
}

Status helix_rank_extend(HelixRank *r, int64_t sequence, int64_t count, Err *err)
{
    int64_t length = r->lengths[sequence], most = r->setup.options.max_positions;
    if (length + count > most)
        return err_set(err,
                       "a sequence of %lld tokens does not fit the %lld positions planned for it; "
                       "raise --context",
                       (long long)(length + count), (long long)most);
    int64_t local = local_length(r, length + count) - local_length(r, length);
    for (int64_t i = 0; i < r->n_experts; i++)
        TRY(kv_cache_extend(r->experts[i].cache, sequence, local, err));
    r->lengths[sequence] = length + count;
    return STATUS_OK;
}

int64_t helix_rank_free_positions(const HelixRank *r)
{
    return kv_cache_free_positions(r->experts[0].cache) * r->setup.grid.kvp;
}

Status helix_rank_fill(HelixRank *r, int64_t sequence, uint64_t seed, Err *err)
{
    for (int64_t i = 0; i < r->n_experts; i++) {
        const HelixExpert *e = &r->experts[i];
        KvFill fill = {.device = r->device,
                       .compute = e->model->compute,
                       .seed = seed,
                       .expert = i,
                       .first_head = e->kv.begin,
                       .block = r->setup.block,
                       .shards = r->setup.grid.kvp,
                       .shard = r->setup.kvp->rank};
        TRY(kv_fill(e->cache, &fill, sequence, err));
    }
    return STATUS_OK;
}

static KvShards shards_of(const HelixRank *r, int64_t expert)
{
    const HelixExpert *e = &r->experts[expert];
    return (KvShards){.device = r->device,
                      .world = r->setup.world,
                      .grid = r->setup.grid,
                      .block = r->setup.block,
                      .config = &e->model->config,
                      .cache = e->cache};
}

Status helix_rank_read_kv(HelixRank *r, const KvRows *rows, void *host, Err *err)
{
    KvShards shards = shards_of(r, rows->expert);
    return gather_kv(&shards, rows, host, err);
}

Status helix_rank_write_kv(HelixRank *r, const KvRows *rows, const void *host, Err *err)
{
    KvShards shards = shards_of(r, rows->expert);
    return scatter_kv(&shards, rows, host, err);
}

/* ---- a run ---------------------------------------------------------------------------------- */

/* Rows that are exchanged together: those of a request, in pieces of bounded size. */
static void cut_groups(HelixRank *r, const RunnerRows *rows)
{
    int64_t most = (rows->n + GROUPS - 1) / GROUPS;
    most = most > GROUP_ROWS ? most : GROUP_ROWS;
    int64_t fewest = rows->n > GROUPS ? (rows->n + GROUPS - 1) / GROUPS : 1;
    r->n_groups = 0;
    r->groups[0] = 0;
    for (int64_t i = 1; i <= rows->n && r->setup.hopb; i++) {
        int64_t size = i - r->groups[r->n_groups];
        bool ends = i == rows->n || rows->sequences[i] != rows->sequences[i - 1];
        if ((ends && size >= fewest) || size >= most)
            r->groups[++r->n_groups] = i;
    }
    if (r->groups[r->n_groups] < rows->n)
        r->groups[++r->n_groups] = rows->n;
}

static void upload_ints(const HelixRank *r, const Tensor *t, const int32_t *host, int64_t n)
{
    r->device.ops->upload(r->device.queue, t->data, host, (size_t)n * sizeof *host);
}

static void upload_rows(HelixRank *r, const RunnerRows *rows)
{
    const HelixRankSetup *s = &r->setup;
    int64_t chunk = s->options.chunk;
    int32_t *limits = r->host, *slots = r->host + chunk;
    const KvCache *cache = r->experts[0].cache; /* the experts' caches have the same pages */
    for (int64_t i = 0; i < rows->n; i++) {
        int64_t position = rows->positions[i];
        bool mine = helix_owner(&s->grid, s->block, position) == s->kvp->rank;
        limits[i] = (int32_t)local_length(r, position + 1);
        slots[i] = mine ? kv_cache_slot(cache, rows->sequences[i], limits[i] - 1) : -1;
    }
    upload_ints(r, &r->tokens, rows->tokens, rows->n);
    upload_ints(r, &r->positions, rows->positions, rows->n);
    upload_ints(r, &r->sequences, rows->sequences, rows->n);
    upload_ints(r, &r->limits, limits, rows->n);
    upload_ints(r, &r->slots, slots, rows->n);
    for (int64_t i = 0; i < r->n_experts; i++)
        kv_cache_sync(r->experts[i].cache);
    cut_groups(r, rows);
}

static Status all_reduce(HelixRank *r, Comm *comm, const Tensor *partial, Err *err)
{
    if (comm->size == 1)
        return STATUS_OK;
    Collective sum = {.kind = COLLECTIVE_ALL_REDUCE, .send = *partial, .recv = *partial};
    stopwatch_begin(&r->watch, LAP_REDUCE);
    Status status = comm_run(comm, r->device.queue, &sum, err);
    stopwatch_end(&r->watch, LAP_REDUCE);
    return status;
}

static void clear(const HelixRank *r, const Tensor *t)
{
    r->device.ops->zero(r->device.queue, t->data, tensor_bytes(t));
}

/* Up to the norm before the feed-forward part; every rank then has ffn_in whole. */
static Status attention_phase(HelixRank *r, HelixExpert *e, int64_t layer, int64_t n, Err *err)
{
    const ModelConfig *c = &e->model->config;
    const Backend *ops = r->device.ops;
    BlockBuffers b = block_buffers_first(&e->buffers, n);
    Tensor positions = tensor_first(&r->positions, n), partial = tensor_first(&e->partial, n);
    KvPages kv = kv_cache_pages(e->cache, layer);
    forward_qkv(e->model, layer, &e->stream, &positions, &b);
    ops->kv_write(r->device.queue,
                  &(KvWriteArgs){.k = forward_heads(&b.k, e->kv.count, c->head_dim),
                                 .v = forward_heads(&b.v, e->kv.count, c->head_dim),
                                 .slots = tensor_first(&r->slots, n),
                                 .kv = kv});
    ExchangeRun run = {.device = r->device,
                       .comm = r->setup.kvp,
                       .q = forward_heads(&b.q, e->q.count, c->head_dim),
                       .rows = tensor_first(&r->sequences, n),
                       .limits = tensor_first(&r->limits, n),
                       .kv = kv,
                       .merged = forward_heads(&b.attn, e->own.count, c->head_dim),
                       .groups = r->groups,
                       .n_groups = r->n_groups,
                       .watch = &r->watch};
    TRY(exchange_run(&e->exchange, &run, err));
    if (e->own.count > 0)
        forward_attn_out(e->model, layer, &b, &partial);
    else
        clear(r, &partial);
    TRY(all_reduce(r, r->setup.world, &partial, err));
    e->stream.delta = partial;
    forward_ffn_norm(e->model, layer, &e->stream, &b);
    return STATUS_OK;
}

/* The feed-forward part on this rank's group, whole on all its ranks afterwards. */
static Status own_ffn(HelixRank *r, HelixExpert *e, int64_t layer, int64_t n, Err *err)
{
    BlockBuffers b = block_buffers_first(&e->buffers, n);
    Tensor partial = tensor_first(&e->partial, n);
    if (e->units.count > 0)
        forward_ffn(e->model, layer, &b, &partial);
    else
        clear(r, &partial);
    return all_reduce(r, r->setup.tpf, &partial, err);
}

/* The experts of one round, one of each group at most, become known to all groups. */
static Status gather_round(HelixRank *r, int64_t first, int64_t layer, int64_t n, Err *err)
{
    const HelixGrid *grid = &r->setup.grid;
    const Backend *ops = r->device.ops;
    int64_t counts[HELIX_RANKS], at = 0, total = 0;
    for (int g = 0; g < grid->ep; g++) {
        int64_t i = first + g;
        bool there = i < r->n_experts && layer < r->experts[i].model->config.n_layers;
        counts[g] = there ? n * r->experts[i].model->config.d_model : 0;
        total += counts[g];
    }
    if (total == 0)
        return STATUS_OK;
    int own = r->setup.ep->rank;
    Tensor send = tensor_1d(r->gathered.data, DTYPE_F32, 0);
    if (counts[own] > 0)
        send = tensor_1d(r->experts[first + own].partial.data, DTYPE_F32, counts[own]);
    Collective gather = {.kind = COLLECTIVE_ALL_GATHER,
                         .send = send,
                         .recv = tensor_1d(r->gathered.data, DTYPE_F32, total),
                         .recv_rows = counts};
    stopwatch_begin(&r->watch, LAP_REDUCE);
    TRY(comm_run(r->setup.ep, r->device.queue, &gather, err));
    stopwatch_end(&r->watch, LAP_REDUCE);
    for (int g = 0; g < grid->ep; at += counts[g++]) {
        Tensor from = tensor_slice(&r->gathered, at, counts[g]);
        if (counts[g] > 0 && g != own)
            ops->copy(r->device.queue, r->experts[first + g].partial.data, from.data,
                      tensor_bytes(&from));
    }
    return STATUS_OK;
}

static Status ffn_phase(HelixRank *r, int64_t layer, int64_t n, Err *err)
{
    for (int64_t i = 0; i < r->n_experts; i++) {
        HelixExpert *e = &r->experts[i];
        if (layer < e->model->config.n_layers && e->runs_ffn)
            TRY(own_ffn(r, e, layer, n, err));
    }
    if (r->setup.grid.ep > 1)
        for (int64_t first = 0; first < r->n_experts; first += r->setup.grid.ep)
            TRY(gather_round(r, first, layer, n, err));
    for (int64_t i = 0; i < r->n_experts; i++)
        if (layer < r->experts[i].model->config.n_layers)
            r->experts[i].stream.delta = tensor_first(&r->experts[i].partial, n);
    return STATUS_OK;
}

Status helix_rank_run(HelixRank *r, const RunnerRows *rows, Err *err)
{
    int64_t n = rows->n;
    CHECK(n > 0 && n <= r->setup.options.chunk, "%lld rows", (long long)n);
    double started = clock_seconds();
    upload_rows(r, rows);
    Tensor tokens = tensor_first(&r->tokens, n);
    for (int64_t i = 0; i < r->n_experts; i++) {
        HelixExpert *e = &r->experts[i];
        e->stream = (Stream){.sum = tensor_first(&e->x, n)};
        forward_embed(e->model, &tokens, &e->stream.sum);
    }
    for (int64_t layer = 0; layer < r->n_layers; layer++) {
        for (int64_t i = 0; i < r->n_experts; i++)
            if (layer < r->experts[i].model->config.n_layers)
                TRY(attention_phase(r, &r->experts[i], layer, n, err));
        TRY(ffn_phase(r, layer, n, err));
    }
    for (int64_t i = 0; i < r->n_experts; i++) {
        HelixExpert *e = &r->experts[i];
        Tensor y = tensor_first(&e->y, n);
        forward_final_norm(e->model, &e->stream, &y, NULL, NULL, NULL);
    }
    Status status = r->device.ops->queue_wait(r->device.queue, err);
    stopwatch_read(&r->watch);
    r->steps += clock_seconds() - started;
    return status;
}

/* ---- words ---------------------------------------------------------------------------------- */

Status helix_rank_logits(HelixRank *r, int64_t expert, int64_t begin, int64_t count,
                         const Tensor *logits, Err *err)
{
    const HelixExpert *e = &r->experts[expert];
    Tensor y = tensor_slice(&e->y, begin, count);
    return words_logits(&r->words, e->model, &y, logits, err);
}

Status helix_rank_target_logprobs(HelixRank *r, int64_t expert, const int32_t *targets, int64_t n,
                                  float *logp, Err *err)
{
    const HelixExpert *e = &r->experts[expert];
    Tensor y = tensor_first(&e->y, n);
    return words_logprobs(&r->words, e->model, &y, targets, logp, err);
}
