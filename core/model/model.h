/* A model in memory: parameters per block, so that growing appends a block and freezing sets a
 * flag. A Model belongs to one rank; functions are not thread-safe on the same Model. */
#ifndef CAMBIUM_CORE_MODEL_MODEL_H
#define CAMBIUM_CORE_MODEL_MODEL_H

#include "core/model/params.h"
#include "core/tensor/backend.h"

/* The frozen table that models share: (V, n_embed) float32, bfloat16 or uint8 on the device. */
typedef struct Substrate {
    Tensor table;
    char hash[SHA256_TEXT]; /* of the float32 values */
} Substrate;

typedef struct Block {
    Param params[BLOCK_PARAM_COUNT];
    Param lora_a[BLOCK_PARAM_COUNT]; /* present for matrices when lora_rank > 0 */
    Param lora_b[BLOCK_PARAM_COUNT];
    void *memory; /* the block's one buffer of float32 masters, or NULL */
    void *copies; /* the block's one buffer of compute-type weights, or NULL */
} Block;

typedef struct Model {
    ModelConfig config;
    Device device;       /* borrowed */
    DType compute;       /* DTYPE_F32 or DTYPE_BF16; weights may be DTYPE_I8 when decoding */
    Substrate substrate; /* owned unless `shares_substrate`; a learned table is its master */
    bool shares_substrate;
    Block *blocks; /* (config.n_layers) */
    Param head[HEAD_PARAM_COUNT];
    void *head_memory;
    void *head_copies;
    Tensor inv_freq; /* (head_dim / 2) float32 */
} Model;

/* An empty model: `config.n_layers` blocks and the head allocated, values not set. `table` is taken
 * over when `shared` is NULL, else the model reads `shared` (which must outlive it). */
Status model_new(Model **out, const ModelConfig *config, const Device *device, DType compute,
                 const Substrate *shared, Err *err);
void model_free(Model *model);

typedef enum BlockStart { BLOCK_START_RANDOM = 0, BLOCK_START_IDENTITY = 1 } BlockStart;

/* Sets the values of one block, or of the head, from their starts. The numbers depend on (seed,
 * layer, parameter) alone. */
Status model_start_block(Model *model, int64_t layer, BlockStart start, uint64_t seed, Err *err);
Status model_start_head(Model *model, uint64_t seed, Err *err);
Status model_start_embedding(Model *model, uint64_t seed, Err *err); /* learned tables */

/* Appends `count` blocks (growth); their values must then be set. */
Status model_add_blocks(Model *model, int64_t count, Err *err);

/* Calls `visit` for every parameter that exists, in file order, with its path below the expert:
 * "blocks/3/attn_q", "final_norm", "head"; also "embedding" when the table is learned. */
typedef struct ParamRef {
    const char *path;
    ParamInfo info;
    Param *param;
    int64_t layer; /* -1: embedding; n_layers: head and final norm */
    bool is_lora;
} ParamRef;
typedef Status ParamVisitor(void *context, const ParamRef *ref, Err *err);
Status model_visit(Model *model, ParamVisitor *visit, void *context, Err *err);

/* Refreshes the compute-type copy of a parameter from its master. */
void model_refresh(Model *model, Param *param);

#endif
