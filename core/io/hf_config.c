#include "core/io/hf_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/json_get.h"

/* ---- reading -------------------------------------------------------------------------------- */

/* An integer that may be missing or null. */
static Status get_int_or(const json_t *json, const char *key, const char *where, int64_t standard,
                         int64_t *out, Err *err)
{
    const json_t *value = json_object_get(json, key);
    *out = standard;
    return !value || json_is_null(value) ? STATUS_OK : json_get_int(json, key, where, out, err);
}

/* The architecture's name, checked. */
static Status get_architecture(const json_t *json, const char *where, const char **out, Err *err)
{
    static const char *const known[] = {"LlamaForCausalLM", "MistralForCausalLM",
                                        "Qwen2ForCausalLM"};
    const char *name = json_string_value(json_array_get(json_object_get(json, "architectures"), 0));
    if (!name)
        return err_set(err, "%s names no architecture", where);
    for (int i = 0; i < (int)(sizeof known / sizeof *known); i++) {
        if (strcmp(name, known[i]) == 0) {
            *out = known[i];
            return STATUS_OK;
        }
    }
    return err_set(err,
                   "%s: the architecture '%.100s' is not of the Llama family that import reads "
                   "(LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM)",
                   where, name);
}

/* A real number that may be missing. */
static Status get_real_or(const json_t *json, const char *key, const char *where, double *out,
                          Err *err)
{
    const json_t *value = json_object_get(json, key);
    return !value || json_is_null(value) ? STATUS_OK : json_get_real(json, key, where, out, err);
}

/* `transformers` names what these fill in: the context is that of the unscaled model. */
static Status get_scaling(const json_t *json, const char *where, const char *kind, int64_t context,
                          RopeScaling *out, Err *err)
{
    static const char *const unknown[] = {"mscale", "mscale_all_dim", "truncate"};
    *out = (RopeScaling){.kind = rope_scaling_parse(kind)};
    if (out->kind == ROPE_UNSCALED)
        return err_set(err, "%s: the rope scaling '%.100s' is not supported", where, kind);
    for (int i = 0; i < 3; i++)
        if (json_object_get(json, unknown[i]))
            return err_set(err, "%s: the rope scaling's '%s' is not supported", where, unknown[i]);
    TRY(json_get_real(json, "factor", where, &out->factor, err));
    if (out->kind == ROPE_LLAMA3) {
        TRY(json_get_real(json, "low_freq_factor", where, &out->low, err));
        TRY(json_get_real(json, "high_freq_factor", where, &out->high, err));
    } else if (out->kind == ROPE_YARN) {
        out->low = 1.0, out->high = 32.0;
        TRY(get_real_or(json, "beta_slow", where, &out->low, err));
        TRY(get_real_or(json, "beta_fast", where, &out->high, err));
        TRY(get_real_or(json, "attention_factor", where, &out->attention, err));
    }
    if (out->kind != ROPE_LINEAR)
        TRY(get_int_or(json, "original_max_position_embeddings", where, context,
                       &out->original_context, err));
    return STATUS_OK;
}

/* rope_theta and the scaling, in the old (rope_scaling) or new (rope_parameters) form. */
static Status get_rope(const json_t *json, const char *where, ModelConfig *out, Err *err)
{
    out->rope_base = 10000.0;
    const json_t *parameters = json_object_get(json, "rope_parameters");
    const json_t *forms[] = {json_object_get(json, "rope_scaling"), parameters};
    for (int i = 0; i < 2; i++) {
        const char *kind = json_string_value(json_object_get(forms[i], "rope_type"));
        if (!kind)
            kind = json_string_value(json_object_get(forms[i], "type"));
        if (kind && strcmp(kind, "default") != 0)
            TRY(get_scaling(forms[i], where, kind, out->context, &out->rope_scaling, err));
    }
    if (json_object_get(json, "rope_theta"))
        return json_get_real(json, "rope_theta", where, &out->rope_base, err);
    return get_real_or(parameters, "rope_theta", where, &out->rope_base, err);
}

static Status check_extras(const json_t *json, const char *where, int64_t context, Err *err)
{
    const char *act = json_string_value(json_object_get(json, "hidden_act"));
    if (act && strcmp(act, "silu") != 0)
        return err_set(err, "%s: the activation '%.100s' is not supported (hidden_act)", where,
                       act);
    if (json_is_true(json_object_get(json, "mlp_bias")))
        return err_set(err, "%s: a gated feed-forward with biases (mlp_bias) is not supported",
                       where);
    const json_t *window = json_object_get(json, "sliding_window");
    const json_t *use = json_object_get(json, "use_sliding_window");
    if (json_is_integer(window) && json_integer_value(window) < context && !json_is_false(use))
        return err_set(err, "%s: a sliding window (%lld tokens) is not supported", where,
                       (long long)json_integer_value(window));
    if (json_object_get(json, "quantization_config"))
        return err_set(err, "%s: quantised weights (quantization_config) are not supported", where);
    return STATUS_OK;
}

Status hf_config_parse(const json_t *json, const char *where, ModelConfig *out, Err *err)
{
    const char *architecture = NULL;
    *out = (ModelConfig){.embedding = EMBEDDING_LEARNED,
                         .embed_scale = 1.0,
                         .norm = NORM_RMS,
                         .norm_eps = 1e-6,
                         .act = ACT_SWIGLU};
    TRY(get_architecture(json, where, &architecture, err));
    TRY(json_get_int(json, "vocab_size", where, &out->vocab_size, err));
    TRY(json_get_int(json, "hidden_size", where, &out->d_model, err));
    TRY(json_get_int(json, "num_hidden_layers", where, &out->n_layers, err));
    TRY(json_get_int(json, "num_attention_heads", where, &out->n_heads, err));
    TRY(json_get_int(json, "intermediate_size", where, &out->d_ff, err));
    if (out->n_heads < 1)
        return err_set(err, "%s: %lld attention heads", where, (long long)out->n_heads);
    TRY(get_int_or(json, "num_key_value_heads", where, out->n_heads, &out->n_kv_heads, err));
    TRY(get_int_or(json, "head_dim", where, out->d_model / out->n_heads, &out->head_dim, err));
    TRY(get_int_or(json, "max_position_embeddings", where, 2048, &out->context, err));
    out->n_embed = out->d_model;
    if (json_object_get(json, "rms_norm_eps"))
        TRY(json_get_real(json, "rms_norm_eps", where, &out->norm_eps, err));
    TRY(get_rope(json, where, out, err));
    TRY(check_extras(json, where, out->context, err));
    out->tied_head = json_is_true(json_object_get(json, "tie_word_embeddings"));
    bool bias = json_is_true(json_object_get(json, "attention_bias"));
    bool qwen = strcmp(architecture, "Qwen2ForCausalLM") == 0;
    out->bias_qkv = bias || qwen;
    out->bias_out = bias && !qwen;
    if (model_config_check(out, err) != STATUS_OK)
        return err_wrap(err, "%s", where);
    return STATUS_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

const char *hf_architecture(const ModelConfig *c)
{
    if (c->norm != NORM_RMS || c->act != ACT_SWIGLU || c->bias_ffn || c->bias_head)
        return NULL;
    if (c->tied_head && c->embed_scale != 1.0)
        return NULL; /* the scale is put into the table, which the head would then read too */
    if (c->bias_qkv && !c->bias_out)
        return "Qwen2ForCausalLM";
    return c->bias_qkv == c->bias_out ? "LlamaForCausalLM" : NULL;
}

static json_t *scaling_json(const RopeScaling *s)
{
    json_t *json =
        json_pack("{s:s, s:f}", "rope_type", rope_scaling_name(s->kind), "factor", s->factor);
    if (s->kind == ROPE_LLAMA3) {
        json_object_set_new(json, "low_freq_factor", json_real(s->low));
        json_object_set_new(json, "high_freq_factor", json_real(s->high));
    } else if (s->kind == ROPE_YARN) {
        json_object_set_new(json, "beta_slow", json_real(s->low));
        json_object_set_new(json, "beta_fast", json_real(s->high));
        if (s->attention > 0.0)
            json_object_set_new(json, "attention_factor", json_real(s->attention));
    }
    if (s->kind != ROPE_LINEAR)
        json_object_set_new(json, "original_max_position_embeddings",
                            json_integer(s->original_context));
    return json;
}

json_t *hf_config_json(const ModelConfig *c, const char *architecture, int32_t bos, int32_t eos,
                       const char *dtype)
{
    bool qwen = strcmp(architecture, "Qwen2ForCausalLM") == 0;
    json_t *json = json_pack(
        "{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "architectures", architecture,
        "model_type", qwen ? "qwen2" : "llama", "vocab_size", (json_int_t)c->vocab_size,
        "hidden_size", (json_int_t)c->d_model, "intermediate_size", (json_int_t)c->d_ff,
        "num_hidden_layers", (json_int_t)c->n_layers, "num_attention_heads", (json_int_t)c->n_heads,
        "num_key_value_heads", (json_int_t)c->n_kv_heads, "head_dim", (json_int_t)c->head_dim,
        "max_position_embeddings", (json_int_t)c->context);
    json_object_set_new(json, "hidden_act", json_string("silu"));
    json_object_set_new(json, "rms_norm_eps", json_real(c->norm_eps));
    json_object_set_new(json, "rope_theta", json_real(c->rope_base));
    if (c->rope_scaling.kind != ROPE_UNSCALED)
        json_object_set_new(json, "rope_scaling", scaling_json(&c->rope_scaling));
    json_object_set_new(json, "tie_word_embeddings", json_boolean(c->tied_head));
    json_object_set_new(json, "attention_bias", json_boolean(c->bias_out));
    json_object_set_new(json, "mlp_bias", json_false());
    if (qwen)
        json_object_set_new(json, "use_sliding_window", json_false());
    json_object_set_new(json, "torch_dtype", json_string(dtype));
    json_object_set_new(json, "bos_token_id", bos >= 0 ? json_integer(bos) : json_null());
    json_object_set_new(json, "eos_token_id", eos >= 0 ? json_integer(eos) : json_null());
    return json;
}
