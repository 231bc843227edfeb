#include "core/io/model_import.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

enum { SLAB = 4 << 20 }; /* values at a time */

typedef struct ImportJob {
    const ImportModel *import;
    ContainerWriter *writer;
    int64_t expert;
    float *slab;
    int64_t capacity;
} ImportJob;

/* Which row of the source is row `row` of ours. */
static int64_t source_row(int64_t row, int64_t pair_width)
{
    if (pair_width <= 0)
        return row;
    int64_t head = row / pair_width, within = row % pair_width, half = pair_width / 2;
    return head * pair_width + (within < half ? 2 * within : 2 * (within - half) + 1);
}

/* Rows as float32 in the slab, checked. */
static Status read_rows(ImportJob *job, const char *param, const ImportTensor *from, int64_t row,
                        int64_t count, int64_t cols, Err *err)
{
    if (count * cols > job->capacity) {
        job->capacity = count * cols;
        job->slab = xrealloc(job->slab, (size_t)job->capacity * sizeof *job->slab);
    }
    for (int64_t i = 0; i < count; i++)
        block_to_f32(from->data, from->type, source_row(row + i, from->pair_width) * cols, cols,
                     job->slab + i * cols);
    for (int64_t i = 0; i < count * cols; i++)
        if (!isfinite(job->slab[i]))
            return err_set(err, "%s holds a value that is not a finite number", param);
    return STATUS_OK;
}

static Status append_rows(ImportJob *job, int64_t count, DType dtype, Err *err)
{
    if (dtype == DTYPE_BF16) {
        uint16_t *half = xmalloc((size_t)count * sizeof *half);
        for (int64_t i = 0; i < count; i++)
            half[i] = f32_to_bf16(job->slab[i]);
        Status status = container_append(job->writer, half, (size_t)count * sizeof *half, err);
        free(half);
        return status;
    }
    return container_append(job->writer, job->slab, (size_t)count * sizeof *job->slab, err);
}

static Status import_tensor(ImportJob *job, const char *param, Tensor shape, Err *err)
{
    ImportTensor from = {0};
    const ImportModel *import = job->import;
    TRY(import->find(import->context, job->expert, param, &shape, &from, err));
    bool is_extra = strncmp(param, "adapter/", 8) == 0 || strncmp(param, "pictures/", 9) == 0;
    if (shape.n_dims == 2 && from.type == BLOCK_BF16 && !is_extra)
        shape.dtype = DTYPE_BF16;
    bool is_shared = is_extra || (strcmp(param, "embedding") == 0 && job->expert == 0);
    char *path = is_shared ? xasprintf("/%s", param)
                           : xasprintf("/experts/%lld/%s", (long long)job->expert, param);
    int64_t rows = shape.shape[0], cols = tensor_count(&shape) / rows;
    int64_t step = SLAB / cols > 0 ? SLAB / cols : 1;
    Status status = container_begin(job->writer, path, &shape, err);
    for (int64_t row = 0; row < rows && status == STATUS_OK; row += step) {
        int64_t count = rows - row < step ? rows - row : step;
        status = read_rows(job, param, &from, row, count, cols, err);
        if (status == STATUS_OK)
            status = append_rows(job, count * cols, shape.dtype, err);
    }
    free(path);
    return status == STATUS_OK ? container_end(job->writer, err) : status;
}

static const ModelConfig *config_of(const ImportJob *job)
{
    return &job->import->info->experts[job->expert].config;
}

static Status import_block(ImportJob *job, int64_t layer, Err *err)
{
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
        Tensor shape = block_param_shape(config_of(job), i);
        if (shape.n_dims == 0)
            continue;
        char param[96];
        snprintf(param, sizeof param, "blocks/%lld/%s", (long long)layer, block_param_info(i).name);
        TRY(import_tensor(job, param, shape, err));
    }
    return STATUS_OK;
}

static Status import_expert(ImportJob *job, Err *err)
{
    const ModelConfig *config = config_of(job);
    Progress progress;
    progress_start(&progress, "block", config->n_layers);
    Status status = STATUS_OK;
    for (int64_t layer = 0; layer < config->n_layers && status == STATUS_OK; layer++) {
        status = import_block(job, layer, err);
        progress_update(&progress, layer + 1, NULL);
        if (status == STATUS_OK && stop_requested())
            status = STATUS_STOPPED;
    }
    progress_end(&progress);
    for (int i = 0; i < HEAD_PARAM_COUNT && status == STATUS_OK; i++) {
        Tensor shape = head_param_shape(config, i);
        if (shape.n_dims > 0)
            status = import_tensor(job, head_param_info(i).name, shape, err);
    }
    return status;
}

static Status import_adapter(ImportJob *job, Err *err)
{
    const CheckpointInfo *info = job->import->info;
    int64_t top = info->adapter_top, hidden = info->adapter_hidden, n = info->n_experts;
    job->expert = 0;
    TRY(import_tensor(job, "adapter/w1", tensor_2d(NULL, DTYPE_F32, hidden, n * top), err));
    TRY(import_tensor(job, "adapter/b1", tensor_1d(NULL, DTYPE_F32, hidden), err));
    TRY(import_tensor(job, "adapter/w2", tensor_2d(NULL, DTYPE_F32, n, hidden), err));
    return import_tensor(job, "adapter/b2", tensor_1d(NULL, DTYPE_F32, n), err);
}

static Status import_pictures(ImportJob *job, Err *err)
{
    int64_t side = job->import->picture_side, kept = job->import->pictures_kept;
    int64_t rows = job->import->info->table.rows;
    if (side == 0)
        return STATUS_OK;
    TRY(import_tensor(job, "pictures/mean", tensor_2d(NULL, DTYPE_F32, side, side), err));
    TRY(import_tensor(job, "pictures/components", tensor_2d(NULL, DTYPE_F32, kept, side * side),
                      err));
    return import_tensor(job, "pictures/lengths", tensor_1d(NULL, DTYPE_F32, rows), err);
}

static Status import_table(ImportJob *job, Err *err)
{
    const CheckpointInfo *info = job->import->info;
    const ModelConfig *config = config_of(job);
    const TableInfo *table = checkpoint_table(info, job->expert);
    if (info->experts[job->expert].table_of != job->expert)
        return STATUS_OK;
    TRY(import_tensor(job, "embedding",
                      tensor_2d(NULL, DTYPE_F32, config->vocab_size, config->n_embed), err));
    if (!table->hash[0])
        return STATUS_OK;
    char *path = checkpoint_table_path(job->expert);
    Status status = container_put_attribute(job->writer, path, "frozen", table->hash, err);
    free(path);
    return status;
}

static Status import_all(ImportJob *job, Err *err)
{
    const CheckpointInfo *info = job->import->info;
    json_t *meta = checkpoint_meta_json(info);
    Status status = container_put_json(job->writer, "/meta", meta, err);
    json_decref(meta);
    TRY(status);
    TRY(tokenizer_put(job->writer, job->import->tokenizer, err));
    TRY(import_pictures(job, err));
    for (; job->expert < info->n_experts; job->expert++) {
        TRY(import_table(job, err));
        TRY(import_expert(job, err));
    }
    return info->rule == MERGE_ADAPTER ? import_adapter(job, err) : STATUS_OK;
}

void import_info_init(CheckpointInfo *info, const ModelConfig *config, const char *name,
                      const char *format)
{
    *info = (CheckpointInfo){.n_experts = 1, .forget = 0.01f};
    info->meta = json_pack("[{s:s, s:s}]", "stage", "import", "format", format);
    info->experts = xcalloc(1, sizeof *info->experts);
    info->experts[0] =
        (CheckpointExpert){.name = xstrdup(name), .config = *config, .history = info->meta};
    info->table = (TableInfo){.rows = config->vocab_size, .cols = config->n_embed, .stored = true};
}

Status model_import(const ImportModel *import, Err *err)
{
    ImportJob job = {.import = import};
    const CheckpointInfo *info = import->info;
    for (int64_t i = 0; i < info->n_experts; i++)
        TRY(model_config_check(&info->experts[i].config, err));
    if (import->tokenizer->n_tokens > info->table.rows)
        return err_set(err, "%s: the tokenizer has %lld tokens and the model (%s) only %lld",
                       import->tokenizer_file, (long long)import->tokenizer->n_tokens,
                       import->config_file, (long long)info->table.rows);
    TRY(container_create(&job.writer, import->path, err));
    Status status = import_all(&job, err);
    free(job.slab);
    if (status != STATUS_OK) {
        container_abandon(job.writer);
        return status;
    }
    return container_commit(job.writer, err);
}
