#include "train/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

enum { PIECE = 1 << 20 }; /* values on the host at a time: whole slices of a container */

struct Optimizer {
    Model *model;
    const Grads *grads;
    AdamwConfig config;
    Tensor m, v;        /* float32, laid out like grads->flat */
    Tensor norm, clip;  /* (1) float32 */
    Tensor found;       /* (1) int32 */
    AdamwItem *items;   /* (grads->n_items) */
    Tensor *grad_items; /* the same gradients, for the norm */
    int64_t step;
    char found_name[128];
};

AdamwConfig adamw_default(void)
{
    return (AdamwConfig){
        .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .clip = 1.0};
}

size_t optimizer_bytes(const Grads *grads)
{
    return 2 * tensor_bytes(&grads->flat);
}

/* The part of a flat tensor that belongs to a parameter. */
static Tensor part(const Tensor *whole, const TrainedParam *item)
{
    Tensor piece = tensor_slice(whole, item->offset, tensor_count(&item->grad));
    Tensor shaped = item->grad;
    shaped.data = piece.data;
    return shaped;
}

static void make_items(Optimizer *o)
{
    const Grads *grads = o->grads;
    for (int64_t i = 0; i < grads->n_items; i++) {
        const TrainedParam *from = &grads->items[i];
        const Param *param = from->param;
        AdamwItem *item = &o->items[i];
        *item = (AdamwItem){.param = param->master,
                            .grad = from->grad,
                            .m = part(&o->m, from),
                            .v = part(&o->v, from)};
        item->weight_decay = from->decay ? (float)o->config.weight_decay : 0.0f;
        if (param->weight.data != param->master.data)
            item->copy = param->weight;
        /* The head of a tied model reads a copy of the table that trains. */
        if (param == &o->model->embedding && o->model->config.tied_head &&
            o->model->head[HEAD_HEAD].weight.data != param->master.data)
            item->copy = o->model->head[HEAD_HEAD].weight;
        o->grad_items[i] = from->grad;
    }
}

Status optimizer_new(Optimizer **out, Model *model, const Grads *grads, const AdamwConfig *config,
                     Err *err)
{
    const Device *device = &model->device;
    Optimizer *o = xcalloc(1, sizeof *o);
    *out = NULL;
    o->model = model;
    o->grads = grads;
    o->config = *config;
    o->m = o->v = grads->flat;
    o->m.data = o->v.data = NULL;
    o->norm = o->clip = tensor_1d(NULL, DTYPE_F32, 1);
    o->found = tensor_1d(NULL, DTYPE_I32, 1);
    Tensor *const tensors[] = {&o->m, &o->v, &o->norm, &o->clip, &o->found};
    for (int i = 0; i < 5; i++) {
        if (device_tensor(device, tensors[i], "the optimizer's moments", err) != STATUS_OK) {
            optimizer_free(o);
            return STATUS_FAIL;
        }
        device->ops->zero(device->queue, tensors[i]->data, tensor_bytes(tensors[i]));
    }
    o->items = xcalloc((size_t)grads->n_items, sizeof *o->items);
    o->grad_items = xcalloc((size_t)grads->n_items, sizeof *o->grad_items);
    make_items(o);
    *out = o;
    return STATUS_OK;
}

void optimizer_free(Optimizer *o)
{
    if (!o)
        return;
    Tensor *const tensors[] = {&o->m, &o->v, &o->norm, &o->clip, &o->found};
    for (int i = 0; i < 5; i++)
        if (tensors[i]->data)
            o->model->device.ops->free(tensors[i]->data);
    free(o->items);
    free(o->grad_items);
    free(o);
}

Status optimizer_step(Optimizer *o, double lr, double *norm, Err *err)
{
    const Device *device = &o->model->device;
    GradNormArgs measure = {.items = o->grad_items,
                            .n_items = o->grads->n_items,
                            .max_norm = (float)o->config.clip,
                            .norm = o->norm,
                            .clip = o->clip};
    device->ops->grad_norm(device->queue, &measure);
    float host = 0.0f;
    TRY(device_download(device, &o->norm, &host, err));
    *norm = (double)host;
    if (!isfinite(host))
        return STATUS_OK;
    AdamwArgs args = {.items = o->items,
                      .n_items = o->grads->n_items,
                      .lr = (float)lr,
                      .beta1 = (float)o->config.beta1,
                      .beta2 = (float)o->config.beta2,
                      .eps = (float)o->config.eps,
                      .step = ++o->step};
    if (o->config.clip > 0.0)
        args.grad_scale = o->clip;
    device->ops->adamw(device->queue, &args);
    return STATUS_OK;
}

const char *optimizer_find_non_finite(Optimizer *o, Err *err)
{
    const Device *device = &o->model->device;
    for (int grads = 0; grads < 2; grads++)
        for (int64_t i = 0; i < o->grads->n_items; i++) {
            const TrainedParam *item = &o->grads->items[i];
            NonFiniteArgs args = {.x = grads ? item->grad : item->param->master, .out = o->found};
            device->ops->non_finite(device->queue, &args);
            int32_t found = 0;
            if (device_download(device, &o->found, &found, err) != STATUS_OK)
                return NULL;
            if (found) {
                snprintf(o->found_name, sizeof o->found_name, "%s%s", grads ? "gradient of " : "",
                         item->path);
                return o->found_name;
            }
        }
    return NULL;
}

/* ---- checkpoints ---------------------------------------------------------------------------- */

/* Moments go to the file and back in pieces: the largest matrix would otherwise be in memory once
 * more just when everything else is. */
static Status put_tensor(const Device *device, ContainerWriter *writer, const char *path,
                         const Tensor *values, float *piece, Err *err)
{
    TRY(container_begin(writer, path, values, err));
    int64_t count = tensor_count(values);
    Tensor flat = tensor_1d(values->data, DTYPE_F32, count);
    for (int64_t at = 0; at < count; at += PIECE) {
        Tensor slice = tensor_slice(&flat, at, count - at < PIECE ? count - at : PIECE);
        TRY(device_download(device, &slice, piece, err));
        TRY(container_append(writer, piece, tensor_bytes(&slice), err));
    }
    return container_end(writer, err);
}

static Status put_moments(const Optimizer *o, ContainerWriter *writer, const char *kind,
                          const Tensor *moments, Err *err)
{
    float *piece = xmalloc(PIECE * sizeof *piece);
    Status status = STATUS_OK;
    for (int64_t i = 0; i < o->grads->n_items && status == STATUS_OK; i++) {
        const TrainedParam *item = &o->grads->items[i];
        Tensor values = part(moments, item);
        char *path = xasprintf("/optimizer/%s/%s", kind, item->path);
        status = put_tensor(&o->model->device, writer, path, &values, piece, err);
        free(path);
    }
    free(piece);
    return status;
}

Status optimizer_put(const Optimizer *o, ContainerWriter *writer, Err *err)
{
    TRY(put_moments(o, writer, "m", &o->m, err));
    return put_moments(o, writer, "v", &o->v, err);
}

static Status read_tensor(const Device *device, const Container *container, const char *path,
                          const Tensor *values, Err *err)
{
    const void *stored;
    TRY(container_map_as(container, path, values, &stored, err));
    TRY(device_upload(device, values, stored, err));
    container_drop(container, path);
    return STATUS_OK;
}

static Status read_moments(Optimizer *o, const Container *container, const char *kind,
                           const Tensor *moments, Err *err)
{
    for (int64_t i = 0; i < o->grads->n_items; i++) {
        const TrainedParam *item = &o->grads->items[i];
        Tensor values = part(moments, item);
        char *path = xasprintf("/optimizer/%s/%s", kind, item->path);
        Status status = read_tensor(&o->model->device, container, path, &values, err);
        free(path);
        TRY(status);
    }
    return STATUS_OK;
}

Status optimizer_read(Optimizer *o, const Container *container, int64_t step, Err *err)
{
    TRY(read_moments(o, container, "m", &o->m, err));
    TRY(read_moments(o, container, "v", &o->v, err));
    o->step = step;
    return STATUS_OK;
}
