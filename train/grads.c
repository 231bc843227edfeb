#include "train/grads.h"

#include <stdlib.h>

#include "core/base/mem.h"

enum { ALIGN = MEM_ALIGN / (int)sizeof(float) };

typedef struct Collect {
    Grads *grads;
    int64_t capacity;
    int64_t used; /* elements of `flat` */
} Collect;

static Status collect(void *context, const ParamRef *ref, Err *err)
{
    (void)err;
    Collect *job = context;
    Grads *grads = job->grads;
    if (ref->param->frozen)
        return STATUS_OK;
    grads->items = mem_grow(grads->items, &job->capacity, grads->n_items + 1, sizeof *grads->items);
    TrainedParam *item = &grads->items[grads->n_items++];
    *item = (TrainedParam){.path = xstrdup(ref->path), .param = ref->param};
    item->grad = ref->param->master;
    item->grad.data = NULL;
    item->decay = ref->info.decay;
    item->offset = job->used;
    item->layer = ref->layer;
    int64_t count = tensor_count(&item->grad);
    grads->count += count;
    job->used += (count + ALIGN - 1) / ALIGN * ALIGN;
    int64_t reach = ref->layer < 0 ? 0 : ref->layer;
    if (reach < grads->lowest)
        grads->lowest = reach;
    return STATUS_OK;
}

static Tensor place_of(const Grads *grads, const Param *param)
{
    for (int64_t i = 0; i < grads->n_items; i++)
        if (grads->items[i].param == param)
            return grads->items[i].grad;
    return (Tensor){0};
}

static void index_by_layer(Grads *grads, const Model *model)
{
    for (int64_t l = 0; l < model->config.n_layers; l++) {
        const Block *block = &model->blocks[l];
        BlockGrads *own = &grads->blocks[l];
        for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
            own->params[i] = place_of(grads, &block->params[i]);
            own->lora_a[i] = place_of(grads, &block->lora_a[i]);
            own->lora_b[i] = place_of(grads, &block->lora_b[i]);
        }
    }
    for (int i = 0; i < HEAD_PARAM_COUNT; i++)
        grads->head[i] = place_of(grads, &model->head[i]);
    grads->embedding = place_of(grads, &model->embedding);
    /* A tied head's weight is the table: its gradient adds to the table's. */
    if (model->config.tied_head)
        grads->head[HEAD_HEAD] = grads->embedding;
}

Status grads_new(Grads **out, Model *model, bool measure, Err *err)
{
    Grads *grads = xcalloc(1, sizeof *grads);
    *out = NULL;
    grads->model = model;
    grads->lowest = model->config.n_layers;
    grads->blocks = xcalloc((size_t)model->config.n_layers, sizeof *grads->blocks);
    Collect job = {.grads = grads};
    Status status = model_visit(model, collect, &job, err);
    grads->flat = tensor_1d(NULL, DTYPE_F32, job.used);
    if (status == STATUS_OK && grads->n_items == 0)
        status = err_set(err, "nothing trains: choose at least one of embedding, newest, head, "
                              "lora and all");
    if (status == STATUS_OK && !measure)
        status = device_tensor(&model->device, &grads->flat, "gradients", err);
    if (status != STATUS_OK) {
        grads_free(grads);
        return status;
    }
    for (int64_t i = 0; i < grads->n_items && !measure; i++) {
        Tensor piece = tensor_slice(&grads->flat, grads->items[i].offset, 1);
        grads->items[i].grad.data = piece.data;
    }
    if (!measure)
        model->device.ops->zero(model->device.queue, grads->flat.data, tensor_bytes(&grads->flat));
    index_by_layer(grads, model);
    *out = grads;
    return STATUS_OK;
}

void grads_free(Grads *grads)
{
    if (!grads)
        return;
    for (int64_t i = 0; i < grads->n_items; i++)
        free(grads->items[i].path);
    if (grads->flat.data)
        grads->model->device.ops->free(grads->flat.data);
    free(grads->items);
    free(grads->blocks);
    free(grads);
}
