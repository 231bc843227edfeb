#include "core/io/export_tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { SLAB = 4 << 20 }; /* values on the host at a time */

/* ---- opening -------------------------------------------------------------------------------- */

static Status fold_all(Ensemble *ensemble, Err *err)
{
    for (int64_t i = 0; i < ensemble->n_experts; i++)
        if (ensemble->experts[i]->config.lora_rank > 0)
            TRY(model_fold_lora(ensemble->experts[i], err));
    return STATUS_OK;
}

static bool has_lora(const CheckpointInfo *info)
{
    for (int64_t i = 0; i < info->n_experts; i++)
        if (info->experts[i].config.lora_rank > 0)
            return true;
    return false;
}

/* Folding needs weights of its own; otherwise they are read from the mapped file. */
Status export_load(const char *path, const char *table, const Device *device, Ensemble **ensemble,
                   Tokenizer **tokenizer, CheckpointInfo *info, Err *err)
{
    Container *file;
    CheckpointInfo read = {0};
    TRY(container_open(&file, path, err));
    Status status = checkpoint_info_read(file, &read, err);
    container_close(file);
    TRY(status);
    LoadOptions options = {.device = device,
                           .compute = DTYPE_F32,
                           .weights = DTYPE_F32,
                           .train = has_lora(&read),
                           .table = table};
    if (info)
        *info = read;
    else
        checkpoint_info_clear(&read);
    TRY(ensemble_load(ensemble, tokenizer, path, &options, err));
    return fold_all(*ensemble, err);
}

/* ---- values --------------------------------------------------------------------------------- */

/* Rows of the table, widened and scaled. */
static Status read_table(const ExportTensor *t, int64_t row, int64_t count, float *out, Err *err)
{
    const Tensor *table = &t->model->substrate.table;
    int64_t narrow = table->shape[1], times = t->width / narrow;
    Tensor slice = tensor_slice(table, row, count);
    void *raw = xmalloc((size_t)(count * narrow) * dtype_bytes(table->dtype));
    float *values = xmalloc((size_t)(count * narrow) * sizeof *values);
    Status status = device_download(&t->model->device, &slice, raw, err);
    if (status == STATUS_OK) {
        stored_to_f32(raw, stored_of(table->dtype), 0, count * narrow, values);
        for (int64_t i = 0; i < count * t->width; i++)
            out[i] = t->scale * values[i / times];
    }
    free(raw);
    free(values);
    return status;
}

/* Of every head, rows i and i + half become neighbours. */
static void pair_rows(float *values, int64_t rows, int64_t cols, int64_t pair_width)
{
    int64_t half = pair_width / 2;
    float *head = xmalloc((size_t)(pair_width * cols) * sizeof *head);
    for (int64_t first = 0; first < rows; first += pair_width) {
        float *at = values + first * cols;
        memcpy(head, at, (size_t)(pair_width * cols) * sizeof *head);
        for (int64_t i = 0; i < pair_width; i++)
            memcpy(at + i * cols, head + (i % 2 * half + i / 2) * cols,
                   (size_t)cols * sizeof *head);
    }
    free(head);
}

static Status check_range(const ExportTensor *t, const float *values, int64_t count, Err *err)
{
    for (int64_t i = 0; i < count && (t->type == BLOCK_F16 || t->type == BLOCK_Q8_0); i++)
        if (fabsf(values[i]) >= 65520.0f)
            return err_set(err, "%s holds %g, which %s cannot; choose another --dtype", t->name,
                           (double)values[i], block_name(t->type));
    return STATUS_OK;
}

static Status write_rows(const ExportTensor *t, float *values, int64_t rows, int64_t cols,
                         ExportAppend *append, void *writer, Err *err)
{
    int64_t count = rows * cols;
    size_t bytes = (size_t)(count / block_values(t->type) * block_bytes(t->type));
    if (t->pair_width > 0)
        pair_rows(values, rows, cols, t->pair_width);
    TRY(check_range(t, values, count, err));
    if (t->type == BLOCK_F32)
        return append(writer, values, bytes, err);
    void *blocks = xmalloc(bytes);
    block_from_f32(values, t->type, count, blocks);
    Status status = append(writer, blocks, bytes, err);
    free(blocks);
    return status;
}

Status export_tensor(const ExportTensor *t, ExportAppend *append, void *writer, Err *err)
{
    const Tensor *shape = t->param ? &t->param->weight : &t->model->substrate.table;
    int64_t rows = shape->shape[0];
    int64_t cols = t->param ? tensor_count(shape) / rows : t->width;
    int64_t whole = t->pair_width > 0 ? t->pair_width : 1; /* heads are not cut */
    if (shape->n_dims == 1)                                /* a block of a vector is many rows */
        whole = whole > block_values(t->type) ? whole : block_values(t->type);
    int64_t step = SLAB / cols / whole * whole > 0 ? SLAB / cols / whole * whole : whole;
    float *values = xmalloc((size_t)((step < rows ? step : rows) * cols) * sizeof *values);
    Status status = STATUS_OK;
    for (int64_t row = 0; row < rows && status == STATUS_OK; row += step) {
        int64_t count = rows - row < step ? rows - row : step;
        status = t->param ? model_read_rows(t->model, t->param, row, count, values, err)
                          : read_table(t, row, count, values, err);
        if (status == STATUS_OK)
            status = write_rows(t, values, count, cols, append, writer, err);
    }
    free(values);
    return status;
}
