#include "core/io/hf_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/json_get.h"
#include "core/text/json_read.h"

/* ---- reading -------------------------------------------------------------------------------- */

/* A member that is there; null counts as missing. */
static const json_t *member(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_null(value) ? NULL : value;
}

static Status get_int_or(const json_t *json, const char *key, const char *where, int64_t standard,
                         int64_t *out, Err *err)
{
    *out = standard;
    return member(json, key) ? json_get_int(json, key, where, out, err) : STATUS_OK;
}

static Status get_bool_or(const json_t *json, const char *key, const char *where, bool standard,
                          bool *out, Err *err)
{
    *out = standard;
    return member(json, key) ? json_get_bool(json, key, where, out, err) : STATUS_OK;
}

/* These keep `*out` when the member is missing. */
static Status get_real(const json_t *json, const char *key, const char *where, double *out,
                       Err *err)
{
    return member(json, key) ? json_get_real(json, key, where, out, err) : STATUS_OK;
}

static Status get_text(const json_t *json, const char *key, const char *where, const char **out,
                       Err *err)
{
    return member(json, key) ? json_get_text(json, key, where, out, err) : STATUS_OK;
}

/* ---- architectures --------------------------------------------------------------------------- */

/* What import reads, and what its class in `transformers` takes where config.json is silent. */
typedef struct Family {
    const char *architecture, *model_type;
    int64_t kv_heads; /* 0: as many as heads */
    int64_t context;
    int64_t window; /* 0: none */
} Family;

static const Family families[] = {
    {"LlamaForCausalLM", "llama", 0, 2048, 0},
    {"MistralForCausalLM", "mistral", 8, 131072, 4096},
    {"Qwen2ForCausalLM", "qwen2", 32, 32768, 4096},
};
enum { N_FAMILIES = sizeof families / sizeof *families };

/* By the architecture, or by the model's type in a config.json without one. */
static Status get_family(const json_t *json, const char *where, const Family **out, Err *err)
{
    const char *name = json_string_value(json_array_get(json_object_get(json, "architectures"), 0));
    const char *type = json_string_value(json_object_get(json, "model_type"));
    const char *wanted = name ? name : type;
    if (!wanted)
        return err_set(err, "%s names no architecture", where);
    for (int i = 0; i < N_FAMILIES; i++) {
        *out = &families[i];
        if (strcmp(wanted, name ? families[i].architecture : families[i].model_type) == 0)
            return STATUS_OK;
    }
    return err_set(err,
                   "%s: the architecture '%.100s' is not of the Llama family that import reads "
                   "(LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM)%s",
                   where, wanted,
                   json_object_get(json, "text_config")
                       ? "; a model of texts and other media is not read, nor a part of it"
                       : "");
}

/* ---- rotary positions ------------------------------------------------------------------------ */

/* What this program would compute differently. */
static Status check_rope(const json_t *rope, const char *where, Err *err)
{
    static const char *const unknown[] = {"mscale", "mscale_all_dim"};
    bool truncate;
    for (int i = 0; i < 2; i++)
        if (member(rope, unknown[i]))
            return err_set(err, "%s: the rope scaling's '%s' is not supported", where, unknown[i]);
    TRY(get_bool_or(rope, "truncate", where, true, &truncate, err));
    if (!truncate)
        return err_set(err, "%s: the rope scaling's 'truncate' (false) is not supported", where);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)rope, key, value)
    {
        if (json_is_object(value) && !json_unreadable(value))
            return err_set(err,
                           "%s: rotary positions by kind of layer ('%.100s') are not supported",
                           where, key);
    }
    return STATUS_OK;
}

/* In the settings of rotary positions, or beside them. */
static Status check_whole_heads(const json_t *json, const char *where, Err *err)
{
    double rotary = 1.0;
    TRY(get_real(json, "partial_rotary_factor", where, &rotary, err));
    return rotary == 1.0
               ? STATUS_OK
               : err_set(err,
                         "%s: partly rotary heads (partial_rotary_factor %g) are not supported",
                         where, rotary);
}

/* `transformers` names what these fill in: the context is that of the unscaled model. */
static Status get_scaling(const json_t *json, const char *where, const char *kind, int64_t context,
                          RopeScaling *out, Err *err)
{
    *out = (RopeScaling){.kind = rope_scaling_parse(kind)};
    if (out->kind == ROPE_UNSCALED)
        return err_set(err, "%s: the rope scaling '%.100s' is not supported", where, kind);
    TRY(json_get_real(json, "factor", where, &out->factor, err));
    if (out->kind == ROPE_LLAMA3) {
        TRY(json_get_real(json, "low_freq_factor", where, &out->low, err));
        TRY(json_get_real(json, "high_freq_factor", where, &out->high, err));
    } else if (out->kind == ROPE_YARN) {
        out->low = 1.0, out->high = 32.0;
        TRY(get_real(json, "beta_slow", where, &out->low, err));
        TRY(get_real(json, "beta_fast", where, &out->high, err));
        TRY(get_real(json, "attention_factor", where, &out->attention, err));
    }
    if (out->kind == ROPE_LINEAR)
        return STATUS_OK;
    return get_int_or(json, "original_max_position_embeddings", where, context,
                      &out->original_context, err);
}

/* The base and the scaling. Version 4 of `transformers` writes rope_theta and rope_scaling, version
 * 5 rope_parameters, which holds both. As version 5 reads them: a scaling that is not empty stands
 * for the parameters, and a base beside both counts only where they have none. */
static Status get_rope(const json_t *json, const char *where, ModelConfig *out, Err *err)
{
    const char *kind = "default";
    const json_t *rope = member(json, "rope_scaling");
    if (rope && !json_is_object(rope))
        return err_set(err, "%s: 'rope_scaling' must be an object", where);
    if (json_object_size(rope) == 0)
        rope = member(json, "rope_parameters");
    if (rope && !json_is_object(rope))
        return err_set(err, "%s: 'rope_parameters' must be an object", where);
    out->rope_base = 10000.0;
    TRY(get_real(member(rope, "rope_theta") ? rope : json, "rope_theta", where, &out->rope_base,
                 err));
    TRY(get_text(rope, member(rope, "rope_type") ? "rope_type" : "type", where, &kind, err));
    TRY(check_rope(rope, where, err));
    TRY(check_whole_heads(rope, where, err));
    TRY(check_whole_heads(json, where, err));
    if (strcmp(kind, "default") == 0)
        return STATUS_OK;
    return get_scaling(rope, where, kind, out->context, &out->rope_scaling, err);
}

/* ---- what is not computed -------------------------------------------------------------------- */

/* Whether some layer sees only the window: as `transformers` says where layer_types is written, and
 * otherwise as the class does. */
static Status uses_window(const json_t *json, const char *where, const Family *family,
                          int64_t n_layers, bool *out, Err *err)
{
    const json_t *types = member(json, "layer_types"), *type;
    int64_t full = 28; /* the first layers of Qwen2 that see everything */
    size_t i;
    *out = family->window > 0;
    if (strcmp(family->model_type, "qwen2") != 0)
        return STATUS_OK;
    TRY(get_bool_or(json, "use_sliding_window", where, false, out, err));
    TRY(get_int_or(json, "max_window_layers", where, full, &full, err));
    *out = *out && full < n_layers;
    if (!types)
        return STATUS_OK;
    *out = false;
    json_array_foreach(types, i, type)
    {
        const char *name = json_string_value(type);
        *out = *out || !name || strcmp(name, "full_attention") != 0;
    }
    return STATUS_OK;
}

/* A window that is as long as the context hides nothing. */
static Status check_window(const json_t *json, const char *where, const Family *family,
                           const ModelConfig *c, Err *err)
{
    bool used;
    int64_t window = family->window;
    TRY(uses_window(json, where, family, c->n_layers, &used, err));
    if (!used || json_is_null(json_object_get(json, "sliding_window")))
        return STATUS_OK;
    TRY(get_int_or(json, "sliding_window", where, family->window, &window, err));
    return window >= c->context
               ? STATUS_OK
               : err_set(err,
                         "%s: a sliding window (%lld of %lld tokens) is not supported; with "
                         "\"max_position_embeddings\": %lld there, the model is read for texts "
                         "that fit into it",
                         where, (long long)window, (long long)c->context, (long long)window);
}

static Status check_extras(const json_t *json, const char *where, Err *err)
{
    const char *act = "silu", *method = "an unnamed method";
    bool mlp_bias;
    TRY(get_text(json, "hidden_act", where, &act, err));
    if (strcmp(act, "silu") != 0)
        return err_set(err, "%s: the activation '%.100s' is not supported (hidden_act)", where,
                       act);
    TRY(get_bool_or(json, "mlp_bias", where, false, &mlp_bias, err));
    if (mlp_bias)
        return err_set(err, "%s: a gated feed-forward with biases (mlp_bias) is not supported",
                       where);
    const json_t *quantised = member(json, "quantization_config");
    if (!quantised)
        return STATUS_OK;
    TRY(get_text(quantised, "quant_method", where, &method, err));
    return err_set(err,
                   "%s: weights quantised by %.60s (quantization_config) are not supported; fetch "
                   "the model as it was before, or a GGUF file of it",
                   where, method);
}

/* ---- all ------------------------------------------------------------------------------------- */

static Status get_sizes(const json_t *json, const char *where, const Family *family,
                        ModelConfig *out, Err *err)
{
    TRY(json_get_int(json, "vocab_size", where, &out->vocab_size, err));
    TRY(json_get_int(json, "hidden_size", where, &out->d_model, err));
    TRY(json_get_int(json, "num_hidden_layers", where, &out->n_layers, err));
    TRY(json_get_int(json, "num_attention_heads", where, &out->n_heads, err));
    TRY(json_get_int(json, "intermediate_size", where, &out->d_ff, err));
    if (out->n_heads < 1)
        return err_set(err, "%s: %lld attention heads", where, (long long)out->n_heads);
    bool is_null = json_is_null(json_object_get(json, "num_key_value_heads"));
    TRY(get_int_or(json, "num_key_value_heads", where,
                   family->kv_heads == 0 || is_null ? out->n_heads : family->kv_heads,
                   &out->n_kv_heads, err));
    TRY(get_int_or(json, "head_dim", where, out->d_model / out->n_heads, &out->head_dim, err));
    TRY(get_int_or(json, "max_position_embeddings", where, family->context, &out->context, err));
    out->n_embed = out->d_model;
    return get_real(json, "rms_norm_eps", where, &out->norm_eps, err);
}

Status hf_config_parse(const json_t *json, const char *where, ModelConfig *out, Err *err)
{
    const Family *family;
    bool bias;
    *out = (ModelConfig){.embedding = EMBEDDING_LEARNED,
                         .embed_scale = 1.0,
                         .norm = NORM_RMS,
                         .norm_eps = 1e-6,
                         .act = ACT_SWIGLU};
    TRY(get_family(json, where, &family, err));
    TRY(get_sizes(json, where, family, out, err));
    TRY(get_rope(json, where, out, err));
    TRY(check_window(json, where, family, out, err));
    TRY(check_extras(json, where, err));
    TRY(get_bool_or(json, "tie_word_embeddings", where, false, &out->tied_head, err));
    TRY(get_bool_or(json, "attention_bias", where, false, &bias, err));
    bool qwen = strcmp(family->model_type, "qwen2") == 0;
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
