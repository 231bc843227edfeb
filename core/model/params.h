/* The parameter table: every weight of a model, listed once, with its shape rule, its start and
 * whether weight decay applies. Names are those of the files: /experts/0/blocks/3/attn_q. */
#ifndef CAMBIUM_CORE_MODEL_PARAMS_H
#define CAMBIUM_CORE_MODEL_PARAMS_H

#include "core/base/hash.h"
#include "core/base/rng.h"
#include "core/model/config.h"

/* X(NAME, "name", start, decay). Shapes: param_shape. */
#define BLOCK_PARAMS(X)                                                                            \
    X(ATTN_NORM, "attn_norm", START_ONE, false)                                                    \
    X(ATTN_NORM_BIAS, "attn_norm_bias", START_ZERO, false)                                         \
    X(ATTN_Q, "attn_q", START_NORMAL, true)                                                        \
    X(ATTN_Q_BIAS, "attn_q_bias", START_ZERO, false)                                               \
    X(ATTN_K, "attn_k", START_NORMAL, true)                                                        \
    X(ATTN_K_BIAS, "attn_k_bias", START_ZERO, false)                                               \
    X(ATTN_V, "attn_v", START_NORMAL, true)                                                        \
    X(ATTN_V_BIAS, "attn_v_bias", START_ZERO, false)                                               \
    X(ATTN_OUT, "attn_out", START_OUTPUT, true)                                                    \
    X(ATTN_OUT_BIAS, "attn_out_bias", START_ZERO, false)                                           \
    X(FFN_NORM, "ffn_norm", START_ONE, false)                                                      \
    X(FFN_NORM_BIAS, "ffn_norm_bias", START_ZERO, false)                                           \
    X(FFN_GATE, "ffn_gate", START_NORMAL, true)                                                    \
    X(FFN_UP, "ffn_up", START_NORMAL, true)                                                        \
    X(FFN_UP_BIAS, "ffn_up_bias", START_ZERO, false)                                               \
    X(FFN_DOWN, "ffn_down", START_OUTPUT, true)                                                    \
    X(FFN_DOWN_BIAS, "ffn_down_bias", START_ZERO, false)

#define HEAD_PARAMS(X)                                                                             \
    X(FINAL_NORM, "final_norm", START_ONE, false)                                                  \
    X(FINAL_NORM_BIAS, "final_norm_bias", START_ZERO, false)                                       \
    X(HEAD, "head", START_NORMAL, true)                                                            \
    X(HEAD_BIAS, "head_bias", START_ZERO, false)

typedef enum ParamStart {
    START_ZERO,
    START_ONE,
    START_NORMAL, /* normal, deviation 0.02 */
    START_OUTPUT, /* normal, 0.02 / sqrt(2 * layers) (GPT-2); zero for an identity start */
} ParamStart;

typedef enum BlockParam {
#define X(NAME, name, start, decay) BLOCK_##NAME,
    BLOCK_PARAMS(X)
#undef X
        BLOCK_PARAM_COUNT
} BlockParam;

typedef enum HeadParam {
#define X(NAME, name, start, decay) HEAD_##NAME,
    HEAD_PARAMS(X)
#undef X
        HEAD_PARAM_COUNT
} HeadParam;

/* One parameter in memory. On a frozen parameter nothing but `weight` needs to exist. A parameter
 * that the configuration does not have is all zeros (n_dims 0). */
typedef struct Param {
    Tensor master; /* float32; data NULL when absent from this model, or not kept */
    Tensor weight; /* compute type: what products read; the same memory as master in float32.
                      Vectors (norms, biases) are float32 in both. */
    Tensor scales; /* int8 weights only: (rows) float32 */
    bool frozen;
    char hash[SHA256_TEXT];        /* of the float32 values when they froze, or "" */
    char weight_hash[SHA256_TEXT]; /* of the bytes of `weight` at that time, or "" */
} Param;

typedef struct ParamInfo {
    const char *name;
    ParamStart start;
    bool decay;
} ParamInfo;

ParamInfo block_param_info(BlockParam which);
ParamInfo head_param_info(HeadParam which);

/* Shape of a parameter; n_dims 0 when the configuration does not have it. dtype float32. */
static inline bool param_exists(const Param *param)
{
    return param->weight.n_dims > 0;
}

Tensor block_param_shape(const ModelConfig *config, BlockParam which);
Tensor head_param_shape(const ModelConfig *config, HeadParam which);

/* LoRA pairs of a block's matrices: "attn_q_lora_a" (rank, in), "attn_q_lora_b" (out, rank);
 * y += alpha / rank * (x A^T) B^T (Hu et al., 2021). A starts normal, B zero. */
Tensor lora_a_shape(const ModelConfig *config, BlockParam which);
Tensor lora_b_shape(const ModelConfig *config, BlockParam which);

#endif
