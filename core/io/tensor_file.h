/* The tensors of another program's file, npy, GGUF or safetensors, as numbers. Opened files are
 * mapped and immutable; any number of threads may read one. */
#ifndef CAMBIUM_CORE_IO_TENSOR_FILE_H
#define CAMBIUM_CORE_IO_TENSOR_FILE_H

#include "core/base/err.h"
#include "core/io/block_type.h"

enum { FILE_TENSOR_DIMS = 8, FILE_TENSOR_STEP = 256 };

typedef struct FileTensor {
    const char *name; /* "array" in a .npy file */
    int n_dims;
    int64_t shape[FILE_TENSOR_DIMS];
    int64_t count; /* of values */
    const void *data;
    int64_t bytes;
    StoredType stored; /* STORED_COUNT: blocks of this type */
    BlockType block;
} FileTensor;

typedef struct TensorFile TensorFile;

/* Told by how it begins, or by a name in .safetensors. */
bool tensor_file_is(const char *path);
Status tensor_file_open(TensorFile **out, const char *path, Err *err);
void tensor_file_close(TensorFile *file); /* NULL is allowed */

int64_t tensor_file_count(const TensorFile *file);
FileTensor tensor_file_at(const TensorFile *file, int64_t index); /* by name */

/* out[i] = number `first + i`; `first` is a multiple of FILE_TENSOR_STEP, and so is `count`, or it
 * ends the tensor. Integers beyond 2^53 are rounded. */
void file_tensor_values(const FileTensor *tensor, int64_t first, int64_t count, double *out);

#endif
