/* The formulas: elements that a rank reads in one layer, operations, bytes that it sends. Pure
 * arithmetic. Symbols: B requests, S positions, Q query heads, K KV heads, D head size, H model
 * width, F feed-forward width; TPA, KVP, TPF, EP widths of the grid, N ranks.
 * Source: Helix parallelism (arXiv 2507.07120), appendix A; see also design section 9. */
#ifndef CAMBIUM_INFER_PLAN_ROOFLINE_H
#define CAMBIUM_INFER_PLAN_ROOFLINE_H

#include "infer/plan/plan_model.h"

/* KV heads of the busiest of `tpa` ranks, and its query heads: those of its KV heads, or its part
 * of all where there are more ranks than KV heads (which copies the cache). */
int64_t rank_kv_heads(const PlanStack *stack, int64_t tpa);
int64_t rank_heads(const PlanStack *stack, int64_t tpa);

/* ---- weights: elements per rank and layer ---------------------------------------------------- */

/* W_Q, W_K, W_V cut `tpa` ways and the output projection `out` ways. The paper's appendix says
 * out = TPA, its section 2.2 and every implementation out = N. Latent attention: what compresses is
 * whole on every rank, W_UQ and W_UK go with the heads of `tpa`, W_UV and W_O with those of `out`.
 */
double attention_elements(const PlanStack *stack, int64_t tpa, int64_t out);
double dense_elements(const PlanStack *stack, int64_t tpf);  /* (2 or 3) H F / tpf */
double expert_elements(const PlanStack *stack, int64_t tpf); /* one routed expert */
/* Shared experts of a mixture layer, and its router (whole on every rank). */
double shared_elements(const PlanStack *stack, int64_t tpf);
/* Routed experts that a batch touches, on average, when each token takes `active` of `n` at random:
 * n (1 - (1 - active / n)^B). */
double distinct_experts(const PlanRouting *routing, double batch);

/* ---- the KV cache: bytes and operations per rank and layer ----------------------------------- */

/* B 2 ceil(K/TPA) D (S/KVP) bytes; latent: B (kv_rank + rope) (S/KVP) bytes. */
double kv_bytes(const PlanStack *stack, PlanType type, double batch, double context, int64_t tpa,
                int64_t kvp);
/* 4 B Q/TPA D S/KVP; latent: 2 B Q/TPA (2 kv_rank + rope) S/KVP. */
double attention_flops(const PlanStack *stack, double batch, double context, int64_t tpa,
                       int64_t kvp);

/* ---- the exchange ---------------------------------------------------------------------------- */

/* What a rank with `heads` query heads sends to its KVP - 1 peers (and receives from them) for
 * `batch` tokens of one layer: partial outputs `width` wide, and one float32 log-sum-exp per head.
 * Independent of the context. */
typedef struct ExchangeBytes {
    double output, lse;
} ExchangeBytes;
ExchangeBytes exchange_bytes(double batch, int64_t heads, int64_t width, int64_t kvp,
                             double element_bytes);
/* A partial output's width: D, or kv_rank (W_UV comes after the merge). */
int64_t exchange_width(const PlanStack *stack);

/* HOP-B: `n` pieces whose exchange (m seconds each) runs beside the next one's attention (c):
 * c + (n - 1) max(c, m) + m. */
double hopb_seconds(int64_t n, double c, double m);

#endif
