/* What a plan has to know of a model: the sizes that decide which bytes a decoding step reads,
 * exchanges and holds. Plain data. */
#ifndef CAMBIUM_INFER_PLAN_PLAN_MODEL_H
#define CAMBIUM_INFER_PLAN_PLAN_MODEL_H

#include "core/model/config.h"
#include "infer/plan/plan_type.h"

enum { PLAN_STACKS = 32 };

/* Latent attention (MLA): queries and keys share compressed vectors, so that the cache holds
 * kv_rank + rope numbers per position whatever the number of heads is. */
typedef struct PlanLatent {
    int64_t q_rank;  /* 0: queries are not compressed */
    int64_t kv_rank; /* 0: no latent attention */
    int64_t rope;    /* rotary part of a key, shared by all heads */
    int64_t value;   /* a head's value */
} PlanLatent;

/* The feed-forward part of mixture layers. */
typedef struct PlanRouting {
    int64_t n_experts; /* routed ones; 0: no mixture */
    int64_t n_shared;
    int64_t active; /* routed experts that a token takes */
    int64_t d_ff;   /* of one expert */
} PlanRouting;

/* One transformer. */
typedef struct PlanStack {
    int64_t n_layers;
    int64_t n_dense; /* layers without a mixture: the first ones */
    int64_t d_model;
    int64_t n_heads, n_kv_heads, head_dim; /* latent attention: 1 KV head; head_dim without rope */
    int64_t d_ff;                          /* of dense layers */
    int64_t ffn_matrices;                  /* 3 with a gate (SwiGLU), else 2 */
    bool tied_head;                        /* the output head is the table: held once */
    PlanLatent latent;
    PlanRouting routing;
} PlanStack;

/* One transformer, or the experts of a merged model: every request goes through all of them. */
typedef struct PlanModel {
    char name[64];
    int64_t vocab, n_embed; /* the width of all tables together */
    int64_t n_stacks;
    PlanStack stacks[PLAN_STACKS];
} PlanModel;

/* "llama-405b", "llama-70b", "llama-8b", "deepseek-r1"; false for other names. */
bool plan_model_preset(const char *name, PlanModel *out);
#define PLAN_MODEL_PRESETS "llama-405b, llama-70b, llama-8b, deepseek-r1"

/* The plan's view of one model, or of `n` merged ones (over one table). Fails when there are more
 * than PLAN_STACKS. */
Status plan_model_of(const char *name, const ModelConfig *const *configs, int64_t n, PlanModel *out,
                     Err *err);

/* The same of a model file; nothing but its description is read. */
Status plan_model_read(const char *path, PlanModel *out, Err *err);

/* Expert-parallel groups that have work: routed experts, or the experts of a merged model; 1 for a
 * dense model. */
int64_t plan_model_experts(const PlanModel *model);
int64_t plan_model_layers(const PlanModel *model);   /* of the deepest stack */
int64_t plan_model_kv_heads(const PlanModel *model); /* of the stack with the fewest: bounds TPA */

/* All parameters, the table included. */
double plan_model_params(const PlanModel *model);
/* Bytes of keys and values of one position over all layers and stacks: 2 K Hsz b per layer, latent
 * attention (kv_rank + rope) b. */
double plan_model_kv_bytes(const PlanModel *model, PlanType type);

#endif
