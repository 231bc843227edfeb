/* A model of the Llama family in a GGUF file: settings, weights and vocabulary in one. */
#include <math.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/gguf_tokenizer.h"
#include "core/io/model_import.h"
#include "core/io/param_names.h"
#include "core/text/tokenizer_json.h"

enum { LLAMA3_CONTEXT = 8192 }; /* what Llama 3 was first trained on */

typedef struct GgufModel {
    GgufFile *file;
    char *architecture; /* "llama", "qwen2": what keys begin with */
    ModelConfig config;
} GgufModel;

/* ---- settings ------------------------------------------------------------------------------- */

static void key_of(const GgufModel *model, const char *name, char key[PARAM_NAME_MAX])
{
    snprintf(key, PARAM_NAME_MAX, "%s.%s", model->architecture, name);
}

static bool has(const GgufModel *model, const char *name)
{
    char key[PARAM_NAME_MAX];
    key_of(model, name, key);
    return gguf_find(model->file, key) != NULL;
}

static Status get_int(const GgufModel *model, const char *name, int64_t *out, Err *err)
{
    char key[PARAM_NAME_MAX];
    key_of(model, name, key);
    return gguf_get_int(model->file, key, out, err);
}

/* Keeps `*out` when the file does not say. */
static Status get_int_or(const GgufModel *model, const char *name, int64_t *out, Err *err)
{
    return has(model, name) ? get_int(model, name, out, err) : STATUS_OK;
}

static Status get_real_or(const GgufModel *model, const char *name, double *out, Err *err)
{
    char key[PARAM_NAME_MAX];
    key_of(model, name, key);
    return gguf_find(model->file, key) ? gguf_get_real(model->file, key, out, err) : STATUS_OK;
}

static Status read_architecture(GgufModel *model, Err *err)
{
    TRY(gguf_get_text(model->file, "general.architecture", &model->architecture, err));
    if (strcmp(model->architecture, "llama") == 0 || strcmp(model->architecture, "qwen2") == 0)
        return STATUS_OK;
    return err_set(err,
                   "%s: the architecture '%.60s' is not of the Llama family that import reads "
                   "(llama, qwen2)",
                   gguf_name(model->file), model->architecture);
}

/* Settings that change what is computed, and that this program does not compute. */
static Status check_extras(const GgufModel *model, Err *err)
{
    const ModelConfig *c = &model->config;
    int64_t experts = 0, window = 0, value = c->head_dim, rotary = c->head_dim;
    TRY(get_int_or(model, "expert_count", &experts, err));
    if (experts > 0)
        return err_set(err, "%s: a mixture of %lld experts is not supported",
                       gguf_name(model->file), (long long)experts);
    TRY(get_int_or(model, "attention.sliding_window", &window, err));
    if (window > 0 && window < c->context)
        return err_set(err, "%s: a sliding window (%lld tokens) is not supported",
                       gguf_name(model->file), (long long)window);
    TRY(get_int_or(model, "attention.value_length", &value, err));
    TRY(get_int_or(model, "rope.dimension_count", &rotary, err));
    if (value != c->head_dim || rotary != c->head_dim)
        return err_set(err,
                       "%s: heads of %lld values, %lld of them rotary, with keys of %lld are not "
                       "supported",
                       gguf_name(model->file), (long long)value, (long long)rotary,
                       (long long)c->head_dim);
    return STATUS_OK;
}

/* Beyond the factor. `attn_factor` is on top of the usual one. */
static Status read_yarn(const GgufModel *model, RopeScaling *out, Err *err)
{
    double attention = 1.0;
    out->low = 1.0, out->high = 32.0;
    TRY(get_int_or(model, "rope.scaling.original_context_length", &out->original_context, err));
    TRY(get_real_or(model, "rope.scaling.yarn_beta_slow", &out->low, err));
    TRY(get_real_or(model, "rope.scaling.yarn_beta_fast", &out->high, err));
    TRY(get_real_or(model, "rope.scaling.attn_factor", &attention, err));
    if (attention != 1.0)
        out->attention = attention * (double)rope_attention_factor(out);
    return STATUS_OK;
}

/* Files hold Llama 3's scaling as a factor for each pair. Fails unless they are those that its
 * published bounds give. */
static Status read_factors(GgufModel *model, const GgufTensor *factors, Err *err)
{
    ModelConfig *c = &model->config;
    int64_t half = c->head_dim / 2;
    if (factors->type != BLOCK_F32 || factors->n_dims != 1 || factors->shape[0] != half)
        return err_set(err, "%s: 'rope_freqs.weight' is not one number for each of %lld pairs",
                       gguf_name(model->file), (long long)half);
    float *values = xmalloc((size_t)half * 3 * sizeof *values), *plain = values + half,
          *scaled = values + 2 * half;
    block_to_f32(factors->data, BLOCK_F32, 0, half, values);
    double greatest = 1.0;
    for (int64_t i = 0; i < half; i++)
        greatest = fmax(greatest, (double)values[i]);
    c->rope_scaling = (RopeScaling){ROPE_LLAMA3, greatest, LLAMA3_CONTEXT, 1.0, 4.0, 0.0};
    rope_frequencies(c->rope_base, half, &(RopeScaling){0}, plain);
    rope_frequencies(c->rope_base, half, &c->rope_scaling, scaled);
    bool same = true;
    for (int64_t i = 0; i < half; i++)
        same = same && fabsf(plain[i] / values[i] - scaled[i]) <= 1e-4f * scaled[i];
    free(values);
    return same ? STATUS_OK
                : err_set(err,
                          "%s: the factors in 'rope_freqs.weight' are not those of Llama 3, and "
                          "others are not supported",
                          gguf_name(model->file));
}

static Status read_scaling(GgufModel *model, Err *err)
{
    ModelConfig *c = &model->config;
    char *kind, key[PARAM_NAME_MAX];
    double linear = 1.0;
    const GgufTensor *factors = gguf_find_tensor(model->file, "rope_freqs.weight");
    if (factors)
        return read_factors(model, factors, err);
    TRY(get_real_or(model, "rope.scale_linear", &linear, err));
    if (linear != 1.0)
        c->rope_scaling = (RopeScaling){.kind = ROPE_LINEAR, .factor = linear};
    key_of(model, "rope.scaling.type", key);
    if (!gguf_find(model->file, key))
        return STATUS_OK;
    TRY(gguf_get_text(model->file, key, &kind, err));
    bool none = strcmp(kind, "none") == 0;
    c->rope_scaling = (RopeScaling){.kind = none ? ROPE_UNSCALED : rope_scaling_parse(kind),
                                    .factor = 1.0,
                                    .original_context = c->context};
    Status status = STATUS_OK;
    if (!none && c->rope_scaling.kind != ROPE_LINEAR && c->rope_scaling.kind != ROPE_YARN)
        status = err_set(err, "%s: the rope scaling '%.60s' is not supported",
                         gguf_name(model->file), kind);
    free(kind);
    TRY(status);
    TRY(get_real_or(model, "rope.scaling.factor", &c->rope_scaling.factor, err));
    if (c->rope_scaling.kind != ROPE_YARN)
        return STATUS_OK;
    return read_yarn(model, &c->rope_scaling, err);
}

static Status read_config(GgufModel *model, Err *err)
{
    ModelConfig *c = &model->config;
    *c = (ModelConfig){.embedding = EMBEDDING_LEARNED,
                       .embed_scale = 1.0,
                       .norm = NORM_RMS,
                       .act = ACT_SWIGLU,
                       .rope_base = 10000.0};
    TRY(get_int(model, "embedding_length", &c->d_model, err));
    TRY(get_int(model, "block_count", &c->n_layers, err));
    TRY(get_int(model, "attention.head_count", &c->n_heads, err));
    TRY(get_int(model, "feed_forward_length", &c->d_ff, err));
    TRY(get_int(model, "context_length", &c->context, err));
    if (c->n_heads < 1)
        return err_set(err, "%s: %lld attention heads", gguf_name(model->file),
                       (long long)c->n_heads);
    c->n_embed = c->d_model;
    c->n_kv_heads = c->n_heads;
    c->head_dim = c->d_model / c->n_heads;
    TRY(get_int_or(model, "attention.head_count_kv", &c->n_kv_heads, err));
    TRY(get_int_or(model, "attention.key_length", &c->head_dim, err));
    TRY(get_real_or(model, "attention.layer_norm_rms_epsilon", &c->norm_eps, err));
    TRY(get_real_or(model, "rope.freq_base", &c->rope_base, err));
    TRY(check_extras(model, err));
    TRY(read_scaling(model, err));
    const GgufTensor *table = gguf_find_tensor(model->file, "token_embd.weight");
    if (!table || table->n_dims != 2)
        return err_set(err, "%s has no matrix 'token_embd.weight'", gguf_name(model->file));
    c->vocab_size = table->shape[0];
    c->tied_head = !gguf_find_tensor(model->file, "output.weight");
    c->bias_qkv = gguf_find_tensor(model->file, "blk.0.attn_q.bias") != NULL;
    c->bias_out = gguf_find_tensor(model->file, "blk.0.attn_output.bias") != NULL;
    if (model_config_check(c, err) != STATUS_OK)
        return err_wrap(err, "%s", gguf_name(model->file));
    return STATUS_OK;
}

/* ---- weights -------------------------------------------------------------------------------- */

static bool has_tensor(const void *context, const char *name)
{
    return gguf_find_tensor(context, name) != NULL;
}

static Status check_names(const GgufModel *model, Err *err)
{
    int64_t total = gguf_tensor_count(model->file);
    int64_t known = param_names_known(NAMES_GGUF, &model->config, has_tensor, model->file) +
                    has_tensor(model->file, "rope_freqs.weight");
    if (known != total)
        return err_set(err,
                       "%s holds %lld tensors that a model of the architecture %s with its "
                       "settings does not have",
                       gguf_name(model->file), (long long)(total - known), model->architecture);
    return STATUS_OK;
}

static Status find_param(void *context, int64_t expert, const char *param, const Tensor *shape,
                         ImportTensor *out, Err *err)
{
    (void)expert;
    const GgufModel *model = context;
    char name[PARAM_NAME_MAX];
    CHECK(param_name(NAMES_GGUF, param, name), "parameter %s", param);
    const GgufTensor *tensor = gguf_find_tensor(model->file, name);
    if (!tensor)
        return err_set(err,
                       "%s has no tensor '%s', which its settings ask for; fetch the file again, "
                       "whole",
                       gguf_name(model->file), name);
    bool fits = tensor->n_dims == shape->n_dims;
    for (int i = 0; i < shape->n_dims && fits; i++)
        fits = tensor->shape[i] == shape->shape[i];
    if (!fits)
        return err_set(err, "%s: '%s' has not the shape that its settings ask for",
                       gguf_name(model->file), name);
    *out = (ImportTensor){.data = tensor->data, .type = tensor->type};
    if (gguf_pairs_rows(model->architecture, param))
        out->pair_width = model->config.head_dim;
    return STATUS_OK;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* A tokenizer.json that stands for the file's vocabulary does not say what its tokens are for. */
static Status read_tokenizer(const GgufModel *model, const char *path, TokenizerSpec *spec,
                             Err *err)
{
    if (!path)
        return gguf_tokenizer_read(model->file, spec, err);
    TRY(tokenizer_json_read(path, spec, err));
    Status status = gguf_roles_read(model->file, spec, err);
    if (status != STATUS_OK)
        tokenizer_spec_clear(spec);
    return status;
}

static Status import_open(GgufModel *model, const char *tokenizer, const char *out, Err *err)
{
    TokenizerSpec spec;
    TRY(read_architecture(model, err));
    TRY(read_config(model, err));
    TRY(check_names(model, err));
    TRY(read_tokenizer(model, tokenizer, &spec, err));
    const char *file = gguf_name(model->file), *tokenizer_file = tokenizer ? tokenizer : file;
    Tokenizer *checked = tokenizer_new(&spec, err);
    if (!checked)
        return err_wrap(err, "%s", tokenizer_file);
    CheckpointInfo info;
    import_info_init(&info, &model->config, file_base_name(file), "GGUF");
    ImportModel import = {.path = out,
                          .config_file = file,
                          .tokenizer_file = tokenizer_file,
                          .info = &info,
                          .tokenizer = tokenizer_spec(checked),
                          .find = find_param,
                          .context = model};
    Status status = model_import(&import, err);
    checkpoint_info_clear(&info);
    tokenizer_free(checked);
    return status;
}

Status gguf_import(const char *path, const char *tokenizer, const char *out, Err *err)
{
    GgufModel model = {0};
    TRY(gguf_open(&model.file, path, err));
    Status status = import_open(&model, tokenizer, out, err);
    free(model.architecture);
    gguf_close(model.file);
    return status;
}
