#include "infer/plan/roofline.h"

#include <math.h>

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

int64_t rank_kv_heads(const PlanStack *stack, int64_t tpa)
{
    return ceil_div(stack->n_kv_heads, tpa);
}

int64_t rank_heads(const PlanStack *stack, int64_t tpa)
{
    if (tpa > stack->n_kv_heads)
        return ceil_div(stack->n_heads, tpa);
    return rank_kv_heads(stack, tpa) * (stack->n_heads / stack->n_kv_heads);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Heads whose output projection a rank has: of the heads of its part of `tpa`, its chunk. */
static int64_t output_heads(const PlanStack *stack, int64_t tpa, int64_t out)
{
    return ceil_div(rank_heads(stack, tpa), out / tpa);
}

static double latent_elements(const PlanStack *s, int64_t tpa, int64_t out)
{
    const PlanLatent *l = &s->latent;
    int64_t heads = rank_heads(s, tpa), mine = output_heads(s, tpa, out);
    int64_t width = s->head_dim + l->rope;
    int64_t query =
        l->q_rank ? s->d_model * l->q_rank + l->q_rank * heads * width : s->d_model * heads * width;
    int64_t compress = s->d_model * (l->kv_rank + l->rope);
    int64_t keys = heads * s->head_dim * l->kv_rank;
    int64_t values = mine * l->value * l->kv_rank;
    return (double)(query + compress + keys + values + mine * l->value * s->d_model);
}

double attention_elements(const PlanStack *s, int64_t tpa, int64_t out)
{
    if (s->latent.kv_rank)
        return latent_elements(s, tpa, out);
    int64_t rows = rank_heads(s, tpa) + 2 * rank_kv_heads(s, tpa) + output_heads(s, tpa, out);
    return (double)(s->d_model * s->head_dim * rows);
}

double dense_elements(const PlanStack *s, int64_t tpf)
{
    return (double)(s->ffn_matrices * s->d_model * ceil_div(s->d_ff, tpf));
}

double expert_elements(const PlanStack *s, int64_t tpf)
{
    return (double)(s->ffn_matrices * s->d_model * ceil_div(s->routing.d_ff, tpf));
}

double shared_elements(const PlanStack *s, int64_t tpf)
{
    return (double)s->routing.n_shared * expert_elements(s, tpf) +
           (double)(s->routing.n_experts * s->d_model);
}

double distinct_experts(const PlanRouting *routing, double batch)
{
    double n = (double)routing->n_experts;
    return n > 0.0 ? n * (1.0 - pow(1.0 - (double)routing->active / n, batch)) : 0.0;
}

/* ---- the KV cache ---------------------------------------------------------------------------- */

double kv_bytes(const PlanStack *s, PlanType type, double batch, double context, int64_t tpa,
                int64_t kvp)
{
    int64_t latent = s->latent.kv_rank + s->latent.rope;
    int64_t row = s->latent.kv_rank ? latent : s->head_dim;
    int64_t elements = s->latent.kv_rank ? latent : 2 * rank_kv_heads(s, tpa) * s->head_dim;
    return batch * (double)elements * (context / (double)kvp) * plan_type_bytes(type, row);
}

double attention_flops(const PlanStack *s, double batch, double context, int64_t tpa, int64_t kvp)
{
    int64_t widths = s->latent.kv_rank ? 2 * s->latent.kv_rank + s->latent.rope : 2 * s->head_dim;
    return 2.0 * batch * (double)(rank_heads(s, tpa) * widths) * context / (double)kvp;
}

/* ---- the exchange ---------------------------------------------------------------------------- */

ExchangeBytes exchange_bytes(double batch, int64_t heads, int64_t width, int64_t kvp,
                             double element_bytes)
{
    double sent = batch * (double)(heads * (kvp - 1)) / (double)kvp;
    return (ExchangeBytes){.output = sent * (double)width * element_bytes, .lse = sent * 4.0};
}

int64_t exchange_width(const PlanStack *s)
{
    return s->latent.kv_rank ? s->latent.kv_rank : s->head_dim;
}

double hopb_seconds(int64_t n, double c, double m)
{
    return c + (double)(n - 1) * fmax(c, m) + m;
}
