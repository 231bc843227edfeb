/* Gradients of what trains, and of nothing else: one float32 buffer with a place for every
 * parameter that is not frozen. Belongs to one rank. */
#ifndef CAMBIUM_TRAIN_GRADS_H
#define CAMBIUM_TRAIN_GRADS_H

#include "core/model/model.h"

typedef struct TrainedParam {
    char *path; /* "blocks/3/attn_q" */
    Param *param;
    Tensor grad;    /* shape of the master; inside Grads.flat */
    int64_t offset; /* of the first element in Grads.flat */
    int64_t layer;  /* -1: the embedding's; n_layers: the head's */
    bool decay;
} TrainedParam;

/* Gradients of one block; data NULL where frozen or absent. */
typedef struct BlockGrads {
    Tensor params[BLOCK_PARAM_COUNT];
    Tensor lora_a[BLOCK_PARAM_COUNT];
    Tensor lora_b[BLOCK_PARAM_COUNT];
} BlockGrads;

typedef struct Grads {
    const Model *model;
    Tensor flat; /* (n) float32: all gradients, padded to MEM_ALIGN; the padding stays zero */
    TrainedParam *items; /* in file order */
    int64_t n_items;
    int64_t count;  /* elements that train */
    int64_t lowest; /* the lowest block that backward reaches; n_layers: the head alone */
    BlockGrads *blocks;
    Tensor head[HEAD_PARAM_COUNT]; /* a tied head has none of its own */
    Tensor embedding;
} Grads;

/* Makes places for the parameters whose `frozen` is false. With `measure` nothing is allocated:
 * `flat` has its shape alone. */
Status grads_new(Grads **out, Model *model, bool measure, Err *err);
void grads_free(Grads *grads);

#endif
