/* Model files as GGUF, which llama.cpp and its relatives load: single models of the Llama family,
 * with their vocabulary and chat template. LoRA pairs are folded. */
#ifndef CAMBIUM_CORE_IO_GGUF_EXPORT_H
#define CAMBIUM_CORE_IO_GGUF_EXPORT_H

#include "core/io/block_type.h"
#include "core/tensor/backend.h"

typedef struct GgufExport {
    const char *path;  /* the model file */
    const char *out;   /* the file to write */
    const char *table; /* where the table is when the file left it out, or NULL */
    const Device *device;
    BlockType type; /* of matrices and the table: BLOCK_F32, BLOCK_F16, BLOCK_BF16 or BLOCK_Q8_0; a
                       matrix whose rows are no whole blocks becomes BLOCK_F16, with a warning */
} GgufExport;

/* `*architecture` receives GGUF's name of it: "llama", "qwen2". Fails on models of other shapes and
 * on vocabularies that the format cannot hold. */
Status gguf_export(const GgufExport *args, const char **architecture, Err *err);

#endif
