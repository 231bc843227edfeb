#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/io/checkpoint.h"

enum { SLAB = 4 << 20 }; /* values on the host at a time */

typedef struct SaveJob {
    const CheckpointSave *save;
    ContainerWriter *writer;
    Model *model;
    int64_t expert;
    float *slab; /* (SLAB, or one row) */
    int64_t slab_values;
} SaveJob;

static float *slab_of(SaveJob *job, int64_t values)
{
    if (values > job->slab_values) {
        job->slab = xrealloc(job->slab, (size_t)values * sizeof *job->slab);
        job->slab_values = values;
    }
    return job->slab;
}

/* Whether a file has a frozen parameter as it was when it froze, in whatever type. The file may be
 * older than the freezing: then the values themselves are hashed. */
static Status holds(const Container *file, const ParamRef *ref, const char *path, bool *out,
                    Err *err)
{
    const ContainerEntry *entry = file ? container_find(file, path) : NULL;
    *out = false;
    if (!entry || entry->is_text || !tensor_same_shape(&entry->shape, &ref->param->weight) ||
        (entry->shape.dtype != DTYPE_F32 && entry->shape.dtype != DTYPE_BF16))
        return STATUS_OK;
    const char *stored = container_attribute(file, path, "frozen");
    char text[SHA256_TEXT];
    if (!stored) {
        const void *values;
        TRY(container_map(file, path, &values, err));
        Sha256 hash = table_hash(values, entry->shape.dtype, tensor_count(&entry->shape));
        hash_text(&hash, text);
        container_drop(file, path);
        stored = text;
    }
    *out = strcmp(stored, ref->param->hash) == 0;
    return STATUS_OK;
}

/* The file to copy a frozen parameter from, or NULL: it is written from memory. Exact values that
 * are in memory are looked for only where the file may have them in a smaller type. */
static Status find_stored(const SaveJob *job, const ParamRef *ref, const char *path,
                          const Container **out, Err *err)
{
    const CheckpointSave *save = job->save;
    const Container *const files[] = {save->base, save->kept};
    const Param *param = ref->param;
    bool exact = param->weight.dtype == DTYPE_F32 || param->master.data;
    *out = NULL;
    for (int i = 0; i < 2 && !*out; i++) {
        const ContainerEntry *entry = files[i] ? container_find(files[i], path) : NULL;
        bool there = false;
        if (entry && !(exact && entry->shape.dtype == DTYPE_F32))
            TRY(holds(files[i], ref, path, &there, err));
        if (there)
            *out = files[i];
    }
    if (!exact && !*out)
        return err_set(err, "%s: the exact values of %s are neither in memory nor in %s",
                       save->path, path, save->base ? container_file(save->base) : "a file");
    return STATUS_OK;
}

static Status copy_frozen(SaveJob *job, const ParamRef *ref, const Container *from,
                          const char *path, Err *err)
{
    TRY(container_copy(job->writer, path, from, path, err));
    if (!container_attribute(from, path, "frozen"))
        TRY(container_put_attribute(job->writer, path, "frozen", ref->param->hash, err));
    container_drop(from, path);
    return STATUS_OK;
}

/* Appends float32 values as `dtype`; bfloat16 is rounded in place. */
static Status append_values(SaveJob *job, float *values, int64_t count, DType dtype, Err *err)
{
    if (dtype == DTYPE_BF16) {
        uint16_t *half = (uint16_t *)values;
        for (int64_t i = 0; i < count; i++) {
            float value;
            memcpy(&value, (char *)values + (size_t)i * sizeof value, sizeof value);
            uint16_t bits = f32_to_bf16(value);
            memcpy(half + i, &bits, sizeof bits);
        }
    }
    return container_append(job->writer, values, (size_t)count * dtype_bytes(dtype), err);
}

static Status write_param(SaveJob *job, const ParamRef *ref, const char *path, DType dtype,
                          Err *err)
{
    const Param *param = ref->param;
    Tensor shape = param->weight;
    shape.dtype = dtype;
    shape.data = NULL;
    TRY(container_begin(job->writer, path, &shape, err));
    int64_t rows = shape.shape[0], cols = tensor_count(&shape) / rows;
    int64_t slab_rows = SLAB / cols > 0 ? SLAB / cols : 1;
    for (int64_t row = 0; row < rows; row += slab_rows) {
        int64_t count = rows - row < slab_rows ? rows - row : slab_rows;
        float *values = slab_of(job, count * cols);
        TRY(model_read_rows(job->model, param, row, count, values, err));
        TRY(append_values(job, values, count * cols, dtype, err));
    }
    TRY(container_end(job->writer, err));
    if (!param->frozen || dtype != DTYPE_F32)
        return STATUS_OK;
    return container_put_attribute(job->writer, path, "frozen", param->hash, err);
}

static char *path_of(const SaveJob *job, const ParamRef *ref)
{
    if (strcmp(ref->path, "embedding") == 0)
        return checkpoint_table_path(job->expert);
    return xasprintf("/experts/%lld/%s", (long long)job->expert, ref->path);
}

static Status save_param(void *context, const ParamRef *ref, Err *err)
{
    SaveJob *job = context;
    const Param *param = ref->param;
    DType dtype = param->weight.n_dims == 2 ? job->save->dtype : DTYPE_F32;
    /* All that a model without masters knows of a matrix are its rounded values. */
    if (param->weight.dtype != DTYPE_F32 && !param->master.data)
        dtype = DTYPE_BF16;
    const Container *stored = NULL;
    char *path = path_of(job, ref);
    Status status = STATUS_OK;
    if (param->frozen)
        status = find_stored(job, ref, path, &stored, err);
    if (status == STATUS_OK)
        status = stored ? copy_frozen(job, ref, stored, path, err)
                        : write_param(job, ref, path, dtype, err);
    free(path);
    return status;
}

/* The frozen table, as it is on the device. */
static Status save_table(SaveJob *job, const Substrate *substrate, const char *path, Err *err)
{
    Tensor shape = substrate->table;
    shape.data = NULL;
    TRY(container_begin(job->writer, path, &shape, err));
    int64_t slab_rows = SLAB / shape.shape[1] > 0 ? SLAB / shape.shape[1] : 1;
    for (int64_t row = 0; row < shape.shape[0]; row += slab_rows) {
        int64_t count = shape.shape[0] - row < slab_rows ? shape.shape[0] - row : slab_rows;
        Tensor slice = tensor_slice(&substrate->table, row, count);
        void *host = slab_of(job, count * shape.shape[1]);
        TRY(device_download(&job->model->device, &slice, host, err));
        TRY(container_append(job->writer, host, tensor_bytes(&slice), err));
    }
    TRY(container_end(job->writer, err));
    if (!substrate->hash[0])
        return STATUS_OK;
    return container_put_attribute(job->writer, path, "frozen", substrate->hash, err);
}

static TableInfo table_info(const Model *model)
{
    TableInfo info = {
        .rows = model->config.vocab_size, .cols = model->config.n_embed, .stored = true};
    const char *hash =
        param_exists(&model->embedding) ? model->embedding.hash : model->substrate.hash;
    memcpy(info.hash, hash, sizeof info.hash);
    return info;
}

static Status put_meta(const CheckpointSave *save, ContainerWriter *writer, Err *err)
{
    const Ensemble *ensemble = save->ensemble;
    CheckpointInfo info = {.n_experts = ensemble->n_experts,
                           .rule = ensemble->rule,
                           .weights = ensemble->weights,
                           .forget = ensemble->forget,
                           .adapter_top = ensemble->adapter.top,
                           .adapter_hidden = ensemble->adapter.hidden};
    info.experts = xcalloc((size_t)info.n_experts, sizeof *info.experts);
    for (int64_t i = 0; i < info.n_experts; i++)
        info.experts[i] = (CheckpointExpert){.name = ensemble->names[i],
                                             .config = ensemble->experts[i]->config,
                                             .history = save->histories ? save->histories[i] : NULL,
                                             .table_of = ensemble_table_owner(ensemble, i),
                                             .table = table_info(ensemble->experts[i])};
    info.table = info.experts[0].table;
    info.table.stored = !save->leave_out_table;
    info.table.recipe = (json_t *)(uintptr_t)save->recipe;
    json_t *meta = checkpoint_meta_json(&info);
    free(info.experts);
    Status status = container_put_json(writer, "/meta", meta, err);
    json_decref(meta);
    return status;
}

/* Learned tables are parameters, and come with the others. */
static Status put_frozen_table(SaveJob *job, Err *err)
{
    const CheckpointSave *save = job->save;
    bool first = job->expert == 0;
    if (param_exists(&job->model->embedding) ||
        ensemble_table_owner(save->ensemble, job->expert) != job->expert ||
        (first && save->leave_out_table))
        return STATUS_OK;
    char *path = checkpoint_table_path(job->expert);
    Status status = save_table(job, &job->model->substrate, path, err);
    free(path);
    if (status == STATUS_OK && first && save->pictures)
        status = picture_basis_copy(job->writer, save->pictures, err);
    return status;
}

static Status save_all(SaveJob *job, Err *err)
{
    const CheckpointSave *save = job->save;
    const Ensemble *ensemble = save->ensemble;
    const Model *first = ensemble->experts[0];
    bool learned = param_exists(&first->embedding);
    if (save->leave_out_table && (learned || !first->substrate.hash[0]))
        return err_set(err, "%s: only a frozen table with a hash can be left out", save->path);
    TRY(put_meta(save, job->writer, err));
    TRY(tokenizer_put(job->writer, save->tokenizer, err));
    for (job->expert = 0; job->expert < ensemble->n_experts; job->expert++) {
        job->model = ensemble->experts[job->expert];
        TRY(put_frozen_table(job, err));
        TRY(model_visit(job->model, save_param, job, err));
    }
    if (ensemble->rule == MERGE_ADAPTER)
        TRY(checkpoint_put_adapter(job->writer, &ensemble->adapter, ensemble->n_experts, err));
    return save->extra ? save->extra(save->context, job->writer, err) : STATUS_OK;
}

Status checkpoint_save(const CheckpointSave *save, Err *err)
{
    SaveJob job = {.save = save};
    TRY(container_create(&job.writer, save->path, err));
    Status status = save_all(&job, err);
    free(job.slab);
    if (status != STATUS_OK) {
        container_abandon(job.writer);
        return status;
    }
    return container_commit(job.writer, err);
}

/* ---- values that no file has yet --------------------------------------------------------------
 */

static Status keep_param(void *context, const ParamRef *ref, Err *err)
{
    SaveJob *job = context;
    const Param *param = ref->param;
    if (!param->frozen || ref->lora || param->weight.dtype == DTYPE_F32 || !param->master.data)
        return STATUS_OK;
    char *path = path_of(job, ref);
    bool there;
    Status status = holds(job->save->base, ref, path, &there, err);
    if (status == STATUS_OK && !there && !job->writer)
        status = container_create(&job->writer, job->save->path, err);
    if (status == STATUS_OK && !there)
        status = write_param(job, ref, path, DTYPE_F32, err);
    free(path);
    return status;
}

Status checkpoint_keep_frozen(Container **kept, const char *path, Model *model,
                              const Container *base, Err *err)
{
    CheckpointSave save = {.path = path, .base = base, .dtype = DTYPE_F32};
    SaveJob job = {.save = &save, .model = model};
    *kept = NULL;
    Status status = model_visit(model, keep_param, &job, err);
    free(job.slab);
    if (status != STATUS_OK || !job.writer) {
        container_abandon(job.writer);
        return status;
    }
    TRY(container_commit(job.writer, err));
    status = container_open(kept, path, err);
    unlink(path);
    return status;
}
