#include "infer/helix/command.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

Status helix_agree(Comm *world, Status status, Err *err)
{
    Err heard = {.text = ""};
    double failed = status != STATUS_OK ? world->size - world->rank : 0.0;
    TRY(comm_max_host(world, &failed, 1, status == STATUS_OK ? err : &heard));
    if (failed == 0.0)
        return STATUS_OK;
    int rank = world->size - (int)failed;
    if (world->rank == rank)
        heard = *err;
    TRY(comm_broadcast_host(world, &heard, sizeof heard, rank, err));
    heard.text[sizeof heard.text - 1] = '\0';
    return rank == 0 ? err_set(err, "%s", heard.text)
                     : err_set(err, "rank %d of %d: %s", rank, world->size, heard.text);
}

static HelixRankSetup setup_of(const HelixMember *m, const DecoderOptions *options)
{
    return (HelixRankSetup){.ensemble = m->ensemble,
                            .grid = m->grid,
                            .block = m->block,
                            .hopb = m->hopb,
                            .world = m->comms.world,
                            .kvp = m->comms.kvp,
                            .tpf = m->comms.tpf,
                            .ep = m->comms.ep,
                            .options = *options};
}

/* Collective: on all ranks, or on none. */
static Status make_rank(HelixMember *m, const DecoderOptions *options, Err *err)
{
    HelixRankSetup setup = setup_of(m, options);
    Status status = helix_rank_new(&m->rank, &setup, err);
    status = helix_agree(m->comms.world, status, err);
    if (status != STATUS_OK) {
        helix_rank_free(m->rank);
        m->rank = NULL;
    }
    return status;
}

static void free_rank(HelixMember *m)
{
    helix_rank_free(m->rank);
    m->rank = NULL;
}

/* ---- following ------------------------------------------------------------------------------ */

static Status follow_pending(HelixMember *m, const HelixCommand *c, Err *err)
{
    switch ((HelixOp)c->op) {
    case HELIX_OP_OPEN:
        CHECK(helix_rank_open(m->rank) == c->a, "ranks opened different sequences");
        return STATUS_OK;
    case HELIX_OP_CLOSE:
        helix_rank_close(m->rank, c->a);
        return STATUS_OK;
    case HELIX_OP_TRUNCATE:
        helix_rank_truncate(m->rank, c->a, c->b);
        return STATUS_OK;
    case HELIX_OP_SHARE:
        helix_rank_share(m->rank, c->a, c->b, c->c);
        return STATUS_OK;
    case HELIX_OP_EXTEND:
        return helix_rank_extend(m->rank, c->a, c->b, err);
    default:
        return STATUS_OK;
    }
}

/* What a message's last command brought along: tokens and the like. */
typedef struct Payload {
    int32_t *ints;
    int64_t capacity;
} Payload;

static Status receive_ints(HelixMember *m, const HelixMessage *message, Payload *payload, Err *err)
{
    int64_t n = message->n_ints;
    payload->ints = mem_grow(payload->ints, &payload->capacity, n + 1, sizeof *payload->ints);
    size_t bytes = (size_t)n * sizeof(int32_t);
    if (n <= HELIX_INLINE)
        memcpy(payload->ints, message->ints, bytes);
    else
        TRY(comm_broadcast_host(m->comms.world, payload->ints, bytes, 0, err));
    return STATUS_OK;
}

enum { ROWS_INTS = 6 };

static void rows_to_ints(const KvRows *rows, int32_t ints[ROWS_INTS])
{
    const int64_t values[ROWS_INTS] = {rows->sequence, rows->expert, rows->layer,
                                       rows->part,     rows->first,  rows->count};
    for (int i = 0; i < ROWS_INTS; i++)
        ints[i] = (int32_t)values[i];
}

static KvRows rows_from_ints(const int32_t ints[ROWS_INTS])
{
    return (KvRows){ints[0], ints[1], ints[2], (KvPart)ints[3], ints[4], ints[5]};
}

static Status follow_last(HelixMember *m, const HelixMessage *message, const int32_t *ints,
                          Err *err)
{
    const HelixCommand *c = &message->last;
    const Tensor absent = {0};
    int64_t n = c->a;
    RunnerRows rows = {.n = n};
    KvRows kv;
    Err refused;
    switch ((HelixOp)c->op) {
    case HELIX_OP_MAKE: /* the leader says why not; followers go on */
        (void)make_rank(m, &message->options, &refused);
        return STATUS_OK;
    case HELIX_OP_FREE:
        free_rank(m);
        return STATUS_OK;
    case HELIX_OP_FILL:
        return helix_rank_fill(m->rank, c->a, (uint64_t)c->b, err);
    case HELIX_OP_READ_KV:
        kv = rows_from_ints(ints);
        return helix_rank_read_kv(m->rank, &kv, NULL, err);
    case HELIX_OP_WRITE_KV:
        kv = rows_from_ints(ints);
        return helix_rank_write_kv(m->rank, &kv, NULL, err);
    case HELIX_OP_RUN:
        rows.tokens = ints;
        rows.positions = ints + n;
        rows.sequences = ints + 2 * n;
        return helix_rank_run(m->rank, &rows, err);
    case HELIX_OP_LOGITS:
        return helix_rank_logits(m->rank, c->a, c->b, c->c, &absent, err);
    case HELIX_OP_TARGETS:
        return helix_rank_target_logprobs(m->rank, c->b, ints, n, NULL, err);
    default:
        return STATUS_OK;
    }
}

Status helix_follow_commands(HelixMember *m, Err *err)
{
    HelixMessage message;
    Payload payload = {0};
    Status status = STATUS_OK;
    message.last.op = HELIX_OP_NONE;
    while (status == STATUS_OK && message.last.op != HELIX_OP_QUIT) {
        status = comm_broadcast_host(m->comms.world, &message, sizeof message, 0, err);
        for (int32_t i = 0; status == STATUS_OK && i < message.n_pending; i++)
            status = follow_pending(m, &message.pending[i], err);
        if (status == STATUS_OK)
            status = receive_ints(m, &message, &payload, err);
        if (status == STATUS_OK)
            status = follow_last(m, &message, payload.ints, err);
    }
    free(payload.ints);
    free_rank(m);
    return status;
}

/* ---- leading -------------------------------------------------------------------------------- */

typedef struct LeaderRunner {
    Runner runner;
    HelixLeader *leader;
} LeaderRunner;

static HelixLeader *leader_of(const Runner *runner)
{
    return ((const LeaderRunner *)runner)->leader;
}

static HelixRank *rank_of(const Runner *runner)
{
    return leader_of(runner)->member->rank;
}

static Status explained(HelixLeader *leader, Status status, Err *err)
{
    if (status != STATUS_OK && leader->explain)
        leader->explain(leader->context, err);
    return status;
}

/* Sends what was collected and a last command, with `n` ints in up to three arrays. */
static Status send(HelixLeader *leader, HelixCommand last, const int32_t *const arrays[],
                   int n_arrays, int64_t n, Err *err)
{
    HelixMessage *message = &leader->message;
    Comm *world = leader->member->comms.world;
    size_t each = (size_t)n * sizeof(int32_t);
    message->last = last;
    message->n_ints = n_arrays * n;
    bool fits = message->n_ints <= HELIX_INLINE;
    int32_t *ints = fits ? message->ints : xmalloc(each * (size_t)n_arrays);
    for (int i = 0; i < n_arrays; i++)
        memcpy(ints + i * n, arrays[i], each);
    Status status = comm_broadcast_host(world, message, sizeof *message, 0, err);
    if (status == STATUS_OK && !fits)
        status = comm_broadcast_host(world, ints, each * (size_t)n_arrays, 0, err);
    message->n_pending = 0;
    if (!fits)
        free(ints);
    return explained(leader, status, err);
}

/* A failure to flush shows in the next call that can fail: the ranks are gone then. */
static void collect(HelixLeader *leader, HelixCommand command)
{
    HelixMessage *message = &leader->message;
    Err lost;
    if (message->n_pending == HELIX_PENDING)
        (void)send(leader, (HelixCommand){.op = HELIX_OP_NONE}, NULL, 0, 0, &lost);
    message->pending[message->n_pending++] = command;
}

static int64_t lead_open(Runner *runner)
{
    int64_t sequence = helix_rank_open(rank_of(runner));
    if (sequence >= 0)
        collect(leader_of(runner), (HelixCommand){HELIX_OP_OPEN, sequence, 0, 0});
    return sequence;
}

static void lead_close(Runner *runner, int64_t sequence)
{
    helix_rank_close(rank_of(runner), sequence);
    collect(leader_of(runner), (HelixCommand){HELIX_OP_CLOSE, sequence, 0, 0});
}

static void lead_truncate(Runner *runner, int64_t sequence, int64_t length)
{
    helix_rank_truncate(rank_of(runner), sequence, length);
    collect(leader_of(runner), (HelixCommand){HELIX_OP_TRUNCATE, sequence, length, 0});
}

static void lead_share(Runner *runner, int64_t sequence, int64_t from, int64_t units)
{
    helix_rank_share(rank_of(runner), sequence, from, units);
    collect(leader_of(runner), (HelixCommand){HELIX_OP_SHARE, sequence, from, units});
}

/* What fits here fits everywhere, so the others need not be asked. */
static Status lead_extend(Runner *runner, int64_t sequence, int64_t count, Err *err)
{
    TRY(helix_rank_extend(rank_of(runner), sequence, count, err));
    collect(leader_of(runner), (HelixCommand){HELIX_OP_EXTEND, sequence, count, 0});
    return STATUS_OK;
}

static int64_t lead_free_positions(const Runner *runner)
{
    return helix_rank_free_positions(rank_of(runner));
}

static Status lead_fill(Runner *runner, int64_t sequence, uint64_t seed, Err *err)
{
    HelixLeader *leader = leader_of(runner);
    HelixCommand fill = {HELIX_OP_FILL, sequence, (int64_t)seed, 0};
    TRY(send(leader, fill, NULL, 0, 0, err));
    return helix_rank_fill(rank_of(runner), sequence, seed, err);
}

static Status send_rows(HelixLeader *leader, HelixOp op, const KvRows *rows, Err *err)
{
    int32_t ints[ROWS_INTS];
    const int32_t *const arrays[] = {ints};
    rows_to_ints(rows, ints);
    return send(leader, (HelixCommand){.op = op}, arrays, 1, ROWS_INTS, err);
}

static Status lead_read_kv(Runner *runner, const KvRows *rows, void *host, Err *err)
{
    HelixLeader *leader = leader_of(runner);
    TRY(send_rows(leader, HELIX_OP_READ_KV, rows, err));
    return explained(leader, helix_rank_read_kv(rank_of(runner), rows, host, err), err);
}

static Status lead_write_kv(Runner *runner, const KvRows *rows, const void *host, Err *err)
{
    HelixLeader *leader = leader_of(runner);
    TRY(send_rows(leader, HELIX_OP_WRITE_KV, rows, err));
    return explained(leader, helix_rank_write_kv(rank_of(runner), rows, host, err), err);
}

static Status lead_run(Runner *runner, const RunnerRows *rows, Err *err)
{
    HelixLeader *leader = leader_of(runner);
    const int32_t *const arrays[] = {rows->tokens, rows->positions, rows->sequences};
    TRY(send(leader, (HelixCommand){HELIX_OP_RUN, rows->n, 0, 0}, arrays, 3, rows->n, err));
    return explained(leader, helix_rank_run(rank_of(runner), rows, err), err);
}

static Status lead_logits(Runner *runner, int64_t expert, int64_t begin, int64_t count,
                          const Tensor *logits, Err *err)
{
    HelixLeader *leader = leader_of(runner);
    TRY(send(leader, (HelixCommand){HELIX_OP_LOGITS, expert, begin, count}, NULL, 0, 0, err));
    return explained(leader, helix_rank_logits(rank_of(runner), expert, begin, count, logits, err),
                     err);
}

static Status lead_target_logprobs(Runner *runner, int64_t expert, const RunnerRows *rows,
                                   float *logp, Err *err)
{
    HelixLeader *leader = leader_of(runner);
    TRY(send(leader, (HelixCommand){HELIX_OP_TARGETS, rows->n, expert, 0}, &rows->targets, 1,
             rows->n, err));
    return explained(
        leader,
        helix_rank_target_logprobs(rank_of(runner), expert, rows->targets, rows->n, logp, err),
        err);
}

static void lead_free(Runner *runner)
{
    HelixLeader *leader = leader_of(runner);
    Err lost;
    /* Sequences go with the ranks' caches. */
    leader->message.n_pending = 0;
    (void)send(leader, (HelixCommand){.op = HELIX_OP_FREE}, NULL, 0, 0, &lost);
    leader->times = helix_rank_times(leader->member->rank);
    free_rank(leader->member);
    free(runner);
}

static const RunnerTable lead_table = {
    .open = lead_open,
    .close = lead_close,
    .truncate = lead_truncate,
    .share = lead_share,
    .extend = lead_extend,
    .free_positions = lead_free_positions,
    .fill = lead_fill,
    .read_kv = lead_read_kv,
    .write_kv = lead_write_kv,
    .run = lead_run,
    .logits = lead_logits,
    .target_logprobs = lead_target_logprobs,
    .free = lead_free,
};

static Status source_make(RunnerSource *source, const DecoderOptions *options, Runner **out,
                          Err *err)
{
    HelixLeader *leader = (HelixLeader *)source;
    *out = NULL;
    CHECK(!leader->member->rank, "one decoder at a time");
    leader->message.options = *options;
    leader->message.options.source = NULL;
    leader->message.options.budget = NULL; /* checked by now, and of this process */
    TRY(send(leader, (HelixCommand){.op = HELIX_OP_MAKE}, NULL, 0, 0, err));
    TRY(explained(leader, make_rank(leader->member, &leader->message.options, err), err));
    LeaderRunner *runner = xcalloc(1, sizeof *runner);
    runner->runner = (Runner){.table = &lead_table, .unit = helix_rank_unit(leader->member->rank)};
    runner->leader = leader;
    *out = &runner->runner;
    return STATUS_OK;
}

static size_t source_bytes(const RunnerSource *source, const DecoderOptions *options)
{
    HelixRankSetup setup = setup_of(((const HelixLeader *)source)->member, options);
    return helix_rank_bytes(&setup);
}

void helix_leader_init(HelixLeader *leader, HelixMember *member)
{
    *leader =
        (HelixLeader){.source = {.make = source_make, .bytes = source_bytes}, .member = member};
}

Status helix_leader_quit(HelixLeader *leader, Err *err)
{
    leader->message.n_pending = 0;
    return send(leader, (HelixCommand){.op = HELIX_OP_QUIT}, NULL, 0, 0, err);
}
