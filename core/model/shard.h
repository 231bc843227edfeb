/* Parts of parameters: what one rank of a sharded decoder holds of each. */
#ifndef CAMBIUM_CORE_MODEL_SHARD_H
#define CAMBIUM_CORE_MODEL_SHARD_H

#include "core/model/model.h"

typedef enum ShardAxis {
    SHARD_WHOLE = 0,
    SHARD_ROWS,    /* rows [begin, begin + count) of a matrix, or elements of a vector */
    SHARD_COLUMNS, /* columns of a matrix */
    SHARD_NONE,    /* nothing: the parameter does not exist here */
} ShardAxis;

typedef struct Shard {
    ShardAxis axis;
    int64_t begin, count;
} Shard;

/* Says which part of a parameter of an expert this rank holds; a tied head is asked for as
 * HEAD_HEAD of layer n_layers and is SHARD_WHOLE or SHARD_ROWS. */
typedef struct ShardPlan {
    Shard (*part)(const void *context, int64_t expert, const ModelConfig *config,
                  const ParamRef *ref);
    const void *context;
} ShardPlan;

#endif
