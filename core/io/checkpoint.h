/* Model files: one or more experts over one or more tables, with everything needed to run, merge,
 * grow or resume them.
 *
 *   /meta                   format, kind "model", experts (name, config, history), merge, table
 *   /tokenizer              see tokenizer_io.h
 *   /embedding              the table, unless it was left out and is found by its hash
 *   /pictures/...           what brings its rows back to pictures, see picture_basis.h
 *   /experts/0/blocks/3/attn_q, /experts/0/final_norm, ...   float32 or bfloat16, (out, in)
 *   /adapter/w1, b1, w2, b2                                  of the rule `adapter`
 *
 * Experts read /embedding, or the table of an expert behind the first: /experts/1/embedding. A
 * frozen parameter has the attribute `frozen`: the SHA-256 of its float32 values when it froze.
 * Callers add datasets of their own (/optimizer, /loader, /rng). Neither saving nor loading holds
 * more than the model and one slab of 16 MB. */
#ifndef CAMBIUM_CORE_IO_CHECKPOINT_H
#define CAMBIUM_CORE_IO_CHECKPOINT_H

#include "core/io/table.h"
#include "core/model/context_extension.h"
#include "core/model/ensemble.h"
#include "core/model/shard.h"

/* ---- what a file says of itself ------------------------------------------------------------- */

typedef struct CheckpointExpert {
    char *name; /* owned */
    ModelConfig config;
    json_t *history;  /* a list of stages, as the trainer wrote them; borrowed */
    int64_t table_of; /* the expert whose table it reads, at most its own number */
    TableInfo table;  /* its own, when it has one and is not the first */
} CheckpointExpert;

typedef struct CheckpointInfo {
    int64_t n_experts;
    CheckpointExpert *experts; /* owned */
    MergeRule rule;
    float *weights; /* (n_experts) or NULL: equal; owned */
    float forget;
    int64_t adapter_top, adapter_hidden; /* 0: no adapter */
    TableInfo table;                     /* of the first expert */
    json_t *meta; /* the whole document, which histories and the recipe are borrowed from; owned;
                     NULL in an info that was filled by hand */
} CheckpointInfo;

Status checkpoint_info_read(const Container *container, CheckpointInfo *info, Err *err);
/* The same from /meta's document, which is taken, also when this fails; `where` names it. */
Status checkpoint_info_parse(json_t *meta, const char *where, CheckpointInfo *info, Err *err);
void checkpoint_info_clear(CheckpointInfo *info);
/* What the file says of every expert becomes what is loaded with the extension. */
Status checkpoint_info_extend(CheckpointInfo *info, const ContextExtension *extension, Err *err);
/* The table that an expert reads, and where the table of an expert is; the caller frees the path.
 */
const TableInfo *checkpoint_table(const CheckpointInfo *info, int64_t expert);
char *checkpoint_table_path(int64_t owner);
/* /meta for a file that is put together by hand (merging); the caller owns it. */
json_t *checkpoint_meta_json(const CheckpointInfo *info);

/* Copies every dataset of an expert but a table as it is, its attributes included. */
Status checkpoint_copy_expert(ContainerWriter *writer, int64_t expert, const Container *from,
                              int64_t from_expert, Err *err);
/* Writes the adapter's tensors of `n_experts` experts. */
Status checkpoint_put_adapter(ContainerWriter *writer, const MergeAdapter *adapter,
                              int64_t n_experts, Err *err);

/* ---- loading -------------------------------------------------------------------------------- */

typedef struct LoadOptions {
    const Device *device;    /* backend and queue must outlive the ensemble */
    DType compute;           /* DTYPE_F32 or DTYPE_BF16 */
    DType weights;           /* `compute`, or DTYPE_I8: matrices are quantised while loading */
    bool train;              /* masters are kept, nothing is mapped, and frozen values are compared
                                with their hashes */
    const ShardPlan *shards; /* the part of every parameter to load; NULL: whole models. Not with
                                `train` */
    const char *table;       /* where the table is when the file left it out, or NULL */
    const ContextExtension *extension; /* of every expert's context, or NULL. Not with `train` */
} LoadOptions;

/* The model or models of a file. Weights whose stored type is the wanted one stay in the mapped
 * file where the device can read them. `tokenizer` may be NULL when it is not wanted. The caller
 * frees both. */
Status ensemble_load(Ensemble **out, Tokenizer **tokenizer, const char *path,
                     const LoadOptions *options, Err *err);

/* The same from an open container, which (unless `options->train`) must outlive the ensemble. */
Status ensemble_read(Ensemble **out, const Container *container, const LoadOptions *options,
                     Err *err);

/* The only expert of an ensemble, taken out of it; the ensemble is freed. Fails when there are
 * several, naming `path`. */
Status ensemble_take_model(Ensemble *ensemble, const char *path, Model **out, Err *err);

/* ---- saving --------------------------------------------------------------------------------- */

typedef struct CheckpointSave {
    const char *path;
    const Ensemble *ensemble; /* a bare model: an Ensemble of one on the stack */
    const TokenizerSpec *tokenizer;
    json_t *const *histories; /* (n_experts) lists, or NULL: empty ones */
    const json_t *recipe;     /* of the table, or NULL */
    bool leave_out_table;     /* /meta keeps its hash and recipe; not for learned tables */
    DType dtype;              /* of matrices: DTYPE_F32 (everything exact) or DTYPE_BF16 */
    /* The file that this model came from, and what checkpoint_keep_frozen wrote; or NULL. Frozen
     * parameters are copied from there as they are stored, whatever their type. */
    const Container *base, *kept;
    /* The file whose account of its pictures goes with a stored table, or NULL. */
    const Container *pictures;
    /* Writes datasets of the caller's, or NULL. */
    Status (*extra)(void *context, ContainerWriter *writer, Err *err);
    void *context;
} CheckpointSave;

Status checkpoint_save(const CheckpointSave *save, Err *err);

/* Writes the frozen values whose masters are about to be released and that `base` (or NULL) does
 * not have, such as those of a new block that does not train, to a file of no name beside `path`;
 * it is gone when `*kept` is closed. NULL: `base` has all. */
Status checkpoint_keep_frozen(Container **kept, const char *path, Model *model,
                              const Container *base, Err *err);

#endif
