#include "core/io/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/gguf.h"
#include "core/io/npy.h"
#include "core/io/safetensors.h"

struct TensorFile {
    GgufFile *gguf; /* one of these, or */
    SafeFile *safe;
    NpyFile npy;
};

typedef enum TensorFormat { FORMAT_NONE, FORMAT_NPY, FORMAT_GGUF, FORMAT_SAFE } TensorFormat;

static TensorFormat format_of(const char *path)
{
    char first[9] = "";
    FILE *stream = file_is_folder(path) ? NULL : fopen(path, "rb");
    size_t got = stream ? fread(first, 1, sizeof first, stream) : 0;
    if (stream)
        fclose(stream);
    if (got == sizeof first && memcmp(first, "\x93NUMPY", 6) == 0)
        return FORMAT_NPY;
    if (got == sizeof first && memcmp(first, "GGUF", 4) == 0)
        return FORMAT_GGUF;
    bool header = got == sizeof first && first[8] == '{';
    return header || (stream && file_has_suffix(path, ".safetensors")) ? FORMAT_SAFE : FORMAT_NONE;
}

bool tensor_file_is(const char *path)
{
    return format_of(path) != FORMAT_NONE;
}

Status tensor_file_open(TensorFile **out, const char *path, Err *err)
{
    TensorFormat format = format_of(path);
    TensorFile *file = xcalloc(1, sizeof *file);
    Status status = format == FORMAT_GGUF  ? gguf_open(&file->gguf, path, err)
                    : format == FORMAT_NPY ? npy_open(&file->npy, path, err)
                                           : safe_open(&file->safe, path, err);
    *out = status == STATUS_OK ? file : NULL;
    if (status != STATUS_OK)
        free(file);
    return status;
}

void tensor_file_close(TensorFile *file)
{
    if (!file)
        return;
    gguf_close(file->gguf);
    safe_close(file->safe);
    npy_close(&file->npy);
    free(file);
}

int64_t tensor_file_count(const TensorFile *file)
{
    return file->gguf ? gguf_tensor_count(file->gguf) : file->safe ? safe_count(file->safe) : 1;
}

static FileTensor with_shape(FileTensor tensor, const int64_t *shape, int n_dims)
{
    tensor.n_dims = n_dims;
    tensor.count = 1;
    for (int i = 0; i < n_dims; i++) {
        tensor.shape[i] = shape[i];
        tensor.count *= shape[i];
    }
    return tensor;
}

FileTensor tensor_file_at(const TensorFile *file, int64_t index)
{
    if (file->gguf) {
        const GgufTensor *t = gguf_tensor(file->gguf, index);
        FileTensor tensor = {.name = t->name,
                             .data = t->data,
                             .bytes = t->bytes,
                             .stored = STORED_COUNT,
                             .block = t->type};
        return with_shape(tensor, t->shape, t->n_dims);
    }
    if (file->safe) {
        const SafeEntry *t = safe_entry(file->safe, index);
        FileTensor tensor = {
            .name = t->name, .data = t->data, .bytes = t->bytes, .stored = t->type};
        return with_shape(tensor, t->shape, t->n_dims);
    }
    FileTensor tensor = {.name = "array",
                         .data = file->npy.data,
                         .bytes = file->npy.bytes,
                         .stored = file->npy.type};
    return with_shape(tensor, file->npy.shape, file->npy.n_dims);
}

void file_tensor_values(const FileTensor *tensor, int64_t first, int64_t count, double *out)
{
    float values[FILE_TENSOR_STEP];
    if (tensor->stored != STORED_COUNT) {
        stored_to_f64(tensor->data, tensor->stored, first, count, out);
        return;
    }
    for (int64_t done = 0; done < count; done += FILE_TENSOR_STEP) {
        int64_t n = count - done < FILE_TENSOR_STEP ? count - done : FILE_TENSOR_STEP;
        block_to_f32(tensor->data, tensor->block, first + done, n, values);
        for (int64_t i = 0; i < n; i++)
            out[done + i] = (double)values[i];
    }
}
