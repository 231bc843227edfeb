#include "core/model/params.h"

static const ParamInfo block_infos[] = {
#define X(NAME, name, start, decay) [BLOCK_##NAME] = {name, start, decay},
    BLOCK_PARAMS(X)
#undef X
};

static const ParamInfo head_infos[] = {
#define X(NAME, name, start, decay) [HEAD_##NAME] = {name, start, decay},
    HEAD_PARAMS(X)
#undef X
};

ParamInfo block_param_info(BlockParam which)
{
    return block_infos[which];
}

ParamInfo head_param_info(HeadParam which)
{
    return head_infos[which];
}

static Tensor matrix(int64_t out, int64_t in)
{
    return tensor_2d(NULL, DTYPE_F32, out, in);
}

static Tensor vector(bool exists, int64_t n)
{
    return exists ? tensor_1d(NULL, DTYPE_F32, n) : (Tensor){0};
}

Tensor block_param_shape(const ModelConfig *config, BlockParam which)
{
    int64_t C = config->d_model, F = config->d_ff;
    int64_t Q = config->n_heads * config->head_dim, K = config->n_kv_heads * config->head_dim;
    bool gated = config->act == ACT_SWIGLU;
    switch (which) {
    case BLOCK_ATTN_NORM:
    case BLOCK_FFN_NORM:
        return vector(true, C);
    case BLOCK_ATTN_NORM_BIAS:
    case BLOCK_FFN_NORM_BIAS:
        return vector(config->norm_bias, C);
    case BLOCK_ATTN_Q:
        return matrix(Q, C);
    case BLOCK_ATTN_K:
    case BLOCK_ATTN_V:
        return matrix(K, C);
    case BLOCK_ATTN_Q_BIAS:
        return vector(config->bias_qkv, Q);
    case BLOCK_ATTN_K_BIAS:
    case BLOCK_ATTN_V_BIAS:
        return vector(config->bias_qkv, K);
    case BLOCK_ATTN_OUT:
        return matrix(C, Q);
    case BLOCK_ATTN_OUT_BIAS:
        return vector(config->bias_out, C);
    case BLOCK_FFN_GATE:
        return gated ? matrix(F, C) : (Tensor){0};
    case BLOCK_FFN_UP:
        return matrix(F, C);
    case BLOCK_FFN_UP_BIAS:
        return vector(config->bias_ffn, F);
    case BLOCK_FFN_DOWN:
        return matrix(C, F);
    case BLOCK_FFN_DOWN_BIAS:
        return vector(config->bias_ffn, C);
    case BLOCK_PARAM_COUNT:
        break;
    }
    CHECK(false, "block parameter %d", (int)which);
}

Tensor head_param_shape(const ModelConfig *config, HeadParam which)
{
    switch (which) {
    case HEAD_FINAL_NORM:
        return vector(true, config->d_model);
    case HEAD_FINAL_NORM_BIAS:
        return vector(config->norm_bias, config->d_model);
    case HEAD_HEAD:
        return config->tied_head ? (Tensor){0} : matrix(config->vocab_size, config->d_model);
    case HEAD_HEAD_BIAS:
        return vector(config->bias_head, config->vocab_size);
    case HEAD_PARAM_COUNT:
        break;
    }
    CHECK(false, "head parameter %d", (int)which);
}

Tensor lora_a_shape(const ModelConfig *config, BlockParam which)
{
    Tensor w = block_param_shape(config, which);
    return config->lora_rank > 0 && w.n_dims == 2 ? matrix(config->lora_rank, w.shape[1])
                                                  : (Tensor){0};
}

Tensor lora_b_shape(const ModelConfig *config, BlockParam which)
{
    Tensor w = block_param_shape(config, which);
    return config->lora_rank > 0 && w.n_dims == 2 ? matrix(w.shape[0], config->lora_rank)
                                                  : (Tensor){0};
}
