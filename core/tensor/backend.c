#include "core/tensor/backend.h"

enum { BACKENDS_MAX = 4 };

static const Backend *backends[BACKENDS_MAX];
static int n_backends;

void backend_register(const Backend *backend)
{
    for (int i = 0; i < n_backends; i++)
        if (backends[i] == backend)
            return;
    CHECK(n_backends < BACKENDS_MAX, "more than %d backends", BACKENDS_MAX);
    CHECK(backend->abi == BACKEND_ABI, "backend %s has another ABI", backend->name);
    const char *hole = backend_hole(backend);
    CHECK(!hole, "backend %s lacks %s", backend->name, hole);
    backends[n_backends++] = backend;
}

const char *backend_hole(const Backend *b)
{
    if (!b->description || !b->alloc || !b->free || !b->upload || !b->download || !b->copy ||
        !b->zero || !b->adopt)
        return "a memory function";
    if (!b->queue_new || !b->queue_free || !b->queue_wait || !b->event_new || !b->event_free ||
        !b->event_record || !b->event_wait)
        return "a queue or event function";
#define CAMBIUM_OP_HOLE(name, Args, f32, bf16)                                                     \
    if (!b->name)                                                                                  \
        return #name;
    CAMBIUM_OPS(CAMBIUM_OP_HOLE)
#undef CAMBIUM_OP_HOLE
    return NULL;
}

Status backend_open(const char *name, const Backend **out, Err *err)
{
    bool any = strcmp(name, "auto") == 0;
    /* The last one registered is the fastest: plug-ins come after the CPU. */
    for (int i = n_backends - 1; i >= 0; i--) {
        if (any || strcmp(backends[i]->name, name) == 0) {
            *out = backends[i];
            return STATUS_OK;
        }
    }
    return err_set(err,
                   "no device '%s' here ('cambium info --devices' says what was found); use "
                   "--device cpu",
                   name);
}

Status device_open(Device *device, const char *name, Err *err)
{
    *device = (Device){0};
    TRY(backend_open(name, &device->ops, err));
    return device->ops->queue_new(&device->queue, err);
}

void device_close(Device *device)
{
    if (device->queue)
        device->ops->queue_free(device->queue);
    *device = (Device){0};
}

Status device_tensor(const Device *device, Tensor *tensor, const char *what, Err *err)
{
    return device->ops->alloc(&tensor->data, tensor_bytes(tensor), what, err);
}

Status device_download(const Device *device, const Tensor *tensor, void *host, Err *err)
{
    device->ops->download(device->queue, host, tensor->data, tensor_bytes(tensor));
    return device->ops->queue_wait(device->queue, err);
}

Status device_upload(const Device *device, const Tensor *tensor, const void *host, Err *err)
{
    device->ops->upload(device->queue, tensor->data, host, tensor_bytes(tensor));
    return device->ops->queue_wait(device->queue, err);
}
