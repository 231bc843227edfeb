/* A model in memory: parameters per block, so that growing appends a block and freezing sets a
 * flag. A Model belongs to one rank; functions are not thread-safe on the same Model. */
#ifndef CAMBIUM_CORE_MODEL_MODEL_H
#define CAMBIUM_CORE_MODEL_MODEL_H

#include "core/model/params.h"
#include "core/tensor/backend.h"

/* The table that turns ids into vectors: (V, n_embed) float32, bfloat16 or uint8 on the device. */
typedef struct Substrate {
    Tensor table;
    char hash[SHA256_TEXT]; /* of the float32 values */
    bool owned;             /* `table.data` is released with the model */
} Substrate;

/* Parameters that live and die together. `weights` holds what forward reads: matrices of the
 * weight type and vectors in float32. `masters` holds the float32 masters of bfloat16 matrices, and
 * may be released when the block is frozen (in float32 the weights are the masters). */
typedef struct ParamMemory {
    void *weights;
    void *masters;
} ParamMemory;

typedef struct Block {
    Param params[BLOCK_PARAM_COUNT];
    Param lora_a[BLOCK_PARAM_COUNT]; /* present for matrices when lora_rank > 0 */
    Param lora_b[BLOCK_PARAM_COUNT];
    ParamMemory memory;
    ParamMemory lora_memory;
} Block;

typedef struct ModelOptions {
    const Device *device;           /* copied; backend and queue must outlive the model */
    DType compute;                  /* DTYPE_F32 or DTYPE_BF16: activations and products */
    DType weights;                  /* of matrices: `compute`, or DTYPE_I8 for decoding only */
    bool masters;                   /* keep float32 masters of bfloat16 matrices: for training */
    bool unallocated;               /* parameters have shapes but no memory yet: the loader points
                                       `weight.data` (and `scales.data`) at memory that outlives the model
                                       (see `backing`), or calls model_allocate */
    int64_t tied_begin, tied_count; /* the table's rows that a tied head reads; count 0: all */
    const Substrate *shared; /* read this table, which must outlive the model; NULL: own one */
} ModelOptions;

typedef struct Model {
    ModelConfig config;
    Device device;
    DType compute;
    DType weights;
    bool masters;
    Substrate substrate;
    Param embedding; /* a learned table: master and weight are substrate.table; else absent */
    ParamMemory embedding_memory;
    Block *blocks;                /* (config.n_layers) */
    Param head[HEAD_PARAM_COUNT]; /* a tied head's weight is the table, or its copy of compute type
                                     when the types differ; its master stays absent */
    ParamMemory head_memory;
    ParamMemory tied_memory;
    int64_t tied_begin, tied_count; /* rows of the table that a tied head reads */
    Tensor inv_freq;                /* (head_dim / 2) float32 */
    void *backing;                  /* a mapped file that unallocated weights point into; owned */
    void (*backing_free)(void *backing);
} Model;

/* A model of `config.n_layers` blocks whose values are not set. Frozen kinds of embedding start
 * without a table unless `shared`: give it with model_take_table. */
Status model_new(Model **out, const ModelConfig *config, const ModelOptions *options, Err *err);
void model_free(Model *model);

/* Memory for all parameters that have none. */
Status model_allocate(Model *model, Err *err);

/* The table of a frozen embedding, (V, n_embed); taken over when `substrate.owned`. A tied head's
 * copy is made here. */
Status model_take_table(Model *model, const Substrate *substrate, Err *err);

/* ---- values ------------------------------------------------------------------------------------
 * Rows of a vector are its elements. Values go to the master and to the weight (rounded, or
 * quantised), and come from the master where there is one. */

/* Sets rows [begin, begin + count) from host memory of type float32 or bfloat16. */
Status model_write_rows(Model *model, Param *param, int64_t begin, int64_t count, const void *host,
                        DType dtype, Err *err);
/* Reads rows as float32. Fails for int8 weights without a master. */
Status model_read_rows(const Model *model, const Param *param, int64_t begin, int64_t count,
                       float *host, Err *err);
/* Refreshes the weight of a parameter from its master. */
void model_refresh(Model *model, Param *param);

typedef enum BlockStart { BLOCK_START_RANDOM = 0, BLOCK_START_IDENTITY = 1 } BlockStart;

/* Sets the values of one block (its LoRA pairs included), or of the head, from their starts. The
 * numbers depend on (seed, layer, parameter) alone, except that output projections are scaled by
 * the number of layers. */
Status model_start_block(Model *model, int64_t layer, BlockStart start, uint64_t seed, Err *err);
Status model_start_head(Model *model, uint64_t seed, Err *err);
Status model_start_embedding(Model *model, uint64_t seed, Err *err); /* learned tables */

/* ---- growth --------------------------------------------------------------------------------- */

/* Appends `count` blocks; their values must then be set. */
Status model_add_blocks(Model *model, int64_t count, Err *err);
/* Gives every block LoRA pairs, set to their starts (B zero: the model stays what it was). */
Status model_add_lora(Model *model, int64_t rank, double alpha, uint64_t seed, Err *err);
/* W += alpha / rank * B A in every matrix, which no longer counts as frozen; then drops the pairs.
 * All masters must be there. */
Status model_fold_lora(Model *model, Err *err);

/* ---- visiting and freezing ------------------------------------------------------------------ */

/* Calls `visit` for every parameter that exists, in file order, with its path below the expert:
 * "embedding" (when learned), "blocks/3/attn_q", "blocks/3/attn_q_lora_a", "final_norm", "head".
 * A tied head has no "head". */
typedef enum LoraSide { LORA_NONE = 0, LORA_A = 1, LORA_B = 2 } LoraSide;
typedef struct ParamRef {
    const char *path;
    ParamInfo info;
    Param *param;
    int64_t layer; /* -1: embedding; n_layers: head and final norm */
    int which;     /* BlockParam or HeadParam */
    LoraSide lora;
} ParamRef;
typedef Status ParamVisitor(void *context, const ParamRef *ref, Err *err);
Status model_visit(Model *model, ParamVisitor *visit, void *context, Err *err);

/* SHA-256 of a parameter's values: of the master in float32, or (`weight`) of the bytes that
 * forward reads. */
Status model_param_hash(const Model *model, const Param *param, bool weight, Sha256 *out, Err *err);

/* What trains; everything else is frozen. */
typedef struct TrainSet {
    bool embedding;                 /* a learned table */
    bool head;                      /* with the final norm */
    bool lora;                      /* all LoRA pairs */
    int64_t block_begin, block_end; /* blocks [begin, end) with all their own parameters */
} TrainSet;

/* Sets `frozen` everywhere; parameters that freeze now get their hashes. Fails when a parameter is
 * to train whose master is gone: load the model again. */
Status model_mark_trained(Model *model, const TrainSet *set, Err *err);
/* Releases the masters that nothing trains any more. A checkpoint writer then copies those values
 * from a file that has them (checkpoint_keep_frozen). */
void model_release_masters(Model *model);
/* Both, for values that are in a file, or are never saved. */
Status model_set_trained(Model *model, const TrainSet *set, Err *err);

/* Fails with the name of the first frozen parameter whose values are not what they were. */
Status model_check_frozen(Model *model, Err *err);

#endif
