#include "core/io/gguf_export.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/export_tensor.h"
#include "core/io/gguf_tokenizer.h"
#include "core/io/hf_config.h"
#include "core/io/param_names.h"

typedef struct ExportJob {
    const GgufExport *args;
    Model *model;
    const char *architecture;
    GgufWriter *writer;
    bool begun; /* second pass: the head is written, data follows */
} ExportJob;

/* ---- settings ------------------------------------------------------------------------------- */

static void put_int(const ExportJob *job, const char *name, int64_t value)
{
    char key[PARAM_NAME_MAX];
    snprintf(key, sizeof key, "%s.%s", job->architecture, name);
    gguf_put_u32(job->writer, key, (uint32_t)value);
}

static void put_real(const ExportJob *job, const char *name, double value)
{
    char key[PARAM_NAME_MAX];
    snprintf(key, sizeof key, "%s.%s", job->architecture, name);
    gguf_put_f32(job->writer, key, (float)value);
}

/* llama.cpp's number for a file whose matrices are of this type. */
static uint32_t file_type(BlockType type)
{
    return type == BLOCK_F32 ? 0 : type == BLOCK_F16 ? 1 : type == BLOCK_Q8_0 ? 7 : 32;
}

/* Llama 3's goes into a tensor (put_factors). */
static void put_scaling(const ExportJob *job)
{
    const RopeScaling *s = &job->model->config.rope_scaling;
    char key[PARAM_NAME_MAX];
    if (s->kind != ROPE_LINEAR && s->kind != ROPE_YARN)
        return;
    snprintf(key, sizeof key, "%s.rope.scaling.type", job->architecture);
    gguf_put_text(job->writer, key, rope_scaling_name(s->kind));
    put_real(job, "rope.scaling.factor", s->factor);
    if (s->kind == ROPE_LINEAR)
        return;
    RopeScaling usual = *s;
    usual.attention = 0.0;
    put_int(job, "rope.scaling.original_context_length", s->original_context);
    put_real(job, "rope.scaling.yarn_beta_slow", s->low);
    put_real(job, "rope.scaling.yarn_beta_fast", s->high);
    put_real(job, "rope.scaling.attn_factor",
             (double)rope_attention_factor(s) / (double)rope_attention_factor(&usual));
}

static void put_settings(const ExportJob *job)
{
    const ModelConfig *c = &job->model->config;
    gguf_put_text(job->writer, "general.architecture", job->architecture);
    gguf_put_text(job->writer, "general.name", file_base_name(job->args->path));
    gguf_put_u32(job->writer, "general.file_type", file_type(job->args->type));
    gguf_put_u32(job->writer, "general.quantization_version", 2);
    put_int(job, "vocab_size", c->vocab_size);
    put_int(job, "context_length", c->context);
    put_int(job, "embedding_length", c->d_model);
    put_int(job, "block_count", c->n_layers);
    put_int(job, "feed_forward_length", c->d_ff);
    put_int(job, "attention.head_count", c->n_heads);
    put_int(job, "attention.head_count_kv", c->n_kv_heads);
    put_int(job, "attention.key_length", c->head_dim);
    put_int(job, "attention.value_length", c->head_dim);
    put_int(job, "rope.dimension_count", c->head_dim);
    put_real(job, "rope.freq_base", c->rope_base);
    put_real(job, "attention.layer_norm_rms_epsilon", c->norm_eps);
    put_scaling(job);
}

/* ---- weights -------------------------------------------------------------------------------- */

static Status append(void *writer, const void *data, size_t bytes, Err *err)
{
    return gguf_append(writer, data, bytes, err);
}

/* First pass: its name, type and shape; second pass: its values. */
static Status put_tensor(ExportJob *job, ExportTensor *tensor, const char *param,
                         const int64_t *shape, int n_dims, Err *err)
{
    char name[PARAM_NAME_MAX];
    CHECK(param_name(NAMES_GGUF, param, name), "parameter %s", param);
    tensor->name = name;
    tensor->model = job->model;
    tensor->type = n_dims == 2 ? job->args->type : BLOCK_F32;
    if (shape[n_dims - 1] % block_values(tensor->type) != 0) {
        if (!job->begun)
            log_warn("%s is written as F16: its rows of %lld values are no whole blocks of %s",
                     name, (long long)shape[n_dims - 1], block_name(tensor->type));
        tensor->type = BLOCK_F16;
    }
    if (job->begun)
        return export_tensor(tensor, append, job->writer, err);
    gguf_put_tensor(job->writer, name, tensor->type, shape, n_dims);
    return STATUS_OK;
}

static Status export_param(void *context, const ParamRef *ref, Err *err)
{
    ExportJob *job = context;
    const Tensor *shape = &ref->param->weight;
    ExportTensor tensor = {.param = ref->param};
    if (strcmp(ref->path, "embedding") == 0)
        return STATUS_OK; /* see pass */
    if (gguf_pairs_rows(job->architecture, ref->path))
        tensor.pair_width = job->model->config.head_dim;
    return put_tensor(job, &tensor, ref->path, shape->shape, shape->n_dims, err);
}

/* Llama 3's rope scaling: what the frequency of each pair is divided by. */
static Status put_factors(ExportJob *job, Err *err)
{
    const ModelConfig *c = &job->model->config;
    int64_t half = c->head_dim / 2;
    if (c->rope_scaling.kind != ROPE_LLAMA3)
        return STATUS_OK;
    if (!job->begun) {
        gguf_put_tensor(job->writer, "rope_freqs.weight", BLOCK_F32, &half, 1);
        return STATUS_OK;
    }
    float *plain = xmalloc((size_t)half * 2 * sizeof *plain), *scaled = plain + half;
    rope_frequencies(c->rope_base, half, &(RopeScaling){0}, plain);
    rope_frequencies(c->rope_base, half, &c->rope_scaling, scaled);
    for (int64_t i = 0; i < half; i++)
        plain[i] /= scaled[i];
    Status status = gguf_append(job->writer, plain, (size_t)half * sizeof *plain, err);
    free(plain);
    return status;
}

/* The family knows neither repetition nor scale of the table. */
static Status pass(ExportJob *job, Err *err)
{
    const ModelConfig *c = &job->model->config;
    ExportTensor table = {.width = c->d_model, .scale = (float)c->embed_scale};
    TRY(put_tensor(job, &table, "embedding", (int64_t[]){c->vocab_size, c->d_model}, 2, err));
    TRY(put_factors(job, err));
    return model_visit(job->model, export_param, job, err);
}

/* ---- all ------------------------------------------------------------------------------------ */

static Status choose_architecture(const Ensemble *ensemble, const char *path, const char **out,
                                  Err *err)
{
    if (ensemble->n_experts > 1)
        return err_set(err,
                       "%s is merged from %lld models, which GGUF cannot hold; use --format hf",
                       path, (long long)ensemble->n_experts);
    const char *family = hf_architecture(&ensemble->experts[0]->config);
    if (!family)
        return err_set(err,
                       "%s is not of the Llama family (RMS norms, SwiGLU, no biases but of "
                       "attention), so GGUF cannot hold it; use --format hf",
                       path);
    *out = strcmp(family, "Qwen2ForCausalLM") == 0 ? "qwen2" : "llama";
    return STATUS_OK;
}

static Status export_all(ExportJob *job, const Tokenizer *tokenizer, Err *err)
{
    put_settings(job);
    TRY(gguf_tokenizer_write(job->writer, tokenizer, job->model->config.vocab_size, err));
    TRY(pass(job, err));
    TRY(gguf_begin(job->writer, job->args->out, err));
    job->begun = true;
    return pass(job, err);
}

Status gguf_export(const GgufExport *args, const char **architecture, Err *err)
{
    ExportJob job = {.args = args};
    Ensemble *ensemble = NULL;
    Tokenizer *tokenizer = NULL;
    Status status =
        export_load(args->path, args->table, args->device, &ensemble, &tokenizer, NULL, err);
    if (status == STATUS_OK)
        status = choose_architecture(ensemble, args->path, &job.architecture, err);
    if (status == STATUS_OK) {
        job.model = ensemble->experts[0];
        job.writer = gguf_writer_new();
        status = export_all(&job, tokenizer, err);
        if (status == STATUS_OK)
            status = gguf_commit(job.writer, err);
        else
            gguf_abandon(job.writer);
    }
    *architecture = job.architecture;
    tokenizer_free(tokenizer);
    ensemble_free(ensemble);
    return status;
}
