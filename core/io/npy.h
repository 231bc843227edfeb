/* NumPy's .npy: one array with a textual header. */
#ifndef CAMBIUM_CORE_IO_NPY_H
#define CAMBIUM_CORE_IO_NPY_H

#include "core/base/file.h"
#include "core/io/stored_type.h"

enum { NPY_DIMS = 8 };

typedef struct NpyFile {
    StoredType type;
    int n_dims;
    int64_t shape[NPY_DIMS];
    const void *data; /* in the mapped file */
    int64_t bytes;
    FileMap map;
} NpyFile;

/* Fails on anything but little-endian, row-major arrays of plain numbers whose size fits. */
Status npy_open(NpyFile *file, const char *path, Err *err);
Status npy_parse(NpyFile *file, const void *data, int64_t bytes, const char *name, Err *err);
void npy_close(NpyFile *file);

/* Writes a (rows, cols) array of F32 or U8 whose data is in memory (or mapped). */
Status npy_write(const char *path, StoredType type, int64_t rows, int64_t cols, const void *data,
                 Err *err);

#endif
