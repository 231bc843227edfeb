#include <stdlib.h>

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

/* Where a released master's values are: in the file that the model came from, unchanged since they
 * froze. That file may be older than the freezing: then the values themselves are hashed. */
static Status find_in_base(const SaveJob *job, const ParamRef *ref, const char *path,
                           const float **values, Err *err)
{
    const Container *base = job->save->base;
    const char *file = base ? container_file(base) : "a file";
    Tensor shape;
    if (!base || container_shape(base, path, &shape, err) != STATUS_OK)
        return err_set(err, "%s: the exact values of %s are neither in memory nor in %s",
                       job->save->path, path, file);
    if (shape.dtype != DTYPE_F32 || !tensor_same_shape(&shape, &ref->param->weight))
        return err_set(err, "%s: %s is not the float32 tensor that froze", file, path);
    TRY(container_map(base, path, (const void **)values, err));
    const char *stored = container_attribute(base, path, "frozen");
    char text[SHA256_TEXT];
    if (!stored) {
        Sha256 hash = hash_of(*values, tensor_bytes(&shape));
        hash_text(&hash, text);
        stored = text;
    }
    if (strcmp(stored, ref->param->hash) != 0)
        return err_set(err, "%s: %s is not what it was when it froze", file, path);
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
                          const float *base, Err *err)
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
        if (base)
            memcpy(values, base + row * cols, (size_t)(count * cols) * sizeof *values);
        else
            TRY(model_read_rows(job->model, param, row, count, values, err));
        TRY(append_values(job, values, count * cols, dtype, err));
    }
    return container_end(job->writer, err);
}

static Status save_param(void *context, const ParamRef *ref, Err *err)
{
    SaveJob *job = context;
    const Param *param = ref->param;
    /* All that a model without masters knows of a matrix are its rounded values. */
    bool rounded = param->weight.dtype != DTYPE_F32 && !param->master.data;
    DType dtype = param->weight.n_dims == 2 ? job->save->dtype : DTYPE_F32;
    const float *base = NULL;
    char *path = strcmp(ref->path, "embedding") == 0
                     ? xstrdup("/embedding")
                     : xasprintf("/experts/%lld/%s", (long long)job->expert, ref->path);
    Status status = STATUS_OK;
    if (rounded && param->frozen)
        status = find_in_base(job, ref, path, &base, err);
    else if (rounded)
        dtype = DTYPE_BF16;
    if (status == STATUS_OK)
        status = write_param(job, ref, path, dtype, base, err);
    if (base)
        container_drop(job->save->base, path);
    if (status == STATUS_OK && param->frozen && dtype == DTYPE_F32)
        status = container_put_attribute(job->writer, path, "frozen", param->hash, err);
    free(path);
    return status;
}

/* The frozen table, as it is on the device. */
static Status save_table(SaveJob *job, const Substrate *substrate, Err *err)
{
    Tensor shape = substrate->table;
    shape.data = NULL;
    TRY(container_begin(job->writer, "/embedding", &shape, err));
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
    return container_put_attribute(job->writer, "/embedding", "frozen", substrate->hash, err);
}

static Status put_meta(const CheckpointSave *save, ContainerWriter *writer, Err *err)
{
    const Ensemble *ensemble = save->ensemble;
    const Model *first = ensemble->experts[0];
    CheckpointInfo info = {.n_experts = ensemble->n_experts,
                           .rule = ensemble->rule,
                           .weights = ensemble->weights,
                           .forget = ensemble->forget,
                           .adapter_top = ensemble->adapter.top,
                           .adapter_hidden = ensemble->adapter.hidden};
    info.experts = xcalloc((size_t)info.n_experts, sizeof *info.experts);
    for (int64_t i = 0; i < info.n_experts; i++)
        info.experts[i] = (CheckpointExpert){ensemble->names[i], ensemble->experts[i]->config,
                                             save->histories ? save->histories[i] : NULL};
    info.table = (TableInfo){.rows = first->config.vocab_size,
                             .cols = first->config.n_embed,
                             .stored = !save->leave_out_table,
                             .recipe = (json_t *)(uintptr_t)save->recipe};
    const char *hash =
        param_exists(&first->embedding) ? first->embedding.hash : first->substrate.hash;
    memcpy(info.table.hash, hash, sizeof info.table.hash);
    json_t *meta = checkpoint_meta_json(&info);
    free(info.experts);
    Status status = container_put_json(writer, "/meta", meta, err);
    json_decref(meta);
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
    job->model = ensemble->experts[0];
    if (!learned && !save->leave_out_table)
        TRY(save_table(job, &first->substrate, err));
    for (job->expert = 0; job->expert < ensemble->n_experts; job->expert++) {
        job->model = ensemble->experts[job->expert];
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
