/* One pass over a micro-batch: forward, loss and, where wanted, the gradients of what trains.
 *
 * Backward starts at the head and ends at the lowest thing that trains. Blocks below that run
 * forward with one set of buffers and keep nothing; their output may come from a cache. All memory
 * is planned once by pass_new: pass_run allocates nothing. Belongs to one rank. */
#ifndef CAMBIUM_TRAIN_BACKWARD_H
#define CAMBIUM_TRAIN_BACKWARD_H

#include "core/model/forward.h"
#include "train/grads.h"

/* A source of the frozen prefix's output, x (rows * T, C) float32 on the device, by the identities
 * of the rows' windows (loader_next). Both functions are called on the rank's thread. */
typedef struct PrefixCache {
    void *context;
    /* Fills x when every row is known (`found`); else x is undefined. */
    Status (*get)(void *context, const int64_t *windows, int64_t rows, const Tensor *x, bool *found,
                  Err *err);
    /* Offers what was computed instead. */
    Status (*put)(void *context, const int64_t *windows, int64_t rows, const Tensor *x, Err *err);
} PrefixCache;

typedef struct Pass Pass;

/* (B, T) tokens at a time. `grads` NULL: losses only. Model and grads are borrowed. */
Status pass_new(Pass **out, const Model *model, const Grads *grads, int64_t batch, int64_t t,
                Err *err);
void pass_free(Pass *pass);
/* Bytes that pass_new would allocate (of a model and grads that need no memory). */
size_t pass_bytes(const Model *model, const Grads *grads, int64_t batch, int64_t t);

/* Called by a pass as soon as it will not touch the gradients of a layer again: n_layers for the
 * head's own, then block by block down to the lowest one reached, then -1 for the embedding's (a
 * tied head's matrix among them). They are final for later work of the queue. */
typedef Status PassReady(void *context, int64_t layer, Err *err);

typedef struct PassInput {
    const int32_t *ids;     /* (B, T), host */
    const int32_t *targets; /* (B, T), host; negative ones are ignored */
    bool backward;          /* wants gradients */
    bool accumulate;        /* adds them to what Grads holds, else overwrites that */
    float grad_scale;       /* multiplies every token's gradient: 1 / tokens of the step */
    Dropout dropout;
    const PrefixCache *prefix; /* or NULL; only used with `windows` */
    const int64_t *windows;    /* (B): identities of the rows, or NULL */
    PassReady *ready;          /* or NULL */
    void *ready_context;
} PassInput;

/* `loss`: sum of nats over the targets that count, `count` of them. */
Status pass_run(Pass *pass, const PassInput *input, double *loss, int64_t *count, Err *err);

/* The loss of every target of the last run, (B, T) on the host, borrowed until the next run. */
const float *pass_losses(const Pass *pass);

#endif
