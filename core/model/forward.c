#include "core/model/forward.h"

#include <math.h>

/* ---- buffers -------------------------------------------------------------------------------- */

static Tensor take(Arena *arena, DType dtype, int64_t rows, int64_t cols)
{
    return tensor_take(arena, tensor_2d(NULL, dtype, rows, cols));
}

static Tensor take_row(Arena *arena, int64_t n)
{
    return tensor_take(arena, tensor_1d(NULL, DTYPE_F32, n));
}

void block_buffers_plan(BlockBuffers *b, const Model *model, int64_t batch, int64_t t,
                        bool backward, const BlockBuffers *shared, Arena *arena)
{
    const ModelConfig *c = &model->config;
    DType type = model->compute;
    int64_t N = batch * t, C = c->d_model, Q = c->n_heads * c->head_dim;
    int64_t K = c->n_kv_heads * c->head_dim;
    bool gated = c->act == ACT_SWIGLU;
    *b = (BlockBuffers){0};
    if (backward) {
        b->x = take(arena, DTYPE_F32, N, C);
        b->mid = take(arena, DTYPE_F32, N, C);
        b->attn_rstd = take_row(arena, N);
        b->ffn_rstd = take_row(arena, N);
        if (c->norm == NORM_LAYER) {
            b->attn_mean = take_row(arena, N);
            b->ffn_mean = take_row(arena, N);
        }
        b->lse = take_row(arena, batch * c->n_heads * t);
        b->lse = tensor_3d(b->lse.data, DTYPE_F32, batch, c->n_heads, t);
    }
    b->attn_in = take(arena, type, N, C);
    b->q = take(arena, type, N, Q);
    b->k = take(arena, type, N, K);
    b->v = take(arena, type, N, K);
    b->attn = take(arena, type, N, Q);
    /* A projection's output is read by the norm that follows, before the next one is written: one
     * tensor serves all. */
    b->attn_out = shared ? shared->attn_out : take(arena, type, N, C);
    b->ffn_out = b->attn_out;
    b->ffn_in = take(arena, type, N, C);
    if (backward || gated)
        b->ffn_up = take(arena, type, N, c->d_ff);
    if (gated)
        b->ffn_gate = take(arena, type, N, c->d_ff);
    b->ffn_act = take(arena, type, N, c->d_ff);
    if (c->lora_rank > 0)
        b->lora = shared ? shared->lora : take(arena, type, N, c->lora_rank);
}

BlockBuffers block_buffers_first(const BlockBuffers *b, int64_t n)
{
    return (BlockBuffers){
        .attn_in = tensor_first(&b->attn_in, n),
        .q = tensor_first(&b->q, n),
        .k = tensor_first(&b->k, n),
        .v = tensor_first(&b->v, n),
        .attn = tensor_first(&b->attn, n),
        .attn_out = tensor_first(&b->attn_out, n),
        .ffn_in = tensor_first(&b->ffn_in, n),
        .ffn_up = tensor_first(&b->ffn_up, n),
        .ffn_gate = tensor_first(&b->ffn_gate, n),
        .ffn_act = tensor_first(&b->ffn_act, n),
        .ffn_out = tensor_first(&b->ffn_out, n),
        .lora = tensor_first(&b->lora, n),
    };
}

Tensor forward_heads(const Tensor *x, int64_t heads, int64_t head_dim)
{
    return tensor_3d(x->data, x->dtype, x->shape[0], heads, head_dim);
}

/* ---- linear --------------------------------------------------------------------------------- */

/* y += alpha / rank * (x A^T) B^T. */
static void add_lora(const Model *model, const Block *block, const LinearArgs *args,
                     const Tensor *y)
{
    const Backend *ops = model->device.ops;
    Tensor low = tensor_as_2d(&args->lora, args->x.shape[0], model->config.lora_rank);
    float scale = (float)(model->config.lora_alpha / (double)model->config.lora_rank);
    GemmArgs down = {.a = args->x, .b = block->lora_a[args->weight].weight, .c = low};
    down.b_transposed = true;
    ops->gemm(model->device.queue, &down);
    WeightedSumArgs scaled = {.x = &low, .weights = &scale, .n = 1, .y = low};
    ops->weighted_sum(model->device.queue, &scaled);
    GemmArgs up = {.a = low, .b = block->lora_b[args->weight].weight, .c = *y};
    up.b_transposed = up.accumulate = true;
    ops->gemm(model->device.queue, &up);
}

void forward_linear(const Model *model, int64_t layer, const LinearArgs *args)
{
    const Backend *ops = model->device.ops;
    const Block *block = &model->blocks[layer];
    const Param *w = &block->params[args->weight];
    Tensor bias = {0};
    if (args->bias != BLOCK_PARAM_COUNT)
        bias = block->params[args->bias].weight;
    bool lora = param_exists(&block->lora_a[args->weight]);
    bool quantised = w->weight.dtype == DTYPE_I8;
    /* The activation can ride on the product only when nothing is added in between. */
    bool fused = args->act != ACT_NONE && !lora && !quantised;
    Tensor y = args->act != ACT_NONE && !fused && args->pre.data ? args->pre : args->y;
    if (quantised) {
        GemmI8Args product = {
            .a = args->x, .w = w->weight, .scales = w->scales, .bias = bias, .c = y};
        ops->gemm_i8(model->device.queue, &product);
    } else {
        GemmArgs product = {.a = args->x, .b = w->weight, .c = y, .bias = bias};
        product.b_transposed = true;
        if (fused) {
            product.act = args->act;
            product.pre = args->pre;
        }
        ops->gemm(model->device.queue, &product);
    }
    if (lora)
        add_lora(model, block, args, &y);
    if (args->act != ACT_NONE && !fused) {
        ActArgs act = {.act = args->act, .x = y, .y = args->y};
        ops->act(model->device.queue, &act);
    }
}

static void linear(const Model *model, int64_t layer, BlockParam weight, BlockParam bias,
                   const Tensor *x, const Tensor *y, const BlockBuffers *b)
{
    LinearArgs args = {.weight = weight, .bias = bias, .x = *x, .y = *y, .lora = b->lora};
    forward_linear(model, layer, &args);
}

/* ---- pieces --------------------------------------------------------------------------------- */

void forward_embed(const Model *model, const Tensor *ids, const Tensor *x)
{
    EmbedArgs args = {.ids = *ids,
                      .table = model->substrate.table,
                      .out = *x,
                      .scale = (float)model->config.embed_scale};
    model->device.ops->embed(model->device.queue, &args);
}

/* y = norm(stream), the stream's delta added on the way; the stream is settled afterwards, in
 * `kept` where that is present. Without a delta an input that is kept must lie in `kept` already or
 * is copied there. */
static void norm_stream(const Model *model, Stream *stream, const Param *weight, const Param *bias,
                        const Tensor *kept, NormArgs *args)
{
    const Backend *ops = model->device.ops;
    Queue *queue = model->device.queue;
    Tensor sum = kept->data ? *kept : stream->sum;
    if (stream->delta.data) {
        args->x = stream->delta;
        args->residual = stream->sum;
        args->sum = sum;
    } else {
        if (sum.data != stream->sum.data)
            ops->copy(queue, sum.data, stream->sum.data, tensor_bytes(&sum));
        args->x = sum;
    }
    args->kind = model->config.norm;
    args->eps = (float)model->config.norm_eps;
    args->weight = weight->weight;
    args->bias = bias->weight;
    ops->norm(queue, args);
    *stream = (Stream){.sum = sum};
}

static void rope(const Model *model, const Tensor *x, const Tensor *positions)
{
    int64_t D = model->config.head_dim;
    RopeArgs args = {.x = forward_heads(x, x->shape[1] / D, D),
                     .positions = *positions,
                     .inv_freq = model->inv_freq,
                     .scale = rope_attention_factor(&model->config.rope_scaling)};
    model->device.ops->rope(model->device.queue, &args);
}

void forward_qkv(const Model *model, int64_t layer, Stream *stream, const Tensor *positions,
                 BlockBuffers *b)
{
    const Param *p = model->blocks[layer].params;
    NormArgs norm = {.y = b->attn_in, .mean = b->attn_mean, .rstd = b->attn_rstd};
    norm_stream(model, stream, &p[BLOCK_ATTN_NORM], &p[BLOCK_ATTN_NORM_BIAS], &b->x, &norm);
    linear(model, layer, BLOCK_ATTN_Q, BLOCK_ATTN_Q_BIAS, &b->attn_in, &b->q, b);
    linear(model, layer, BLOCK_ATTN_K, BLOCK_ATTN_K_BIAS, &b->attn_in, &b->k, b);
    linear(model, layer, BLOCK_ATTN_V, BLOCK_ATTN_V_BIAS, &b->attn_in, &b->v, b);
    rope(model, &b->q, positions);
    rope(model, &b->k, positions);
}

void forward_drop(const Model *model, int64_t layer, DropPlace place, const Tensor *x,
                  const Dropout *dropout)
{
    if (!dropout || !(dropout->p > 0.0f))
        return;
    DropoutArgs args = {.x = *x,
                        .y = *x,
                        .p = dropout->p,
                        .seed =
                            hash_mix64(dropout->seed ^ hash_mix64((uint64_t)(layer * 2 + place))),
                        .first = dropout->token * (uint64_t)model->config.d_model};
    model->device.ops->dropout(model->device.queue, &args);
}

void forward_attn_out(const Model *model, int64_t layer, const BlockBuffers *b, const Tensor *out)
{
    linear(model, layer, BLOCK_ATTN_OUT, BLOCK_ATTN_OUT_BIAS, &b->attn, out, b);
}

void forward_ffn_norm(const Model *model, int64_t layer, Stream *stream, BlockBuffers *b)
{
    const Param *p = model->blocks[layer].params;
    NormArgs norm = {.y = b->ffn_in, .mean = b->ffn_mean, .rstd = b->ffn_rstd};
    norm_stream(model, stream, &p[BLOCK_FFN_NORM], &p[BLOCK_FFN_NORM_BIAS], &b->mid, &norm);
}

void forward_ffn(const Model *model, int64_t layer, const BlockBuffers *b, const Tensor *out)
{
    if (model->config.act == ACT_SWIGLU) {
        linear(model, layer, BLOCK_FFN_UP, BLOCK_FFN_UP_BIAS, &b->ffn_in, &b->ffn_up, b);
        LinearArgs gate = {.weight = BLOCK_FFN_GATE, .bias = BLOCK_PARAM_COUNT};
        gate.x = b->ffn_in, gate.y = b->ffn_gate, gate.lora = b->lora;
        forward_linear(model, layer, &gate);
        ActArgs act = {.act = ACT_SWIGLU, .x = b->ffn_up, .gate = b->ffn_gate, .y = b->ffn_act};
        model->device.ops->act(model->device.queue, &act);
    } else {
        LinearArgs up = {.weight = BLOCK_FFN_UP, .bias = BLOCK_FFN_UP_BIAS, .act = ACT_GELU};
        up.x = b->ffn_in, up.y = b->ffn_act, up.pre = b->ffn_up, up.lora = b->lora;
        forward_linear(model, layer, &up);
    }
    linear(model, layer, BLOCK_FFN_DOWN, BLOCK_FFN_DOWN_BIAS, &b->ffn_act, out, b);
}

void forward_rest(const Model *model, int64_t layer, Stream *stream, BlockBuffers *b,
                  const Dropout *dropout)
{
    forward_attn_out(model, layer, b, &b->attn_out);
    forward_drop(model, layer, DROP_ATTN, &b->attn_out, dropout);
    stream->delta = b->attn_out;
    forward_ffn_norm(model, layer, stream, b);
    forward_ffn(model, layer, b, &b->ffn_out);
    forward_drop(model, layer, DROP_FFN, &b->ffn_out, dropout);
    stream->delta = b->ffn_out;
}

void forward_block(const Model *model, int64_t layer, int64_t batch, Stream *stream,
                   const Tensor *positions, BlockBuffers *b, const Dropout *dropout)
{
    const ModelConfig *c = &model->config;
    int64_t T = b->q.shape[0] / batch, H = c->n_heads, K = c->n_kv_heads, D = c->head_dim;
    forward_qkv(model, layer, stream, positions, b);
    AttnArgs args = {.q = tensor_4d(b->q.data, b->q.dtype, batch, T, H, D),
                     .k = tensor_4d(b->k.data, b->k.dtype, batch, T, K, D),
                     .v = tensor_4d(b->v.data, b->v.dtype, batch, T, K, D),
                     .out = tensor_4d(b->attn.data, b->attn.dtype, batch, T, H, D),
                     .lse = b->lse,
                     .scale = 1.0f / sqrtf((float)D)};
    model->device.ops->attn(model->device.queue, &args);
    forward_rest(model, layer, stream, b, dropout);
}

void forward_settle(const Model *model, Stream *stream)
{
    if (!stream->delta.data)
        return;
    const float one = 1.0f;
    WeightedSumArgs args = {
        .x = &stream->delta, .weights = &one, .n = 1, .y = stream->sum, .accumulate = true};
    model->device.ops->weighted_sum(model->device.queue, &args);
    stream->delta = (Tensor){0};
}

void forward_final_norm(const Model *model, Stream *stream, const Tensor *y, const Tensor *sum,
                        const Tensor *mean, const Tensor *rstd)
{
    static const Tensor absent = {0};
    const Param *head = model->head;
    NormArgs norm = {.y = *y};
    if (mean)
        norm.mean = *mean;
    if (rstd)
        norm.rstd = *rstd;
    norm_stream(model, stream, &head[HEAD_FINAL_NORM], &head[HEAD_FINAL_NORM_BIAS],
                sum ? sum : &absent, &norm);
}

void forward_logits(const Model *model, const Tensor *y, const Tensor *logits)
{
    const Param *head = &model->head[HEAD_HEAD], *bias = &model->head[HEAD_HEAD_BIAS];
    if (head->weight.dtype == DTYPE_I8) {
        GemmI8Args args = {
            .a = *y, .w = head->weight, .scales = head->scales, .bias = bias->weight, .c = *logits};
        model->device.ops->gemm_i8(model->device.queue, &args);
        return;
    }
    GemmArgs args = {.a = *y, .b = head->weight, .c = *logits, .bias = bias->weight};
    args.b_transposed = true;
    model->device.ops->gemm(model->device.queue, &args);
}
