#include "infer/helix/exchange.h"

#include "core/tensor/attn_check.h"

void exchange_plan(Exchange *x, const ExchangeShape *shape, int kvp, Arena *arena)
{
    int64_t D = shape->head_dim, packed = D + attn_pack_pad(shape->type);
    int64_t sent = shape->chunk * shape->heads, received = kvp * shape->chunk * shape->own;
    *x = (Exchange){.shape = *shape};
    if (kvp == 1)
        return;
    x->out = tensor_take(arena, tensor_3d(NULL, shape->type, shape->chunk, shape->heads, D));
    x->lse = tensor_take(arena, tensor_2d(NULL, DTYPE_F32, shape->chunk, shape->heads));
    x->packed = tensor_take(arena, tensor_2d(NULL, shape->type, sent, packed));
    x->received = tensor_take(arena, tensor_2d(NULL, shape->type, received, packed));
    x->parts = tensor_take(arena, tensor_2d(NULL, shape->type, received, D));
    x->part_lse = tensor_take(arena, tensor_1d(NULL, DTYPE_F32, received));
}

static void attend(const Exchange *x, ExchangeRun *run, int64_t begin, int64_t count,
                   const Tensor *out, const Tensor *lse)
{
    AttnDecodeArgs args = {.q = tensor_slice(&run->q, begin, count),
                           .out = tensor_slice(out, begin, count),
                           .rows = tensor_slice(&run->rows, begin, count),
                           .limits = tensor_slice(&run->limits, begin, count),
                           .kv = run->kv,
                           .scale = x->shape.scale};
    if (lse)
        args.lse = tensor_slice(lse, begin, count);
    stopwatch_begin(run->watch, LAP_ATTENTION);
    run->device.ops->attn_decode(run->device.queue, &args);
    stopwatch_end(run->watch, LAP_ATTENTION);
}

/* One group of rows on its way. */
typedef struct Flight {
    int64_t begin, count;
    int64_t send_rows[HELIX_RANKS], recv_rows[HELIX_RANKS];
    CommRequest request;
} Flight;

static Status send_group(const Exchange *x, ExchangeRun *run, Flight *flight, Err *err)
{
    const ExchangeShape *s = &x->shape;
    int kvp = run->comm->size;
    int64_t begin = flight->begin, count = flight->count;
    attend(x, run, begin, count, &x->out, &x->lse);
    Tensor packed = tensor_slice(&x->packed, begin * s->heads, count * s->heads);
    AttnPackArgs pack = {.values = tensor_slice(&x->out, begin, count),
                         .lse = tensor_slice(&x->lse, begin, count),
                         .packed = packed,
                         .cuts = s->cuts,
                         .n_chunks = kvp};
    run->device.ops->attn_pack(run->device.queue, &pack);
    for (int k = 0; k < kvp; k++) {
        flight->send_rows[k] = count * (s->cuts[k + 1] - s->cuts[k]);
        flight->recv_rows[k] = count * s->own;
    }
    Collective what = {.kind = COLLECTIVE_ALL_TO_ALL,
                       .send = packed,
                       .recv =
                           tensor_slice(&x->received, kvp * begin * s->own, kvp * count * s->own),
                       .send_rows = flight->send_rows,
                       .recv_rows = flight->recv_rows};
    stopwatch_begin(run->watch, LAP_EXPOSED);
    Status status = comm_start(run->comm, run->device.queue, &what, &flight->request, err);
    stopwatch_end(run->watch, LAP_EXPOSED);
    return status;
}

static Status receive_group(const Exchange *x, ExchangeRun *run, Flight *flight, Err *err)
{
    const Backend *ops = run->device.ops;
    const ExchangeShape *s = &x->shape;
    int kvp = run->comm->size;
    int64_t count = flight->count, first = kvp * flight->begin * s->own,
            rows = kvp * count * s->own;
    stopwatch_begin(run->watch, LAP_EXPOSED);
    TRY(comm_wait(run->comm, &flight->request, err));
    stopwatch_end(run->watch, LAP_EXPOSED);
    if (rows == 0)
        return STATUS_OK; /* this rank owns no head */
    Tensor parts = tensor_slice(&x->parts, first, rows);
    Tensor lse = tensor_slice(&x->part_lse, first, rows);
    ops->attn_unpack(run->device.queue,
                     &(AttnUnpackArgs){.packed = tensor_slice(&x->received, first, rows),
                                       .values = parts,
                                       .lse = lse});
    AttnMergeArgs merge = {.parts = tensor_4d(parts.data, s->type, kvp, count, s->own, s->head_dim),
                           .part_lse = tensor_3d(lse.data, DTYPE_F32, kvp, count, s->own),
                           .out = tensor_slice(&run->merged, flight->begin, count)};
    ops->attn_merge(run->device.queue, &merge);
    return STATUS_OK;
}

Status exchange_run(Exchange *x, ExchangeRun *run, Err *err)
{
    Flight flights[COMM_IN_FLIGHT];
    if (run->comm->size == 1) {
        attend(x, run, 0, run->q.shape[0], &run->merged, NULL);
        return STATUS_OK;
    }
    for (int64_t g = 0; g < run->n_groups; g++) {
        Flight *flight = &flights[g % COMM_IN_FLIGHT];
        if (g >= COMM_IN_FLIGHT)
            TRY(receive_group(x, run, flight, err));
        flight->begin = run->groups[g];
        flight->count = run->groups[g + 1] - run->groups[g];
        TRY(send_group(x, run, flight, err));
    }
    int64_t left = run->n_groups > COMM_IN_FLIGHT ? run->n_groups - COMM_IN_FLIGHT : 0;
    for (int64_t g = left; g < run->n_groups; g++)
        TRY(receive_group(x, run, &flights[g % COMM_IN_FLIGHT], err));
    return STATUS_OK;
}
