/* The shape of a decoder-only, pre-norm transformer with rotary positions. Plain data; stored as
 * JSON in /meta of every checkpoint. The published glyph models are one setting of it, Llama-family
 * models another. */
#ifndef CAMBIUM_CORE_MODEL_CONFIG_H
#define CAMBIUM_CORE_MODEL_CONFIG_H

#include <jansson.h>

#include "core/model/rope_scaling.h"
#include "core/tensor/ops.h"

typedef enum EmbeddingKind {
    EMBEDDING_GLYPH = 0,   /* frozen pictures of the tokens */
    EMBEDDING_CODES = 1,   /* frozen codes: the published ablations */
    EMBEDDING_LEARNED = 2, /* an ordinary trainable table (the baseline) */
} EmbeddingKind;

typedef struct ModelConfig {
    int64_t vocab_size;
    int64_t n_embed; /* width of the table; divides d_model, components are repeated */
    int64_t d_model;
    int64_t n_layers;
    int64_t n_heads;
    int64_t n_kv_heads; /* divides n_heads */
    int64_t head_dim;   /* even */
    int64_t d_ff;
    int64_t context; /* positions that training used */
    EmbeddingKind embedding;
    double embed_scale; /* multiplies the table's rows; 1 as published */
    NormKind norm;
    double norm_eps;
    Activation act; /* ACT_GELU or ACT_SWIGLU */
    bool bias_qkv;
    bool bias_out; /* attention's output projection */
    bool bias_ffn;
    bool bias_head;
    bool norm_bias; /* layer norms have a bias */
    bool tied_head; /* the head is the embedding table (needs n_embed == d_model) */
    double rope_base;
    RopeScaling rope_scaling;
    int64_t lora_rank; /* 0: none */
    double lora_alpha;
    double dropout;
} ModelConfig;

/* The project's own architecture at a small size; callers overwrite what differs. */
ModelConfig model_config_default(void);

/* Fails with the first rule that the shape breaks. */
Status model_config_check(const ModelConfig *config, Err *err);

json_t *model_config_json(const ModelConfig *config); /* the caller owns it */
/* Unknown and missing keys are errors that name the key. */
Status model_config_from_json(const json_t *json, ModelConfig *out, Err *err);

/* Parameters of the parts: what progress lines, --dry-run and inspect print. */
typedef struct ModelSize {
    int64_t embedding, block, head; /* head includes the final norm; 0 weights when tied */
    int64_t lora;                   /* the pairs of one block */
    int64_t total;
} ModelSize;
ModelSize model_size(const ModelConfig *config);

/* Multiply-add pairs times two, per token: forward products of one block, of its attention at `t`
 * tokens of context (causal: t / 2 on average), and of the head. Backward costs twice the forward
 * where it runs. */
typedef struct ModelFlops {
    double block, attention, head, lora; /* lora: the pairs of one block */
} ModelFlops;
ModelFlops model_flops(const ModelConfig *config, int64_t t);

#endif
