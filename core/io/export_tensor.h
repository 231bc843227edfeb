/* Opening a model file to write it in another program's format, and writing its weights, slab by
 * slab, in the types and the order that such formats want. */
#ifndef CAMBIUM_CORE_IO_EXPORT_TENSOR_H
#define CAMBIUM_CORE_IO_EXPORT_TENSOR_H

#include "core/io/block_type.h"
#include "core/io/checkpoint.h"

/* The experts of a file in float32 with LoRA pairs folded, and its tokenizer. `table` is where the
 * table is when the file left it out, or NULL; `info`, what the file says of itself, may be NULL.
 * The caller frees all, also when it fails. */
Status export_load(const char *path, const char *table, const Device *device, Ensemble **ensemble,
                   Tokenizer **tokenizer, CheckpointInfo *info, Err *err);

typedef struct ExportTensor {
    const Model *model;
    const Param *param; /* NULL: the table */
    const char *name;   /* for errors */
    BlockType type;
    /* Of the table only: its width here, a multiple of its own (components are repeated), and what
     * its values are multiplied with. */
    int64_t width;
    float scale;
    /* Above 0: the rows of each head of this width are written as rotary pairs (2i, 2i + 1). */
    int64_t pair_width;
} ExportTensor;

typedef Status ExportAppend(void *writer, const void *data, size_t bytes, Err *err);

/* Hands all bytes of the tensor to `append`, in order. Fails on values that the type cannot hold.
 */
Status export_tensor(const ExportTensor *tensor, ExportAppend *append, void *writer, Err *err);

#endif
