#include "core/io/table_export.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/io/container.h"
#include "core/io/npy.h"
#include "core/io/safetensors.h"

static Status open_table(const char *path, Container **file, Tensor *shape, const void **data,
                         Err *err)
{
    TRY(container_open(file, path, err));
    Status status = container_shape(*file, "/embedding", shape, err);
    if (status == STATUS_OK && container_find(*file, "/experts/1/embedding"))
        status =
            err_set(err, "%s has several tables; export that of a model it was merged from", path);
    if (status == STATUS_OK && shape->n_dims != 2)
        status = err_set(err, "%s: /embedding is not a matrix", path);
    if (status == STATUS_OK)
        status = container_map(*file, "/embedding", data, err);
    if (status != STATUS_OK)
        container_close(*file);
    return status;
}

Status table_export_npy(const char *path, const char *out, Err *err)
{
    Container *file;
    Tensor shape;
    const void *data;
    TRY(open_table(path, &file, &shape, &data, err));
    int64_t count = tensor_count(&shape);
    StoredType type = stored_of(shape.dtype);
    void *wide = NULL;
    Status status = STATUS_OK;
    if (!stored_npy(type)) { /* bfloat16, which NumPy does not have */
        status = mem_try(&wide, (size_t)count * sizeof(float), "the table as float32", err);
        if (status == STATUS_OK)
            stored_to_f32(data, type, 0, count, wide);
        type = STORED_F32;
    }
    if (status == STATUS_OK)
        status = npy_write(out, type, shape.shape[0], shape.shape[1], wide ? wide : data, err);
    free(wide);
    container_close(file);
    return status;
}

Status table_export_safetensors(const char *path, const char *out, Err *err)
{
    Container *file;
    SafeWriter *writer;
    Tensor shape;
    const void *data;
    TRY(open_table(path, &file, &shape, &data, err));
    SafeEntry entry = {.name = "embedding",
                       .type = stored_of(shape.dtype),
                       .n_dims = 2,
                       .shape = {shape.shape[0], shape.shape[1]}};
    Status status = safe_create(&writer, out, &entry, 1, err);
    if (status == STATUS_OK) {
        status = safe_append(writer, data, tensor_bytes(&shape), err);
        if (status == STATUS_OK)
            status = safe_commit(writer, err);
        else
            safe_abandon(writer);
    }
    container_close(file);
    return status;
}
