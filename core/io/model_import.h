/* Writing a model file from weights that lie in another program's file: tensor by tensor, so that
 * nothing is in memory as a whole. The readers of formats say where each parameter is. */
#ifndef CAMBIUM_CORE_IO_MODEL_IMPORT_H
#define CAMBIUM_CORE_IO_MODEL_IMPORT_H

#include "core/io/checkpoint.h"
#include "core/io/block_type.h"

typedef struct ImportTensor {
    const void *data; /* row-major, of the parameter's shape; need not be aligned */
    BlockType type;
    /* Above 0: the rows of each head of this width are ordered as rotary pairs (2i, 2i + 1); they
     * are written in half-split order (i, i + width / 2). */
    int64_t pair_width;
} ImportTensor;

typedef struct ImportModel {
    const char *path; /* of the file to write */
    /* For errors: the files that say the configuration and the vocabulary. */
    const char *config_file, *tokenizer_file;
    const CheckpointInfo *info; /* what /meta is to say; the table's width is the experts' */
    const TokenizerSpec *tokenizer;
    int64_t picture_side, pictures_kept; /* of the table's pictures (picture_basis.h), or 0 */
    /* Finds "embedding", "blocks/3/attn_q", "final_norm", "head", ... of an expert, and
     * "adapter/w1", "pictures/mean" and so on (of expert 0), of the given shape. */
    Status (*find)(void *context, int64_t expert, const char *param, const Tensor *shape,
                   ImportTensor *out, Err *err);
    void *context;
} ImportModel;

/* What /meta says of one model with a learned table. `format` ("llama2.c") goes into its history;
 * `name` is for people. Cleared with checkpoint_info_clear. */
void import_info_init(CheckpointInfo *info, const ModelConfig *config, const char *name,
                      const char *format);

/* bfloat16 stays what it is; all other types become float32. Fails, with the parameter's name, on
 * values that are not finite. */
Status model_import(const ImportModel *import, Err *err);

/* The readers of formats. `tokenizer` is the path of a vocabulary, or NULL: the one that lies
 * beside the model, where the format has one. */
Status llama2c_import(const char *path, const char *tokenizer, const char *out, Err *err);
Status hf_import(const char *path, const char *tokenizer, const char *out, Err *err);
Status gguf_import(const char *path, const char *tokenizer, const char *out, Err *err);

#endif
