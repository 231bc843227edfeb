#include "core/io/param_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

typedef struct Names {
    const char *in[2]; /* by NameScheme */
} Names;

static const char *const layers[] = {[NAMES_HF] = "model.layers", [NAMES_GGUF] = "blk"};

static const Names block_names[BLOCK_PARAM_COUNT] = {
    [BLOCK_ATTN_NORM] = {{"input_layernorm.weight", "attn_norm.weight"}},
    [BLOCK_ATTN_Q] = {{"self_attn.q_proj.weight", "attn_q.weight"}},
    [BLOCK_ATTN_Q_BIAS] = {{"self_attn.q_proj.bias", "attn_q.bias"}},
    [BLOCK_ATTN_K] = {{"self_attn.k_proj.weight", "attn_k.weight"}},
    [BLOCK_ATTN_K_BIAS] = {{"self_attn.k_proj.bias", "attn_k.bias"}},
    [BLOCK_ATTN_V] = {{"self_attn.v_proj.weight", "attn_v.weight"}},
    [BLOCK_ATTN_V_BIAS] = {{"self_attn.v_proj.bias", "attn_v.bias"}},
    [BLOCK_ATTN_OUT] = {{"self_attn.o_proj.weight", "attn_output.weight"}},
    [BLOCK_ATTN_OUT_BIAS] = {{"self_attn.o_proj.bias", "attn_output.bias"}},
    [BLOCK_FFN_NORM] = {{"post_attention_layernorm.weight", "ffn_norm.weight"}},
    [BLOCK_FFN_GATE] = {{"mlp.gate_proj.weight", "ffn_gate.weight"}},
    [BLOCK_FFN_UP] = {{"mlp.up_proj.weight", "ffn_up.weight"}},
    [BLOCK_FFN_DOWN] = {{"mlp.down_proj.weight", "ffn_down.weight"}},
};

enum { WHOLE = 3 };
static const struct {
    const char *param;
    Names names;
} whole_names[WHOLE] = {
    {"embedding", {{"model.embed_tokens.weight", "token_embd.weight"}}},
    {"final_norm", {{"model.norm.weight", "output_norm.weight"}}},
    {"head", {{"lm_head.weight", "output.weight"}}},
};

bool param_name(NameScheme scheme, const char *param, char name[PARAM_NAME_MAX])
{
    for (int i = 0; i < WHOLE; i++) {
        if (strcmp(param, whole_names[i].param) == 0) {
            snprintf(name, PARAM_NAME_MAX, "%s", whole_names[i].names.in[scheme]);
            return true;
        }
    }
    const char *slash = strrchr(param, '/');
    if (!slash || strncmp(param, "blocks/", 7) != 0)
        return false;
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
        if (block_names[i].in[scheme] && strcmp(block_param_info(i).name, slash + 1) == 0) {
            snprintf(name, PARAM_NAME_MAX, "%s.%lld.%s", layers[scheme],
                     strtoll(param + 7, NULL, 10), block_names[i].in[scheme]);
            return true;
        }
    }
    return false;
}

int64_t param_names_known(NameScheme scheme, const ModelConfig *config,
                          bool (*has)(const void *context, const char *name), const void *context)
{
    char param[PARAM_NAME_MAX], name[PARAM_NAME_MAX];
    int64_t known = 0;
    for (int i = 0; i < WHOLE; i++)
        known += has(context, whole_names[i].names.in[scheme]);
    for (int64_t layer = 0; layer < config->n_layers; layer++) {
        for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
            snprintf(param, sizeof param, "blocks/%lld/%s", (long long)layer,
                     block_param_info(i).name);
            if (block_param_shape(config, i).n_dims > 0 && param_name(scheme, param, name))
                known += has(context, name);
        }
    }
    return known;
}

bool gguf_pairs_rows(const char *architecture, const char *param)
{
    const char *slash = strrchr(param, '/');
    return slash && strcmp(architecture, "llama") == 0 &&
           (strncmp(slash, "/attn_q", 7) == 0 || strncmp(slash, "/attn_k", 7) == 0);
}
