/* The forward pass in pieces, so that training (whole sequences, activations kept), decoding (paged
 * KV) and the Helix decoder (sharded) are made of the same parts.
 *
 * N = B * T tokens; the residual stream is float32 (N, C); everything that products read is of the
 * model's compute type. All buffers are the caller's. */
#ifndef CAMBIUM_CORE_MODEL_FORWARD_H
#define CAMBIUM_CORE_MODEL_FORWARD_H

#include "core/base/mem.h"
#include "core/model/model.h"

/* The residual stream between two pieces: its value is sum + delta. A piece leaves its last
 * projection in `delta` and the next norm adds it on its way, which saves a pass over memory. */
typedef struct Stream {
    Tensor sum;   /* (N, C) float32 */
    Tensor delta; /* (N, C) compute type, or absent */
} Stream;

/* Buffers of one block. In training each block that needs a backward pass has its own set; without
 * backward one set serves all blocks, and the tensors marked (b) may be absent. */
typedef struct BlockBuffers {
    Tensor x;         /* (N, C) float32: the block's input, kept for backward (b) */
    Tensor attn_mean; /* (N) (b) */
    Tensor attn_rstd; /* (N) (b) */
    Tensor attn_in;   /* (N, C) compute: the normed input */
    Tensor q, k, v;   /* (N, H * D), (N, K * D) compute: after rotation */
    Tensor attn;      /* (N, H * D) compute: attention's output before the projection */
    Tensor lse;       /* (B, H, T) float32 (b) */
    Tensor attn_out;  /* (N, C) compute: after the projection */
    Tensor mid;       /* (N, C) float32: x + attn_out, kept for backward (b) */
    Tensor ffn_mean;  /* (N) (b) */
    Tensor ffn_rstd;  /* (N) (b) */
    Tensor ffn_in;    /* (N, C) compute */
    Tensor ffn_up;    /* (N, F) compute: before the activation (b, unless SwiGLU) */
    Tensor ffn_gate;  /* (N, F) compute: SwiGLU only */
    Tensor ffn_act;   /* (N, F) compute: after it */
    Tensor ffn_out;   /* (N, C) compute */
    Tensor lora;      /* (N, rank) compute: scratch of the low-rank products (LoRA only) */
} BlockBuffers;

/* Dropout of one forward pass (backward repeats it with the same numbers); p 0: none. */
typedef struct Dropout {
    float p;
    uint64_t seed;  /* of the whole batch; each place in the model mixes in its own number */
    uint64_t token; /* where this pass's tokens begin in that batch */
} Dropout;
typedef enum DropPlace { DROP_ATTN = 0, DROP_FFN = 1 } DropPlace; /* both projections' outputs */
/* Drops values of a projection's output, or of its gradient, (N, C), in place. */
void forward_drop(const Model *model, int64_t layer, DropPlace place, const Tensor *x,
                  const Dropout *dropout);

/* Takes the tensors of one set from an arena (which may only measure) for (B, T) tokens. `backward`
 * says whether those marked (b) are wanted. Sets of several blocks may share what is not kept
 * (projections' outputs, LoRA's scratch): those are taken over from `shared` unless it is NULL. */
void block_buffers_plan(BlockBuffers *buffers, const Model *model, int64_t batch, int64_t t,
                        bool backward, const BlockBuffers *shared, Arena *arena);

/* What decoding reads of the first n rows of every buffer: all but what backward wants. */
BlockBuffers block_buffers_first(const BlockBuffers *buffers, int64_t n);

/* (N, heads * D) seen as (N, heads, D). */
Tensor forward_heads(const Tensor *x, int64_t heads, int64_t head_dim);

/* x = embed_scale * table[ids], (N, C) float32. ids (N) int32. */
void forward_embed(const Model *model, const Tensor *ids, const Tensor *x);

/* Up to the attention: norm, q, k, v with biases and LoRA, rotation by positions (N) int32.
 * Afterwards stream->sum is the block's input: buffers->x where present, else the old sum,
 * overwritten; delta is absent. */
void forward_qkv(const Model *model, int64_t layer, Stream *stream, const Tensor *positions,
                 BlockBuffers *buffers);
/* After it, from buffers->attn: output projection, residual, norm, feed-forward. Afterwards
 * stream->sum is buffers->mid (or the old sum, overwritten) and stream->delta buffers->ffn_out. */
void forward_rest(const Model *model, int64_t layer, Stream *stream, BlockBuffers *buffers,
                  const Dropout *dropout);
/* The parts of forward_rest, for ranks that hold shards of a block: each leaves a projection's
 * output, which is partial there, in a tensor (N, C) float32 or compute type. The output projection
 * reads buffers->attn; the norm turns stream (its delta added) into buffers->ffn_in, and the
 * feed-forward part reads that. */
void forward_attn_out(const Model *model, int64_t layer, const BlockBuffers *buffers,
                      const Tensor *out);
void forward_ffn_norm(const Model *model, int64_t layer, Stream *stream, BlockBuffers *buffers);
void forward_ffn(const Model *model, int64_t layer, const BlockBuffers *buffers, const Tensor *out);
/* A whole block on whole sequences (B, T): forward_qkv, causal attention, forward_rest. */
void forward_block(const Model *model, int64_t layer, int64_t batch, Stream *stream,
                   const Tensor *positions, BlockBuffers *buffers, const Dropout *dropout);
/* stream->sum (overwritten) += delta; delta is absent afterwards. */
void forward_settle(const Model *model, Stream *stream);

/* y = act(x W^T + b) of one matrix of a block, LoRA and int8 weights included; `bias` may be a
 * parameter that the model does not have, or BLOCK_PARAM_COUNT for none. `pre` (optional): the
 * value before the activation. `lora` is scratch (N, rank), needed only when the model has LoRA
 * pairs. */
typedef struct LinearArgs {
    BlockParam weight, bias;
    Activation act; /* ACT_NONE or ACT_GELU */
    Tensor x, y, pre, lora;
} LinearArgs;
void forward_linear(const Model *model, int64_t layer, const LinearArgs *args);

/* Final norm: y (N, C) compute. `sum` (optional) receives the norm's input, else stream->sum is
 * overwritten with it; mean and rstd (N) are for backward, optional. */
void forward_final_norm(const Model *model, Stream *stream, const Tensor *y, const Tensor *sum,
                        const Tensor *mean, const Tensor *rstd);
/* logits (N, V) float32 = y head^T + bias; for decoding, where all logits are wanted. int8 heads
 * write logits through a compute-type product. */
void forward_logits(const Model *model, const Tensor *y, const Tensor *logits);

#endif
