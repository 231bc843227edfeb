/* The forward pass in pieces, so that training (whole sequences, activations kept), decoding (paged
 * KV) and the Helix decoder (sharded) are made of the same parts.
 *
 * N = B * T tokens; the residual stream is float32 (N, C); everything that products read is of the
 * model's compute type. All buffers are the caller's. */
#ifndef CAMBIUM_CORE_MODEL_FORWARD_H
#define CAMBIUM_CORE_MODEL_FORWARD_H

#include "core/model/model.h"

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
    Tensor attn_out;  /* (N, C) compute or float32: after the projection */
    Tensor mid;       /* (N, C) float32: x + attn_out, kept for backward (b) */
    Tensor ffn_mean;  /* (N) (b) */
    Tensor ffn_rstd;  /* (N) (b) */
    Tensor ffn_in;    /* (N, C) compute */
    Tensor ffn_up;    /* (N, F) compute: before the activation */
    Tensor ffn_gate;  /* (N, F) compute: SwiGLU only */
    Tensor ffn_act;   /* (N, F) compute: after it */
    Tensor ffn_out;   /* (N, C) compute or float32 */
    Tensor lora;      /* (N, rank) compute: scratch of the low-rank products */
} BlockBuffers;

/* x = embed_scale * table[ids], (N, C) float32. ids (N) int32. */
void forward_embed(const Model *model, const Tensor *ids, const Tensor *x);

/* Up to the attention: norm, q, k, v with biases and LoRA, rotation by positions (N) int32. */
void forward_qkv(const Model *model, int64_t layer, const Tensor *x, const Tensor *positions,
                 BlockBuffers *buffers);
/* After it: output projection, residual, norm, feed-forward; out (N, C) float32 = the block's
 * output, which may be `x` itself when nothing is kept. */
void forward_rest(const Model *model, int64_t layer, const Tensor *x, BlockBuffers *buffers,
                  const Tensor *out);

/* y = x W^T + b of one matrix of the model, LoRA and int8 weights included; act as in GemmArgs. */
void forward_linear(const Model *model, int64_t layer, BlockParam weight, BlockParam bias,
                    const Tensor *x, const Tensor *y, const Tensor *lora);

/* Final norm: y (N, C) compute. */
void forward_final_norm(const Model *model, const Tensor *x, const Tensor *y, const Tensor *mean,
                        const Tensor *rstd);
/* logits (N, V) float32 = y head^T + bias; for decoding, where all logits are wanted. */
void forward_logits(const Model *model, const Tensor *y, const Tensor *logits);

#endif
