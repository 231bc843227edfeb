#include "core/io/hf_export.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/export_tensor.h"
#include "core/io/hf_config.h"
#include "core/io/hf_folder.h"
#include "core/io/hf_own.h"
#include "core/io/hf_tokenizer.h"
#include "core/io/param_names.h"
#include "core/io/safetensors.h"
#include "core/text/tokenizer_json.h"

/* modeling_cambium.py, put into the program by the Makefile. */
extern const char modeling_cambium_py[];

typedef struct ExportJob {
    const HfExport *args;
    Ensemble *ensemble;
    CheckpointInfo info; /* what the file says of itself */
    Container *file;
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

static void add_entry(ExportJob *job, const char *param, const Tensor *shape)
{
    char family_name[PARAM_NAME_MAX];
    SafeEntry entry = {.type = stored_as(job->args->type), .n_dims = shape->n_dims};
    if (job->family) {
        CHECK(param_name(NAMES_HF, param, family_name), "parameter %s", param);
        entry.name = xstrdup(family_name);
    } else {
        entry.name = hf_own_name(job->expert, param);
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
                           .type = job->args->type};
    return export_tensor(&tensor, append, job->writer, err);
}

/* The table as it is; for the Llama family as wide as the model and scaled, since that family knows
 * neither repetition nor scale. */
static Status export_table(ExportJob *job, Err *err)
{
    const Model *model = job->ensemble->experts[job->expert];
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

/* Values from this program's memory, in the folder's type. */
static Status append_floats(const ExportJob *job, const float *values, int64_t count, Err *err)
{
    size_t bytes = (size_t)(count * block_bytes(job->args->type));
    void *blocks = xmalloc(bytes);
    block_from_f32(values, job->args->type, count, blocks);
    Status status = safe_append(job->writer, blocks, bytes, err);
    free(blocks);
    return status;
}

static Status export_adapter(ExportJob *job, Err *err)
{
    const MergeAdapter *a = &job->ensemble->adapter;
    int64_t n = job->ensemble->n_experts;
    if (job->ensemble->rule != MERGE_ADAPTER)
        return STATUS_OK;
    const struct {
        const char *param;
        Tensor shape;
        const float *values;
    } parts[] = {
        {"adapter/w1", tensor_2d(NULL, DTYPE_F32, a->hidden, n * a->top), a->w1},
        {"adapter/b1", tensor_1d(NULL, DTYPE_F32, a->hidden), a->b1},
        {"adapter/w2", tensor_2d(NULL, DTYPE_F32, n, a->hidden), a->w2},
        {"adapter/b2", tensor_1d(NULL, DTYPE_F32, n), a->b2},
    };
    for (int i = 0; i < 4; i++) {
        if (job->writer)
            TRY(append_floats(job, parts[i].values, tensor_count(&parts[i].shape), err));
        else
            add_entry(job, parts[i].param, &parts[i].shape);
    }
    return STATUS_OK;
}

/* What brings the rows of the table back to pictures, where the file has it. */
static Status export_pictures(ExportJob *job, Err *err)
{
    static const char *const params[] = {"pictures/mean", "pictures/components",
                                         "pictures/lengths"};
    for (int i = 0; i < 3 && !job->family; i++) {
        Tensor shape;
        const void *values;
        char path[32];
        snprintf(path, sizeof path, "/%s", params[i]);
        if (!container_find(job->file, path))
            return STATUS_OK;
        TRY(container_shape(job->file, path, &shape, err));
        if (!job->writer) {
            add_entry(job, params[i], &shape);
            continue;
        }
        TRY(container_map(job->file, path, &values, err));
        TRY(append_floats(job, values, tensor_count(&shape), err));
    }
    return STATUS_OK;
}

/* One pass over all tensors: their names and shapes, or, once there is a writer, their values. */
static Status pass(ExportJob *job, Err *err)
{
    for (job->expert = 0; job->expert < job->ensemble->n_experts; job->expert++) {
        if (ensemble_table_owner(job->ensemble, job->expert) == job->expert)
            TRY(export_table(job, err));
        TRY(model_visit(job->ensemble->experts[job->expert], export_param, job, err));
    }
    TRY(export_adapter(job, err));
    return export_pictures(job, err);
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

/* For modeling_cambium.py, which keeps the pictures as they are. */
static void put_picture_sizes(const Container *file, json_t *kept)
{
    const ContainerEntry *components = container_find(file, "/pictures/components");
    const ContainerEntry *mean = container_find(file, "/pictures/mean");
    if (components && mean)
        json_object_set_new(kept, "pictures",
                            json_pack("{s:I, s:I}", "side", (json_int_t)mean->shape.shape[0],
                                      "kept", (json_int_t)components->shape.shape[0]));
}

static Status write_small_files(const ExportJob *job, const Tokenizer *tokenizer, Err *err)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    const char *dtype = type_name(job->args->type);
    json_t *config = job->family ? hf_config_json(&job->ensemble->experts[0]->config, job->family,
                                                  spec->bos, spec->eos, dtype)
                                 : hf_own_config_json(job->ensemble, spec->bos, spec->eos, dtype);
    json_t *kept = hf_provenance_json(&job->info, spec);
    if (!job->family)
        put_picture_sizes(job->file, kept);
    json_object_set_new(config, "cambium", kept);
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
    json_t *templates = hf_chat_template_json(spec);
    if (templates)
        json_object_set_new(names, "chat_template", templates);
    TRY(write_json(job, "tokenizer_config.json", names, err));
    return write_json(job, "generation_config.json", hf_generation_json(tokenizer), err);
}

static void settle_one(const SafeFile *file, int64_t owner, TableInfo *table)
{
    char hash[SHA256_TEXT], *name = hf_own_name(owner, "embedding");
    hf_values_hash(safe_find(file, name), hash);
    free(name);
    if (strcmp(hash, table->hash) != 0) {
        memcpy(table->hash, hash, sizeof hash);
        table->recipe = NULL;
    }
}

/* A frozen table is known by the hash of its values, which a narrower type rounds; no recipe makes
 * the rounded ones. */
static Status settle_tables(ExportJob *job, Err *err)
{
    SafeFile *file;
    if (job->family)
        return STATUS_OK;
    char *path = file_join(job->args->folder, "model.safetensors");
    Status status = safe_open(&file, path, err);
    free(path);
    TRY(status);
    for (int64_t i = 0; i < job->info.n_experts; i++) {
        TableInfo *table = i ? &job->info.experts[i].table : &job->info.table;
        if (job->info.experts[i].table_of == i && table->hash[0])
            settle_one(file, i, table);
    }
    safe_close(file);
    return STATUS_OK;
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
    Status status = export_load(args->path, args->table, args->device, &job.ensemble, &tokenizer,
                                &job.info, err);
    if (status == STATUS_OK)
        status = container_open(&job.file, args->path, err);
    if (status == STATUS_OK)
        status = hf_folder_check(args->folder, err);
    bool made_folder = status == STATUS_OK && !file_exists(args->folder);
    if (status == STATUS_OK)
        status = file_make_folder(args->folder, err);
    if (status == STATUS_OK) {
        if (job.ensemble->n_experts == 1)
            job.family = hf_architecture(&job.ensemble->experts[0]->config);
        *architecture = job.family ? job.family : "CambiumForCausalLM";
        status = check_own(&job, err);
    }
    /* The weights first: they say whose the folder is. */
    if (status == STATUS_OK)
        status = export_weights(&job, err);
    if (status == STATUS_OK)
        status = settle_tables(&job, err);
    if (status == STATUS_OK)
        status = write_small_files(&job, tokenizer, err);
    if (status != STATUS_OK && made_folder)
        rmdir(args->folder); /* when nothing came into it */
    tokenizer_free(tokenizer);
    ensemble_free(job.ensemble);
    container_close(job.file);
    checkpoint_info_clear(&job.info);
    return status;
}
