#include "train/model_options.h"

#include <math.h>
#include <string.h>

Status model_settings_config(const ModelSettings *s, const TableInfo *table, int64_t layers,
                             ModelConfig *out, Err *err)
{
    ModelConfig c = model_config_default();
    bool learned = strcmp(s->embedding, "learned") == 0;
    c.vocab_size = table->rows;
    c.d_model = s->d_model ? s->d_model : table->cols;
    c.n_embed = learned ? c.d_model : table->cols;
    c.n_layers = layers;
    c.n_heads = s->heads ? s->heads : c.d_model / 64 > 0 ? c.d_model / 64 : 1;
    c.n_kv_heads = s->kv_heads ? s->kv_heads : c.n_heads;
    if (c.d_model % c.n_heads)
        return err_usage(err, "a width of %lld cannot be cut into %lld heads evenly; give --heads",
                         (long long)c.d_model, (long long)c.n_heads);
    c.head_dim = c.d_model / c.n_heads;
    c.d_ff = s->d_ff ? s->d_ff : 4 * c.d_model;
    c.context = s->context;
    c.embedding = learned ? EMBEDDING_LEARNED : EMBEDDING_GLYPH;
    c.embed_scale = s->embed_scale > 0.0 ? s->embed_scale : learned ? 1.0 : sqrt((double)c.d_model);
    c.norm = s->norm[0] == 'r' ? NORM_RMS : NORM_LAYER;
    c.norm_bias = s->bias && c.norm == NORM_LAYER;
    c.act = s->act[0] == 's' ? ACT_SWIGLU : ACT_GELU;
    c.bias_out = c.bias_ffn = c.bias_head = s->bias;
    c.tied_head = s->tied_head;
    if (c.tied_head)
        c.bias_head = false;
    c.rope_base = s->rope_base;
    c.dropout = s->dropout;
    TRY(err_of_usage(model_config_check(&c, err), err));
    *out = c;
    return STATUS_OK;
}

Status model_settings_keep_shape(Err *err)
{
    static const char *const shape[] = {"layers",      "d-model",   "heads",     "kv-heads",
                                        "d-ff",        "norm",      "act",       "embedding",
                                        "embed-scale", "rope-base", "tied-head", "bias"};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        if (options_given(shape[i]))
            return err_usage(err, "--%s is for a new model; the one of --init keeps its shape",
                             shape[i]);
    return STATUS_OK;
}

Status model_settings_adapt(const ModelSettings *s, ModelConfig *config, Err *err)
{
    if (options_given("dropout"))
        config->dropout = s->dropout;
    if (options_given("context") && s->context < 1)
        return err_usage(err, "--context is at least 1");
    if (options_given("context") && s->context > config->context) {
        /* Said by the file, since other programs may compute it from the context. */
        if (config->rope_scaling.kind == ROPE_YARN)
            config->rope_scaling.attention = (double)rope_attention_factor(&config->rope_scaling);
        config->context = s->context;
    }
    return err_of_usage(model_config_check(config, err), err);
}
