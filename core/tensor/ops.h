/* THE operation table: every operation a backend must provide, listed once.
 *
 * CAMBIUM_OPS(X) calls X(name, Args, f32, bf16): the table's field, the struct of its arguments and
 * the tolerance (normalised mean square error against the plain-C reference) for float32 and
 * bfloat16 data. An operation is enqueued on a Queue and returns at once; CPU queues run it before
 * they return. Wrong shapes and types are bugs of the caller and abort (CHECK).
 *
 * Conventions
 *   N rows (tokens), C = d_model, F = d_ff, V = vocabulary, B batch, T time, H query heads,
 *   K KV heads, D head size. Weights are (out, in). "compute type": float32 or bfloat16.
 *   Optional tensors have data == NULL. Sums are accumulated in float32 or wider, in an order that
 *   does not depend on the number of threads. `accumulate` adds to what the output holds. */
#ifndef CAMBIUM_CORE_TENSOR_OPS_H
#define CAMBIUM_CORE_TENSOR_OPS_H

#include "core/tensor/tensor.h"

typedef struct Queue Queue; /* each backend has its own kind */

typedef enum Activation { ACT_NONE = 0, ACT_GELU = 1, ACT_SWIGLU = 2 } Activation;
typedef enum NormKind { NORM_LAYER = 0, NORM_RMS = 1 } NormKind;

/* c (M, N) = act(op(a) op(b) + bias), a is (M, K) or, transposed, (K, M); b is (N, K) when
 * `b_transposed` (a weight: y = x W^T), else (K, N). a and b share one compute type; c is float32
 * or that type. bias (N) float32. ACT_GELU (erf) only without accumulate; then `pre` (M, N), when
 * present, receives the value before the activation, in c's type. */
typedef struct GemmArgs {
    Tensor a, b, c, bias, pre;
    bool a_transposed, b_transposed;
    bool accumulate;
    Activation act;
} GemmArgs;

/* c (M, N) = a (M, K) w (N, K)^T, w int8 with scales (N) float32; a and c compute type, bias (N)
 * optional float32. For decoding: M is small. */
typedef struct GemmI8Args {
    Tensor a, w, scales, bias, c;
} GemmI8Args;

/* out (N) float32 (+)= sum over rows of x (rows, N): the gradient of a bias. */
typedef struct SumRowsArgs {
    Tensor x, out;
    bool accumulate;
} SumRowsArgs;

/* sum = x + residual when residual is present (sum may be residual itself; float32), then
 * y = norm(sum) * weight + bias. residual, sum (N, C) float32; x float32 or compute type; y compute
 * type; weight, bias (C) float32 (bias optional); mean (N; layer norm only), rstd (N) float32 are
 * kept for backward, optional. Layer norm: biased variance, 1 / sqrt(var + eps). */
typedef struct NormArgs {
    NormKind kind;
    float eps;
    Tensor x, residual, sum, weight, bias, y, mean, rstd;
} NormArgs;

/* dx (N, C) float32 (+)= gradient through the norm of dy (compute type); x (N, C) float32 is the
 * norm's input. dweight, dbias (C) float32 are accumulated when present. */
typedef struct NormBackwardArgs {
    NormKind kind;
    Tensor x, weight, mean, rstd, dy, dx, dweight, dbias;
    bool accumulate; /* dx */
} NormBackwardArgs;

/* ACT_GELU: y = gelu(x). ACT_SWIGLU: y = silu(gate) * x. All (N, F) compute type. */
typedef struct ActArgs {
    Activation act;
    Tensor x, gate, y;
} ActArgs;

/* dx (and dgate) from dy and the saved inputs; dx may be dy. */
typedef struct ActBackwardArgs {
    Activation act;
    Tensor x, gate, dy, dx, dgate;
} ActBackwardArgs;

/* Rotates pairs (i, i + D/2) of every head in place by position * inv_freq[i] (half-split pairing).
 * x (N, heads, D) compute type; positions (N) int32; inv_freq (D/2) float32; `inverse` rotates
 * back (the gradient). `scale` multiplies the result (YaRN's attention factor; 1 otherwise). */
typedef struct RopeArgs {
    Tensor x, positions, inv_freq;
    bool inverse;
    float scale;
} RopeArgs;

/* Causal attention of whole sequences. q, out (B, T, H, D); k, v (B, T, K, D) compute type;
 * lse (B, H, T) float32 natural log-sum-exp of the scaled scores, kept for backward (optional).
 * Query head h reads KV head h / (H / K). scale is usually 1 / sqrt(D). */
typedef struct AttnArgs {
    Tensor q, k, v, out, lse;
    float scale;
} AttnArgs;

/* dq, dk, dv (overwritten) from dout; `scratch` float32 (B, H, T) holds rowsum(dout * out). */
typedef struct AttnBackwardArgs {
    Tensor q, k, v, out, lse, dout, dq, dk, dv, scratch;
    float scale;
} AttnBackwardArgs;

/* A paged KV store for R sequences. k_pages, v_pages (pages, K, page_size, D) float32, bfloat16 or
 * int8; k_scales, v_scales (pages, K, page_size) float32 for int8 (one scale per row), else absent.
 * page_table (R, max_pages) int32: the pages of each sequence in order of its local rows. */
typedef struct KvPages {
    Tensor k_pages, v_pages, k_scales, v_scales, page_table;
} KvPages;

/* Writes k, v (N, K, D) of compute type at `slots` (N) int32, slot = page * page_size + offset;
 * negative slots are not written (another rank owns that position). */
typedef struct KvWriteArgs {
    Tensor k, v, slots;
    KvPages kv;
} KvWriteArgs;

/* Decode attention: query row n belongs to sequence rows[n] and sees the first limits[n] local rows
 * of it (so prefill is causal too). q (N, H, D) compute type, out (N, H, D) that type or float32;
 * rows, limits (N) int32; lse (N, H) float32, optional. A row that sees nothing (limit 0) gets zero
 * and minus infinity. */
typedef struct AttnDecodeArgs {
    Tensor q, out, lse, rows, limits;
    KvPages kv;
    float scale;
} AttnDecodeArgs;

/* Merges S normalised partial attentions: out (N, H, D) = sum_s w_s parts[s],
 * w_s = exp(lse_s - max) / sum exp(lse - max); parts (S, N, H, D) float32 or compute type,
 * part_lse (S, N, H) float32; lse (N, H) optional. All empty: zero and minus infinity.
 * A part whose lse is minus infinity is not read (it may hold NaN). */
typedef struct AttnMergeArgs {
    Tensor parts, part_lse, out, lse;
} AttnMergeArgs;

/* Partial attentions on their way between ranks: the outputs of some heads and their log-sum-exps
 * travel in one message. A packed row is one head's output followed by its log-sum-exp, the bits of
 * a float32: (rows, D + pad) of values' type, pad = 1 element of float32 or 2 of bfloat16.
 *
 * attn_pack: values (N, H, D) float32 or bfloat16, D even, lse (N, H) -> packed (N * H, D + pad),
 * in n_chunks chunks one after the other: chunk c holds heads [cuts[c], cuts[c + 1]) of all N rows,
 * row by row; cuts (n_chunks + 1, host) rise from 0 to H. attn_unpack takes rows apart again:
 * packed (M, D + pad) -> values of M * D elements, lse of M. */
enum { ATTN_PACK_CHUNKS = 128 }; /* at most */
typedef struct AttnPackArgs {
    Tensor values, lse, packed;
    const int32_t *cuts;
    int32_t n_chunks;
} AttnPackArgs;
typedef struct AttnUnpackArgs {
    Tensor packed, values, lse;
} AttnUnpackArgs;

/* out (N, C) float32 = scale * table[ids[n]], each component repeated C / n_embed times when the
 * table (V, n_embed) is narrower. ids (N) int32; table float32, bfloat16 or uint8 (bits). */
typedef struct EmbedArgs {
    Tensor ids, table, out;
    float scale;
} EmbedArgs;

/* dtable (V, n_embed) float32 += scale * dout (N, C) float32 by id (repeated components summed), in
 * a fixed order. */
typedef struct EmbedBackwardArgs {
    Tensor ids, dout, dtable;
    float scale;
} EmbedBackwardArgs;

/* Fused head, softmax and cross-entropy; logits (N, V) are made in chunks and never stored.
 * x (N, C) compute type; weight (V, C) compute type; bias (V) float32 optional; targets (N) int32,
 * negative ones are ignored. losses (N) float32 in nats, 0 where ignored. With gradients wanted:
 * dx (N, C) float32 or compute type (overwritten), dweight (V, C) and dbias (V) float32
 * (overwritten, or added to with `accumulate`), each optional; every token's gradient is multiplied
 * by `grad_scale` (1 / tokens of the step). */
typedef struct HeadLossArgs {
    Tensor x, weight, bias, targets, losses, dx, dweight, dbias;
    float grad_scale;
    bool accumulate;
} HeadLossArgs;

/* One parameter of an AdamW step; all float32 of one size, `copy` (compute type, optional) receives
 * the rounded new value (where two backends' values differ in the last bit it may round the other
 * way, which its tolerance allows). */
typedef struct AdamwItem {
    Tensor param, grad, m, v, copy;
    float weight_decay;
} AdamwItem;

/* Decoupled weight decay (Loshchilov and Hutter, 2019). grad is first multiplied by the device
 * float32 `grad_scale` (1) when present: the clipping factor. step counts from 1. */
typedef struct AdamwArgs {
    const AdamwItem *items; /* host */
    int64_t n_items;
    float lr, beta1, beta2, eps;
    int64_t step;
    Tensor grad_scale;
} AdamwArgs;

/* norm (1) float32 = square root of the sum of squares of all tensors (float32, host list), summed
 * in a fixed order in float64. With max_norm > 0 also clip (1) = min(1, max_norm / (norm + 1e-6)).
 */
typedef struct GradNormArgs {
    const Tensor *items;
    int64_t n_items;
    float max_norm;
    Tensor norm, clip;
} GradNormArgs;

/* y = sum_i weights[i] * x[i] (+ y when accumulate); tensors of y's shape; weights on the host.
 * Types may differ; the sum is in float32. */
typedef struct WeightedSumArgs {
    const Tensor *x; /* host list */
    const float *weights;
    int64_t n;
    Tensor y;
    bool accumulate;
} WeightedSumArgs;

/* y = x converted (float32 <-> bfloat16, or equal types: a copy). */
typedef struct CastArgs {
    Tensor x, y;
} CastArgs;

/* Symmetric int8 rows: q (rows, cols) int8 = round(x / scale), scales (rows) float32 =
 * max |x| / 127; a zero row has scale 0. */
typedef struct QuantiseArgs {
    Tensor x, q, scales;
} QuantiseArgs;

/* out[i] = x[rows[i]]: x (N, C), rows (M) int32, out (M, C), equal types. */
typedef struct GatherRowsArgs {
    Tensor x, rows, out;
} GatherRowsArgs;

/* y (N, V) = log softmax(x) per row, float32 both; may be in place. lse (N) optional. */
typedef struct LogSoftmaxArgs {
    Tensor x, y, lse;
} LogSoftmaxArgs;

/* Combines the logits of E experts, logits (E, N, V) float32, into out (N, V) (design section 8).
 * MIX_LOGITS: sum_e w_e logits_e. MIX_PROBS: log sum_e w_e softmax(logits_e). weights (N, E)
 * float32. */
typedef enum MixKind { MIX_LOGITS = 0, MIX_PROBS = 1 } MixKind;
typedef struct MixArgs {
    MixKind kind;
    Tensor logits, weights, out;
} MixArgs;

/* values float32, ids int32 (N, k): the k largest of x (N, V) float32 per row, falling; ties by
 * lower id. */
typedef struct TopKArgs {
    Tensor x, values, ids;
} TopKArgs;

/* How one row is sampled. temperature 0: the largest logit (lowest id among ties). Order:
 * repetition penalty, temperature, top-k, top-p, min-p (relative to the largest probability). Of
 * the tokens kept, in order of id, the first whose running sum of probabilities exceeds `uniform`
 * (in [0, 1)) times their total is chosen. A zeroed field switches its rule off. */
typedef struct SampleRule {
    float temperature, top_p, min_p, repetition_penalty; /* off: top_p 0 or 1, penalty 0 or 1 */
    int32_t top_k;                                       /* 0: all */
    float uniform;
    const int32_t *recent; /* host: tokens that the penalty applies to */
    int64_t n_recent;
} SampleRule;

/* ids (N) int32 from logits (N, V) float32; rules (N) on the host; logprobs (N) float32 optional:
 * log-probability of the chosen token under softmax(logits) before any rule. */
typedef struct SampleArgs {
    Tensor logits, ids, logprobs;
    const SampleRule *rules;
} SampleArgs;

/* out (1) int32: 1 when x holds a NaN or an infinity, else 0. */
typedef struct NonFiniteArgs {
    Tensor x, out;
} NonFiniteArgs;

/* y = x * mask / (1 - p) where mask is drawn per element from (seed, first + index) by
 * dropout_keeps: forward and backward are the same call, and the parts of a batch get the mask of
 * the whole. x, y same type, may be in place; the factor is the float32 1 / (1 - p). */
typedef struct DropoutArgs {
    Tensor x, y;
    float p;
    uint64_t seed;
    uint64_t first; /* what the first element's index counts from */
} DropoutArgs;

/* Kernels draw the same mask by the same two functions: nvcc compiles them for both sides. */
#ifdef __CUDACC__
#define DROPOUT_SIDES __host__ __device__
#else
#define DROPOUT_SIDES
#endif

/* A mix of 32 bits in 32-bit arithmetic ("lowbias32", C. Wellons), which vectorises everywhere. */
static inline DROPOUT_SIDES uint32_t dropout_mix(uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

/* The same mask on every backend: element `index` stays when its random word reaches `threshold`,
 * (uint32_t)(p * 2^32). */
static inline DROPOUT_SIDES bool dropout_keeps(uint64_t seed, uint64_t index, uint32_t threshold)
{
    uint32_t low = dropout_mix((uint32_t)index ^ (uint32_t)seed);
    uint32_t high = (uint32_t)(seed >> 32) + (uint32_t)(index >> 32) * 0x9e3779b9u;
    return dropout_mix(low ^ high) >= threshold;
}

#define CAMBIUM_OPS(X)                                                                             \
    X(gemm, GemmArgs, 1e-10, 2e-5)                                                                 \
    X(gemm_i8, GemmI8Args, 1e-8, 2e-5)                                                             \
    X(sum_rows, SumRowsArgs, 1e-11, 1e-9)                                                          \
    X(norm, NormArgs, 1e-11, 2e-5)                                                                 \
    X(norm_backward, NormBackwardArgs, 1e-10, 2e-5)                                                \
    X(act, ActArgs, 1e-11, 2e-5)                                                                   \
    X(act_backward, ActBackwardArgs, 1e-10, 2e-5)                                                  \
    X(rope, RopeArgs, 1e-11, 2e-5)                                                                 \
    X(attn, AttnArgs, 1e-10, 5e-5)                                                                 \
    X(attn_backward, AttnBackwardArgs, 1e-9, 2e-4)                                                 \
    X(kv_write, KvWriteArgs, 0.0, 0.0)                                                             \
    X(attn_decode, AttnDecodeArgs, 1e-10, 5e-5)                                                    \
    X(attn_merge, AttnMergeArgs, 1e-11, 2e-5)                                                      \
    X(attn_pack, AttnPackArgs, 0.0, 0.0)                                                           \
    X(attn_unpack, AttnUnpackArgs, 0.0, 0.0)                                                       \
    X(embed, EmbedArgs, 0.0, 0.0)                                                                  \
    X(embed_backward, EmbedBackwardArgs, 1e-12, 1e-12)                                             \
    X(head_loss, HeadLossArgs, 1e-9, 2e-4)                                                         \
    X(adamw, AdamwArgs, 1e-11, 1e-8)                                                               \
    X(grad_norm, GradNormArgs, 1e-12, 1e-12)                                                       \
    X(weighted_sum, WeightedSumArgs, 1e-12, 2e-5)                                                  \
    X(cast, CastArgs, 0.0, 0.0)                                                                    \
    X(quantise, QuantiseArgs, 0.0, 0.0)                                                            \
    X(gather_rows, GatherRowsArgs, 0.0, 0.0)                                                       \
    X(log_softmax, LogSoftmaxArgs, 1e-11, 1e-11)                                                   \
    X(mix, MixArgs, 1e-11, 1e-11)                                                                  \
    X(top_k, TopKArgs, 0.0, 0.0)                                                                   \
    X(sample, SampleArgs, 1e-12, 1e-12)                                                            \
    X(non_finite, NonFiniteArgs, 0.0, 0.0)                                                         \
    X(dropout, DropoutArgs, 0.0, 2e-5)

#endif
