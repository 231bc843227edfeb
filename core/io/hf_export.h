/* Model files as folders that Hugging Face's `transformers` loads: model.safetensors, config.json,
 * tokenizer.json and tokenizer_config.json (with the chat template). Single models of the Llama
 * family load as they are; all others come with modeling_cambium.py (trust_remote_code). LoRA pairs
 * are folded. */
#ifndef CAMBIUM_CORE_IO_HF_EXPORT_H
#define CAMBIUM_CORE_IO_HF_EXPORT_H

#include "core/io/block_type.h"
#include "core/io/checkpoint.h"

typedef struct HfExport {
    const char *path; /* the model file */
    const char *
        folder; /* made when it is not there; an earlier export is replaced, another model is not */
    const char *table; /* where the table is when the file left it out, or NULL */
    const Device *device;
    BlockType type; /* of matrices and the table: BLOCK_F32, BLOCK_F16 or BLOCK_BF16 */
} HfExport;

/* `*architecture` receives the name of the class that loads the folder. */
Status hf_export(const HfExport *args, const char **architecture, Err *err);

#endif
