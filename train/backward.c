#include "train/backward.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/tensor/replay.h"

/* Buffers of the backward pass of one block; blocks use them in turn. */
typedef struct BackwardBuffers {
    Tensor stream; /* (N, C) float32: the gradient of the residual stream */
    Tensor dy;     /* (N, C) compute: of a projection's output */
    Tensor din;    /* (N, C) compute: of a norm's output */
    Tensor dact;   /* (N, F) compute: of the activation's output, then of its input */
    Tensor dgate;  /* (N, F) compute: SwiGLU */
    Tensor dattn;  /* (N, H * D) compute */
    Tensor dq, dk, dv;
    Tensor scratch; /* (B, H, T) float32 */
    Tensor dlow;    /* (N, rank) compute: LoRA */
} BackwardBuffers;

/* Passes of one kind, recorded where the device can. */
typedef struct PassReplay {
    bool backward, accumulate;
    float grad_scale;
    Replay replay;
} PassReplay;
enum { PASS_KINDS = 4 }; /* losses only; gradients set, added to; one to spare */

struct Pass {
    const Model *model;
    const Grads *grads; /* NULL: losses only */
    int64_t batch, t;
    int64_t lowest;  /* first block that keeps its activations */
    bool accumulate; /* of the gradients, in this run */
    void *memory;
    Tensor ids, targets, positions; /* (N) int32 */
    Tensor x;                       /* (N, C) float32: embedding and frozen prefix */
    BlockBuffers shared;            /* the set of all blocks that keep nothing */
    BlockBuffers *kept;             /* (n_layers), those from `lowest` on are planned */
    Tensor final_x;                 /* (N, C) float32: the final norm's input */
    Tensor final_mean, final_rstd;
    Tensor final_y; /* (N, C) compute */
    Tensor losses;  /* (N) float32 */
    BackwardBuffers back;
    float *host_losses;
    PassReplay replays[PASS_KINDS];
    int n_replays;
};

/* ---- memory --------------------------------------------------------------------------------- */

static Tensor take(Arena *arena, DType dtype, int64_t rows, int64_t cols)
{
    return tensor_take(arena, cols > 0 ? tensor_2d(NULL, dtype, rows, cols)
                                       : tensor_1d(NULL, dtype, rows));
}

static void plan_backward(Pass *pass, Arena *arena)
{
    const ModelConfig *c = &pass->model->config;
    DType type = pass->model->compute;
    int64_t N = pass->batch * pass->t;
    BackwardBuffers *b = &pass->back;
    b->dy = take(arena, type, N, c->d_model);
    b->din = take(arena, type, N, c->d_model);
    if (c->lora_rank > 0)
        b->dlow = take(arena, type, N, c->lora_rank);
    /* Attention's backward begins when the feed-forward's is over: they share memory. */
    size_t mark = arena->used;
    b->dact = take(arena, type, N, c->d_ff);
    if (c->act == ACT_SWIGLU)
        b->dgate = take(arena, type, N, c->d_ff);
    size_t after_ffn = arena->used;
    arena->used = mark;
    b->dattn = take(arena, type, N, c->n_heads * c->head_dim);
    b->dq = take(arena, type, N, c->n_heads * c->head_dim);
    b->dk = take(arena, type, N, c->n_kv_heads * c->head_dim);
    b->dv = take(arena, type, N, c->n_kv_heads * c->head_dim);
    b->scratch = take(arena, DTYPE_F32, pass->batch * c->n_heads * pass->t, 0);
    b->scratch = tensor_3d(b->scratch.data, DTYPE_F32, pass->batch, c->n_heads, pass->t);
    arena->used = arena->used > after_ffn ? arena->used : after_ffn;
}

/* One function measures (arena without memory) and places. */
static void plan(Pass *pass, Arena *arena)
{
    const Model *model = pass->model;
    const ModelConfig *c = &model->config;
    int64_t N = pass->batch * pass->t, C = c->d_model, rank = c->lora_rank;
    pass->ids = take(arena, DTYPE_I32, N, 0);
    pass->targets = take(arena, DTYPE_I32, N, 0);
    pass->positions = take(arena, DTYPE_I32, N, 0);
    pass->losses = take(arena, DTYPE_F32, N, 0);
    pass->x = take(arena, DTYPE_F32, N, C);
    pass->final_y = take(arena, model->compute, N, C);
    BlockBuffers common = {.attn_out = take(arena, model->compute, N, C)};
    if (rank > 0)
        common.lora = take(arena, model->compute, N, rank);
    if (pass->grads) {
        pass->final_x = take(arena, DTYPE_F32, N, C);
        pass->final_rstd = take(arena, DTYPE_F32, N, 0);
        if (c->norm == NORM_LAYER)
            pass->final_mean = take(arena, DTYPE_F32, N, 0);
        for (int64_t l = pass->lowest; l < c->n_layers; l++)
            block_buffers_plan(&pass->kept[l], model, pass->batch, pass->t, true, &common, arena);
        pass->back.stream = take(arena, DTYPE_F32, N, C);
    }
    /* Blocks that keep nothing run before backward begins: their set shares its memory. */
    size_t mark = arena->used;
    block_buffers_plan(&pass->shared, model, pass->batch, pass->t, false, &common, arena);
    size_t after_shared = arena->used;
    if (pass->grads) {
        arena->used = mark;
        plan_backward(pass, arena);
    }
    arena->used = arena->used > after_shared ? arena->used : after_shared;
}

static Pass *pass_start(const Model *model, const Grads *grads, int64_t batch, int64_t t)
{
    Pass *pass = xcalloc(1, sizeof *pass);
    pass->model = model;
    pass->grads = grads;
    pass->batch = batch;
    pass->t = t;
    pass->lowest = grads ? grads->lowest : model->config.n_layers;
    pass->kept = xcalloc((size_t)model->config.n_layers, sizeof *pass->kept);
    return pass;
}

size_t pass_bytes(const Model *model, const Grads *grads, int64_t batch, int64_t t)
{
    Pass *pass = pass_start(model, grads, batch, t);
    Arena arena;
    arena_init(&arena, NULL, 0);
    plan(pass, &arena);
    pass_free(pass);
    return arena.used;
}

Status pass_new(Pass **out, const Model *model, const Grads *grads, int64_t batch, int64_t t,
                Err *err)
{
    const Device *device = &model->device;
    size_t bytes = pass_bytes(model, grads, batch, t);
    Pass *pass = pass_start(model, grads, batch, t);
    int64_t N = batch * t;
    *out = NULL;
    Status status = device->ops->alloc(&pass->memory, bytes, "activations", err);
    if (status == STATUS_OK) {
        Arena arena;
        arena_init(&arena, pass->memory, bytes);
        plan(pass, &arena);
        pass->host_losses = xmalloc((size_t)N * sizeof *pass->host_losses);
        int32_t *positions = xmalloc((size_t)N * sizeof *positions);
        for (int64_t n = 0; n < N; n++)
            positions[n] = (int32_t)(n % t);
        status = device_upload(device, &pass->positions, positions, err);
        free(positions);
    }
    if (status != STATUS_OK)
        pass_free(pass);
    else
        *out = pass;
    return status;
}

void pass_free(Pass *pass)
{
    if (!pass)
        return;
    for (int i = 0; i < pass->n_replays; i++)
        replay_clear(&pass->replays[i].replay, &pass->model->device);
    if (pass->memory)
        pass->model->device.ops->free(pass->memory);
    free(pass->kept);
    free(pass->host_losses);
    free(pass);
}

const float *pass_losses(const Pass *pass)
{
    return pass->host_losses;
}

/* ---- forward -------------------------------------------------------------------------------- */

/* Embedding and the blocks below `keep`, from the cache where it knows them. A frozen prefix drops
 * nothing, so that its output is a function of the tokens alone. */
static Status run_prefix(Pass *pass, const PassInput *input, int64_t keep, Stream *stream, Err *err)
{
    const Model *model = pass->model;
    *stream = (Stream){.sum = pass->x};
    const PrefixCache *cache = input->backward && input->windows ? input->prefix : NULL;
    bool found = false;
    if (cache)
        TRY(cache->get(cache->context, input->windows, pass->batch, &pass->x, &found, err));
    if (found)
        return STATUS_OK;
    forward_embed(model, &pass->ids, &pass->x);
    for (int64_t l = 0; l < keep; l++)
        forward_block(model, l, pass->batch, stream, &pass->positions, &pass->shared, NULL);
    if (!cache)
        return STATUS_OK;
    forward_settle(model, stream);
    return cache->put(cache->context, input->windows, pass->batch, &pass->x, err);
}

static Status run_forward(Pass *pass, const PassInput *input, Err *err)
{
    const Model *model = pass->model;
    int64_t n_layers = model->config.n_layers;
    int64_t keep = input->backward ? pass->lowest : n_layers;
    Stream stream;
    TRY(run_prefix(pass, input, keep, &stream, err));
    for (int64_t l = keep; l < n_layers; l++)
        forward_block(model, l, pass->batch, &stream, &pass->positions, &pass->kept[l],
                      &input->dropout);
    if (input->backward)
        forward_final_norm(model, &stream, &pass->final_y, &pass->final_x, &pass->final_mean,
                           &pass->final_rstd);
    else
        forward_final_norm(model, &stream, &pass->final_y, NULL, NULL, NULL);
    return STATUS_OK;
}

static void run_head(Pass *pass, const PassInput *input)
{
    const Model *model = pass->model;
    HeadLossArgs args = {.x = pass->final_y,
                         .weight = model->head[HEAD_HEAD].weight,
                         .bias = model->head[HEAD_HEAD_BIAS].weight,
                         .targets = pass->targets,
                         .losses = pass->losses,
                         .grad_scale = input->grad_scale};
    if (input->backward) {
        /* Where only the head's matrix and bias train, nothing below needs a gradient, but the
         * final norm always trains with them. */
        args.dx = pass->back.din;
        args.dweight = pass->grads->head[HEAD_HEAD];
        args.dbias = pass->grads->head[HEAD_HEAD_BIAS];
        args.accumulate = pass->accumulate;
    }
    model->device.ops->head_loss(model->device.queue, &args);
}

/* ---- backward ------------------------------------------------------------------------------- */

/* One product y = x W^T + b: adds the gradients of W and b where they train, and sets (or adds to)
 * dx. With LoRA, y also has s (x A^T) B^T. */
typedef struct LinearBackward {
    int64_t layer;
    BlockParam weight, bias; /* bias BLOCK_PARAM_COUNT: none */
    Tensor x, dy, dx;
    bool accumulate; /* dx */
} LinearBackward;

static void product(const Device *device, GemmArgs args)
{
    device->ops->gemm(device->queue, &args);
}

static void lora_backward(Pass *pass, const LinearBackward *a)
{
    const Model *model = pass->model;
    const Device *device = &model->device;
    const Block *block = &model->blocks[a->layer];
    const BlockGrads *grads = &pass->grads->blocks[a->layer];
    const Tensor *A = &block->lora_a[a->weight].weight, *B = &block->lora_b[a->weight].weight;
    Tensor low = pass->shared.lora, dlow = pass->back.dlow;
    float scale = (float)(model->config.lora_alpha / (double)model->config.lora_rank);
    /* s x A^T again: it is too small to be worth keeping. */
    product(device, (GemmArgs){.a = a->x, .b = *A, .c = low, .b_transposed = true});
    WeightedSumArgs scaled = {.x = &low, .weights = &scale, .n = 1, .y = low};
    device->ops->weighted_sum(device->queue, &scaled);
    if (grads->lora_b[a->weight].data)
        product(device, (GemmArgs){.a = a->dy,
                                   .b = low,
                                   .c = grads->lora_b[a->weight],
                                   .a_transposed = true,
                                   .accumulate = pass->accumulate});
    product(device, (GemmArgs){.a = a->dy, .b = *B, .c = dlow});
    scaled.x = &dlow, scaled.y = dlow;
    device->ops->weighted_sum(device->queue, &scaled);
    if (grads->lora_a[a->weight].data)
        product(device, (GemmArgs){.a = dlow,
                                   .b = a->x,
                                   .c = grads->lora_a[a->weight],
                                   .a_transposed = true,
                                   .accumulate = pass->accumulate});
    product(device, (GemmArgs){.a = dlow, .b = *A, .c = a->dx, .accumulate = true});
}

static void linear_backward(Pass *pass, const LinearBackward *a)
{
    const Model *model = pass->model;
    const Device *device = &model->device;
    const Param *params = model->blocks[a->layer].params;
    const BlockGrads *grads = &pass->grads->blocks[a->layer];
    product(device, (GemmArgs){.a = a->dy,
                               .b = params[a->weight].weight,
                               .c = a->dx,
                               .accumulate = a->accumulate});
    if (grads->params[a->weight].data)
        product(device, (GemmArgs){.a = a->dy,
                                   .b = a->x,
                                   .c = grads->params[a->weight],
                                   .a_transposed = true,
                                   .accumulate = pass->accumulate});
    if (a->bias != BLOCK_PARAM_COUNT && grads->params[a->bias].data) {
        SumRowsArgs sum = {
            .x = a->dy, .out = grads->params[a->bias], .accumulate = pass->accumulate};
        device->ops->sum_rows(device->queue, &sum);
    }
    if (param_exists(&model->blocks[a->layer].lora_a[a->weight]))
        lora_backward(pass, a);
}

/* The gradient of a projection's output is the stream's, in compute type, with the same numbers
 * dropped as in forward. */
static Tensor projection_grad(Pass *pass, int64_t layer, DropPlace place, const Dropout *dropout)
{
    const Model *model = pass->model;
    const Device *device = &model->device;
    if (model->compute == DTYPE_F32 && !(dropout->p > 0.0f))
        return pass->back.stream;
    CastArgs cast = {.x = pass->back.stream, .y = pass->back.dy};
    device->ops->cast(device->queue, &cast);
    forward_drop(model, layer, place, &pass->back.dy, dropout);
    return pass->back.dy;
}

/* A norm's input and what forward kept of it. */
typedef struct NormKept {
    Tensor x, mean, rstd, weight, dweight, dbias;
} NormKept;

static void clear(const Pass *pass, const Tensor *t)
{
    const Device *device = &pass->model->device;
    if (t->data && !pass->accumulate)
        device->ops->zero(device->queue, t->data, tensor_bytes(t));
}

/* Through a norm, from back.din to the stream's gradient, which it sets or adds to. The gradients
 * of its vectors are always added to, so they are cleared first. */
static void norm_backward(Pass *pass, const NormKept *norm, bool accumulate)
{
    const Device *device = &pass->model->device;
    clear(pass, &norm->dweight);
    clear(pass, &norm->dbias);
    NormBackwardArgs args = {.kind = pass->model->config.norm,
                             .x = norm->x,
                             .weight = norm->weight,
                             .mean = norm->mean,
                             .rstd = norm->rstd,
                             .dy = pass->back.din,
                             .dx = pass->back.stream,
                             .dweight = norm->dweight,
                             .dbias = norm->dbias,
                             .accumulate = accumulate};
    device->ops->norm_backward(device->queue, &args);
}

static void ffn_backward(Pass *pass, int64_t layer, const Dropout *dropout)
{
    const Model *model = pass->model;
    const Device *device = &model->device;
    const BlockBuffers *b = &pass->kept[layer];
    BackwardBuffers *back = &pass->back;
    bool gated = model->config.act == ACT_SWIGLU;
    LinearBackward down = {.layer = layer,
                           .weight = BLOCK_FFN_DOWN,
                           .bias = BLOCK_FFN_DOWN_BIAS,
                           .x = b->ffn_act,
                           .dx = back->dact};
    down.dy = projection_grad(pass, layer, DROP_FFN, dropout);
    linear_backward(pass, &down);
    ActBackwardArgs act = {.act = gated ? ACT_SWIGLU : ACT_GELU,
                           .x = b->ffn_up,
                           .gate = b->ffn_gate,
                           .dy = back->dact,
                           .dx = back->dact,
                           .dgate = back->dgate};
    device->ops->act_backward(device->queue, &act);
    LinearBackward up = {.layer = layer,
                         .weight = BLOCK_FFN_UP,
                         .bias = BLOCK_FFN_UP_BIAS,
                         .x = b->ffn_in,
                         .dy = back->dact,
                         .dx = back->din};
    linear_backward(pass, &up);
    if (gated) {
        up.weight = BLOCK_FFN_GATE, up.bias = BLOCK_PARAM_COUNT;
        up.dy = back->dgate, up.accumulate = true;
        linear_backward(pass, &up);
    }
    const BlockGrads *grads = &pass->grads->blocks[layer];
    NormKept norm = {b->mid,
                     b->ffn_mean,
                     b->ffn_rstd,
                     model->blocks[layer].params[BLOCK_FFN_NORM].weight,
                     grads->params[BLOCK_FFN_NORM],
                     grads->params[BLOCK_FFN_NORM_BIAS]};
    norm_backward(pass, &norm, true);
}

static Tensor heads(const Pass *pass, const Tensor *x)
{
    int64_t D = pass->model->config.head_dim;
    return tensor_4d(x->data, x->dtype, pass->batch, pass->t, x->shape[1] / D, D);
}

static void rope_backward(Pass *pass, const Tensor *x)
{
    const Model *model = pass->model;
    int64_t D = model->config.head_dim;
    RopeArgs args = {.x = tensor_3d(x->data, x->dtype, x->shape[0], x->shape[1] / D, D),
                     .positions = pass->positions,
                     .inv_freq = model->inv_freq,
                     .inverse = true,
                     .scale = rope_attention_factor(&model->config.rope_scaling)};
    model->device.ops->rope(model->device.queue, &args);
}

static void attention_backward(Pass *pass, int64_t layer, const Dropout *dropout)
{
    const Model *model = pass->model;
    const BlockBuffers *b = &pass->kept[layer];
    BackwardBuffers *back = &pass->back;
    LinearBackward out = {.layer = layer,
                          .weight = BLOCK_ATTN_OUT,
                          .bias = BLOCK_ATTN_OUT_BIAS,
                          .x = b->attn,
                          .dx = back->dattn};
    out.dy = projection_grad(pass, layer, DROP_ATTN, dropout);
    linear_backward(pass, &out);
    AttnBackwardArgs attn = {.q = heads(pass, &b->q),
                             .k = heads(pass, &b->k),
                             .v = heads(pass, &b->v),
                             .out = heads(pass, &b->attn),
                             .lse = b->lse,
                             .dout = heads(pass, &back->dattn),
                             .dq = heads(pass, &back->dq),
                             .dk = heads(pass, &back->dk),
                             .dv = heads(pass, &back->dv),
                             .scratch = back->scratch,
                             .scale = 1.0f / sqrtf((float)model->config.head_dim)};
    model->device.ops->attn_backward(model->device.queue, &attn);
    rope_backward(pass, &back->dq);
    rope_backward(pass, &back->dk);
    LinearBackward in[] = {
        {layer, BLOCK_ATTN_Q, BLOCK_ATTN_Q_BIAS, b->attn_in, back->dq, back->din, false},
        {layer, BLOCK_ATTN_K, BLOCK_ATTN_K_BIAS, b->attn_in, back->dk, back->din, true},
        {layer, BLOCK_ATTN_V, BLOCK_ATTN_V_BIAS, b->attn_in, back->dv, back->din, true},
    };
    for (int i = 0; i < 3; i++)
        linear_backward(pass, &in[i]);
    const BlockGrads *grads = &pass->grads->blocks[layer];
    NormKept norm = {b->x,
                     b->attn_mean,
                     b->attn_rstd,
                     model->blocks[layer].params[BLOCK_ATTN_NORM].weight,
                     grads->params[BLOCK_ATTN_NORM],
                     grads->params[BLOCK_ATTN_NORM_BIAS]};
    norm_backward(pass, &norm, true);
}

static Status tell(const PassInput *input, int64_t layer, Err *err)
{
    return input->ready ? input->ready(input->ready_context, layer, err) : STATUS_OK;
}

static Status run_backward(Pass *pass, const PassInput *input, Err *err)
{
    const Model *model = pass->model;
    const Grads *grads = pass->grads;
    NormKept norm = {pass->final_x,
                     pass->final_mean,
                     pass->final_rstd,
                     model->head[HEAD_FINAL_NORM].weight,
                     grads->head[HEAD_FINAL_NORM],
                     grads->head[HEAD_FINAL_NORM_BIAS]};
    norm_backward(pass, &norm, false);
    TRY(tell(input, model->config.n_layers, err));
    for (int64_t l = model->config.n_layers; l-- > pass->lowest;) {
        ffn_backward(pass, l, &input->dropout);
        attention_backward(pass, l, &input->dropout);
        TRY(tell(input, l, err));
    }
    if (!grads->embedding.data)
        return STATUS_OK;
    /* A tied head has written its share already. */
    if (!model->config.tied_head)
        clear(pass, &grads->embedding);
    EmbedBackwardArgs args = {.ids = pass->ids,
                              .dout = pass->back.stream,
                              .dtable = grads->embedding,
                              .scale = (float)model->config.embed_scale};
    model->device.ops->embed_backward(model->device.queue, &args);
    return tell(input, -1, err);
}

/* Everything between the upload of the tokens and the download of the losses. */
typedef struct PassWork {
    Pass *pass;
    const PassInput *input;
    Status status;
    Err *err;
} PassWork;

static void run_work(void *context)
{
    PassWork *work = context;
    work->status = run_forward(work->pass, work->input, work->err);
    if (work->status != STATUS_OK)
        return;
    run_head(work->pass, work->input);
    if (work->input->backward)
        work->status = run_backward(work->pass, work->input, work->err);
}

/* The record for passes like this one, or NULL where each is different: dropout draws anew every
 * time, and a prefix cache and reductions on the way take turns with the host. */
static Replay *replay_of(Pass *pass, const PassInput *input)
{
    if (input->dropout.p > 0.0f || input->prefix || input->ready)
        return NULL;
    for (int i = 0; i < pass->n_replays; i++) {
        PassReplay *r = &pass->replays[i];
        if (r->backward == input->backward && r->accumulate == input->accumulate &&
            r->grad_scale == input->grad_scale)
            return &r->replay;
    }
    if (pass->n_replays == PASS_KINDS)
        return NULL;
    PassReplay *r = &pass->replays[pass->n_replays++];
    r->backward = input->backward;
    r->accumulate = input->accumulate;
    r->grad_scale = input->grad_scale;
    return &r->replay;
}

Status pass_run(Pass *pass, const PassInput *input, double *loss, int64_t *count, Err *err)
{
    CHECK(!input->backward || pass->grads, "a pass without gradients cannot run backward");
    const Device *device = &pass->model->device;
    size_t bytes = tensor_bytes(&pass->ids);
    device->ops->upload(device->queue, pass->ids.data, input->ids, bytes);
    device->ops->upload(device->queue, pass->targets.data, input->targets, bytes);
    pass->accumulate = input->accumulate;
    PassWork work = {.pass = pass, .input = input, .err = err};
    Replay *replay = replay_of(pass, input);
    if (replay)
        TRY(replay_run(replay, device, run_work, &work, err));
    else
        run_work(&work);
    TRY(work.status);
    TRY(device_download(device, &pass->losses, pass->host_losses, err));
    *loss = 0.0;
    *count = 0;
    for (int64_t n = 0; n < pass->batch * pass->t; n++) {
        if (input->targets[n] < 0)
            continue;
        *loss += (double)pass->host_losses[n];
        (*count)++;
    }
    return STATUS_OK;
}
