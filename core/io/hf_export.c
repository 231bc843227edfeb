#include "core/io/hf_export.h"

#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/export_tensor.h"
#include "core/io/hf_config.h"
#include "core/io/hf_tokenizer.h"
#include "core/io/param_names.h"
#include "core/io/safetensors.h"
#include "core/text/tokenizer_json.h"

/* modeling_cambium.py, put into the program by the Makefile. */
extern const char modeling_cambium_py[];

typedef struct ExportJob {
    const HfExport *args;
    Ensemble *ensemble;
    const char *family; /* the class of transformers, or NULL: our own */
    int64_t expert;
    SafeEntry *entries; /* first pass: names are owned */
    int64_t n_entries, capacity;
    SafeWriter *writer; /* second pass */
} ExportJob;

static StoredType stored_as(BlockType type)
{
    return type == BLOCK_F32 ? STORED_F32 : type == BLOCK_F16 ? STORED_F16 : STORED_BF16;
}

/* Of a parameter in the folder: one type for all, as customary, or float32 for our own vectors. */
static BlockType type_in(const ExportJob *job, int n_dims)
{
    return job->family || n_dims == 2 ? job->args->type : BLOCK_F32;
}

/* "blocks/3/attn_q_bias" -> "experts.0.blocks.3.attn_q.bias". */
static char *own_name(int64_t expert, const char *param)
{
    if (strcmp(param, "embedding") == 0)
        return xstrdup("embedding.weight");
    size_t length = strlen(param);
    bool bias = length > 5 && strcmp(param + length - 5, "_bias") == 0;
    char *name = xasprintf("experts.%lld.%.*s.%s", (long long)expert,
                           (int)(bias ? length - 5 : length), param, bias ? "bias" : "weight");
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '.';
    return name;
}

static void add_entry(ExportJob *job, const char *param, const Tensor *shape)
{
    char family_name[PARAM_NAME_MAX];
    SafeEntry entry = {.type = stored_as(type_in(job, shape->n_dims)), .n_dims = shape->n_dims};
    if (job->family) {
        CHECK(param_name(NAMES_HF, param, family_name), "parameter %s", param);
        entry.name = xstrdup(family_name);
    } else {
        entry.name = own_name(job->expert, param);
    }
    for (int i = 0; i < shape->n_dims; i++)
        entry.shape[i] = shape->shape[i];
    job->entries = mem_grow(job->entries, &job->capacity, job->n_entries + 1, sizeof *job->entries);
    job->entries[job->n_entries++] = entry;
}

static Status append(void *writer, const void *data, size_t bytes, Err *err)
{
    return safe_append(writer, data, bytes, err);
}

static Status export_param(void *context, const ParamRef *ref, Err *err)
{
    ExportJob *job = context;
    const Tensor *shape = &ref->param->weight;
    if (strcmp(ref->path, "embedding") == 0)
        return STATUS_OK; /* see export_table */
    if (!job->writer) {
        add_entry(job, ref->path, shape);
        return STATUS_OK;
    }
    ExportTensor tensor = {.model = job->ensemble->experts[job->expert],
                           .param = ref->param,
                           .name = ref->path,
                           .type = type_in(job, shape->n_dims)};
    return export_tensor(&tensor, append, job->writer, err);
}

/* The table as it is; for the Llama family as wide as the model and scaled, since that family knows
 * neither repetition nor scale. */
static Status export_table(ExportJob *job, Err *err)
{
    const Model *model = job->ensemble->experts[0];
    const Tensor *table = &model->substrate.table;
    ExportTensor tensor = {.model = model,
                           .name = "the table",
                           .type = job->args->type,
                           .width = job->family ? model->config.d_model : table->shape[1],
                           .scale = job->family ? (float)model->config.embed_scale : 1.0f};
    if (job->writer)
        return export_tensor(&tensor, append, job->writer, err);
    Tensor shape = tensor_2d(NULL, DTYPE_F32, table->shape[0], tensor.width);
    add_entry(job, "embedding", &shape);
    return STATUS_OK;
}

static Status export_adapter(ExportJob *job, Err *err)
{
    const MergeAdapter *a = &job->ensemble->adapter;
    int64_t n = job->ensemble->n_experts;
    if (job->ensemble->rule != MERGE_ADAPTER)
        return STATUS_OK;
    const struct {
        const char *name;
        Tensor shape;
        const float *values;
    } parts[] = {
        {"adapter.w1", tensor_2d(NULL, DTYPE_F32, a->hidden, n * a->top), a->w1},
        {"adapter.b1", tensor_1d(NULL, DTYPE_F32, a->hidden), a->b1},
        {"adapter.w2", tensor_2d(NULL, DTYPE_F32, n, a->hidden), a->w2},
        {"adapter.b2", tensor_1d(NULL, DTYPE_F32, n), a->b2},
    };
    for (int i = 0; i < 4; i++) {
        if (job->writer) {
            TRY(safe_append(job->writer, parts[i].values, tensor_bytes(&parts[i].shape), err));
            continue;
        }
        add_entry(job, "", &parts[i].shape);
        SafeEntry *entry = &job->entries[job->n_entries - 1];
        free((char *)(uintptr_t)entry->name);
        entry->name = xstrdup(parts[i].name);
        entry->type = STORED_F32;
    }
    return STATUS_OK;
}

/* One pass over all tensors: their names and shapes, or, once there is a writer, their values. */
static Status pass(ExportJob *job, Err *err)
{
    job->expert = 0;
    TRY(export_table(job, err));
    for (; job->expert < job->ensemble->n_experts; job->expert++)
        TRY(model_visit(job->ensemble->experts[job->expert], export_param, job, err));
    return export_adapter(job, err);
}

static Status export_weights(ExportJob *job, Err *err)
{
    char *path = file_join(job->args->folder, "model.safetensors");
    Status status = pass(job, err);
    if (status == STATUS_OK)
        status = safe_create(&job->writer, path, job->entries, job->n_entries, err);
    if (status == STATUS_OK) {
        status = pass(job, err);
        if (status == STATUS_OK)
            status = safe_commit(job->writer, err);
        else
            safe_abandon(job->writer);
    }
    free(path);
    for (int64_t i = 0; i < job->n_entries; i++)
        free((char *)(uintptr_t)job->entries[i].name);
    free(job->entries);
    return status;
}

/* ---- the small files ------------------------------------------------------------------------ */

static Status write_file(const ExportJob *job, const char *name, const char *text, Err *err)
{
    char *path = file_join(job->args->folder, name);
    Status status = file_write(path, text, strlen(text), err);
    free(path);
    return status;
}

static Status write_json(const ExportJob *job, const char *name, json_t *json, Err *err)
{
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    CHECK(text, "%s cannot be written as JSON", name);
    Status status = write_file(job, name, text, err);
    free(text);
    return status;
}

/* As `transformers` spells it. */
static const char *type_name(BlockType type)
{
    return type == BLOCK_F32 ? "float32" : type == BLOCK_F16 ? "float16" : "bfloat16";
}

static json_t *own_config(const ExportJob *job, int32_t bos, int32_t eos)
{
    const Ensemble *e = job->ensemble;
    json_t *experts = json_array(), *weights = json_array();
    for (int64_t i = 0; i < e->n_experts; i++) {
        json_array_append_new(experts, model_config_json(&e->experts[i]->config));
        double weight = e->weights ? (double)e->weights[i] : 1.0 / (double)e->n_experts;
        json_array_append_new(weights, json_real(weight));
    }
    json_t *merge = json_pack("{s:s, s:o, s:f, s:{s:I, s:I}}", "rule", merge_rule_name(e->rule),
                              "weights", weights, "forget", (double)e->forget, "adapter", "top",
                              (json_int_t)e->adapter.top, "hidden", (json_int_t)e->adapter.hidden);
    json_t *json = json_pack("{s:[s], s:s, s:{s:s, s:s}, s:I, s:I, s:s, s:o, s:o}", "architectures",
                             "CambiumForCausalLM", "model_type", "cambium", "auto_map",
                             "AutoConfig", "modeling_cambium.CambiumConfig", "AutoModelForCausalLM",
                             "modeling_cambium.CambiumForCausalLM", "vocab_size",
                             (json_int_t)e->experts[0]->config.vocab_size, "n_embed",
                             (json_int_t)e->experts[0]->config.n_embed, "torch_dtype",
                             type_name(job->args->type), "merge", merge, "experts", experts);
    json_object_set_new(json, "bos_token_id", bos >= 0 ? json_integer(bos) : json_null());
    json_object_set_new(json, "eos_token_id", eos >= 0 ? json_integer(eos) : json_null());
    return json;
}

static void name_token(const Tokenizer *tokenizer, json_t *json, const char *key, int32_t id)
{
    int64_t bytes;
    if (id < 0)
        return;
    const char *text = tokenizer_token(tokenizer, id, &bytes);
    json_t *name = json_stringn(text, (size_t)bytes);
    if (name)
        json_object_set_new(json, key, name);
}

static Status write_small_files(const ExportJob *job, const Tokenizer *tokenizer, Err *err)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    const char *dtype = type_name(job->args->type);
    json_t *config = job->family ? hf_config_json(&job->ensemble->experts[0]->config, job->family,
                                                  spec->bos, spec->eos, dtype)
                                 : own_config(job, spec->bos, spec->eos);
    TRY(write_json(job, "config.json", config, err));
    if (!job->family)
        TRY(write_file(job, "modeling_cambium.py", modeling_cambium_py, err));
    char *path = file_join(job->args->folder, "tokenizer.json");
    Status status = tokenizer_json_write(tokenizer, path, err);
    free(path);
    TRY(status);
    json_t *names = json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                              "clean_up_tokenization_spaces", 0);
    name_token(tokenizer, names, "bos_token", spec->bos);
    name_token(tokenizer, names, "eos_token", spec->eos);
    name_token(tokenizer, names, "unk_token", spec->unk);
    name_token(tokenizer, names, "pad_token", spec->pad);
    if (spec->chat_template)
        json_object_set_new(names, "chat_template", json_string(spec->chat_template));
    TRY(write_json(job, "tokenizer_config.json", names, err));
    return write_json(job, "generation_config.json", hf_generation_json(tokenizer), err);
}

/* modeling_cambium.py knows no rope scaling. */
static Status check_own(const ExportJob *job, Err *err)
{
    for (int64_t i = 0; i < job->ensemble->n_experts && !job->family; i++)
        if (job->ensemble->experts[i]->config.rope_scaling.kind != ROPE_UNSCALED)
            return err_set(err,
                           "%s: rope scaling in a merged model, or one not of the Llama family, "
                           "cannot be exported",
                           job->args->path);
    return STATUS_OK;
}

Status hf_export(const HfExport *args, const char **architecture, Err *err)
{
    ExportJob job = {.args = args};
    Tokenizer *tokenizer = NULL;
    Status status =
        export_load(args->path, args->table, args->device, &job.ensemble, &tokenizer, err);
    if (status == STATUS_OK)
        status = file_make_folder(args->folder, err);
    if (status == STATUS_OK) {
        if (job.ensemble->n_experts == 1)
            job.family = hf_architecture(&job.ensemble->experts[0]->config);
        *architecture = job.family ? job.family : "CambiumForCausalLM";
        status = check_own(&job, err);
    }
    if (status == STATUS_OK) {
        status = write_small_files(&job, tokenizer, err);
    }
    if (status == STATUS_OK)
        status = export_weights(&job, err);
    tokenizer_free(tokenizer);
    ensemble_free(job.ensemble);
    return status;
}
