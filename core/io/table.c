#include "core/io/table.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/io/json_get.h"

enum { HASH_CHUNK = 1 << 16 };

Sha256 table_hash(const void *values, DType dtype, int64_t count)
{
    if (dtype == DTYPE_F32)
        return hash_of(values, (size_t)count * sizeof(float));
    CHECK(dtype == DTYPE_BF16 || dtype == DTYPE_U8, "a table of %s", dtype_name(dtype));
    HashStream *stream = hash_new();
    float *chunk = xmalloc(HASH_CHUNK * sizeof *chunk);
    for (int64_t at = 0; at < count; at += HASH_CHUNK) {
        int64_t n = count - at < HASH_CHUNK ? count - at : HASH_CHUNK;
        for (int64_t i = 0; i < n; i++)
            chunk[i] = dtype == DTYPE_BF16 ? bf16_to_f32(((const uint16_t *)values)[at + i])
                                           : (float)((const uint8_t *)values)[at + i];
        hash_update(stream, chunk, (size_t)n * sizeof *chunk);
    }
    free(chunk);
    return hash_finish_free(stream);
}

json_t *table_info_json(const TableInfo *info)
{
    return json_pack("{s:s, s:I, s:I, s:b, s:o}", "sha256", info->hash, "rows",
                     (json_int_t)info->rows, "cols", (json_int_t)info->cols, "stored", info->stored,
                     "recipe", info->recipe ? json_deep_copy(info->recipe) : json_null());
}

Status table_info_parse(const json_t *json, const char *where, TableInfo *info, Err *err)
{
    const char *hash;
    TRY(json_get_text(json, "sha256", where, &hash, err));
    size_t length = strlen(hash);
    if ((length != 0 && length != SHA256_TEXT - 1) || strspn(hash, "0123456789abcdef") != length)
        return err_set(err, "%s: '%.80s' is not a SHA-256", where, hash);
    memcpy(info->hash, hash, length + 1);
    TRY(json_get_int(json, "rows", where, &info->rows, err));
    TRY(json_get_int(json, "cols", where, &info->cols, err));
    TRY(json_get_bool(json, "stored", where, &info->stored, err));
    info->recipe = json_object_get(json, "recipe");
    if (info->rows < 1 || info->cols < 1)
        return err_set(err, "%s: a table of %lld x %lld", where, (long long)info->rows,
                       (long long)info->cols);
    return STATUS_OK;
}

static Status put_table(ContainerWriter *writer, const TableSave *save, Err *err)
{
    TableInfo info = {.rows = save->shape.shape[0],
                      .cols = save->shape.shape[1],
                      .stored = true,
                      .recipe = json_incref((json_t *)(uintptr_t)save->recipe)};
    Sha256 hash = table_hash(save->values, save->shape.dtype, tensor_count(&save->shape));
    hash_text(&hash, info.hash);
    json_t *meta = json_pack("{s:i, s:s, s:o}", "format", FILE_FORMAT, "kind", "table", "table",
                             table_info_json(&info));
    json_decref(info.recipe);
    if (save->statistics)
        json_object_set_new(meta, "statistics", json_deep_copy(save->statistics));
    Status status = container_put_json(writer, "/meta", meta, err);
    json_decref(meta);
    TRY(status);
    TRY(tokenizer_put(writer, save->tokenizer, err));
    TRY(container_put(writer, "/embedding", &save->shape, save->values, err));
    if (save->pictures)
        TRY(picture_basis_put(writer, save->pictures, err));
    return container_put_attribute(writer, "/embedding", "frozen", info.hash, err);
}

Status table_save(const TableSave *save, Err *err)
{
    CHECK(save->shape.n_dims == 2, "a table of %d dimensions", save->shape.n_dims);
    ContainerWriter *writer;
    TRY(container_create(&writer, save->path, err));
    Status status = put_table(writer, save, err);
    if (status != STATUS_OK) {
        container_abandon(writer);
        return status;
    }
    return container_commit(writer, err);
}

Status file_kind_read(const Container *container, const char **kind, json_t **meta, Err *err)
{
    int64_t format;
    *meta = NULL;
    if (!container_find(container, "/meta"))
        return err_set(err, "%s has no /meta: it is no table, checkpoint or corpus of Cambium",
                       container_file(container));
    TRY(container_json(container, "/meta", meta, err));
    char *where = xasprintf("%s: /meta", container_file(container));
    Status status = json_get_int(*meta, "format", where, &format, err);
    if (status == STATUS_OK)
        status = json_get_text(*meta, "kind", where, kind, err);
    if (status == STATUS_OK && (format < 1 || format > FILE_FORMAT_TABLES))
        status = err_set(err, "%s has format %lld and this program reads up to %d; use a newer one",
                         container_file(container), (long long)format, FILE_FORMAT_TABLES);
    free(where);
    if (status != STATUS_OK) {
        json_decref(*meta);
        *meta = NULL;
    }
    return status;
}

Status table_info_read(const Container *container, TableInfo *info, json_t **meta, Err *err)
{
    const char *kind;
    json_t *table;
    TRY(file_kind_read(container, &kind, meta, err));
    char *where = xasprintf("%s: /meta", container_file(container));
    Status status = STATUS_OK;
    if (strcmp(kind, "table") != 0)
        status = err_set(err, "%s is a %s file, not a table ('cambium embed' makes tables)",
                         container_file(container), kind);
    if (status == STATUS_OK)
        status = json_get_object(*meta, "table", where, &table, err);
    if (status == STATUS_OK)
        status = table_info_parse(table, where, info, err);
    free(where);
    if (status != STATUS_OK) {
        json_decref(*meta);
        *meta = NULL;
    }
    return status;
}

Status table_load(const Container *container, const char *path, const TableInfo *info,
                  const Device *device, Substrate *out, Err *err)
{
    Tensor shape;
    const void *data;
    *out = (Substrate){0};
    TRY(container_shape(container, path, &shape, err));
    if (shape.n_dims != 2 || shape.shape[0] != info->rows || shape.shape[1] != info->cols ||
        (shape.dtype != DTYPE_F32 && shape.dtype != DTYPE_BF16 && shape.dtype != DTYPE_U8))
        return err_set(err, "%s: %s is not the %lld x %lld table that /meta speaks of",
                       container_file(container), path, (long long)info->rows,
                       (long long)info->cols);
    TRY(container_map(container, path, &data, err));
    if (info->hash[0]) {
        Sha256 hash = table_hash(data, shape.dtype, tensor_count(&shape));
        hash_text(&hash, out->hash);
        if (strcmp(out->hash, info->hash) != 0)
            return err_set(err, "%s: the table has SHA-256 %.12s... where /meta says %.12s...",
                           container_file(container), out->hash, info->hash);
    }
    TRY(device_tensor(device, &shape, "the embedding table", err));
    out->table = shape;
    out->owned = true;
    Status status = device_upload(device, &shape, data, err);
    container_drop(container, path);
    return status;
}
