#include "core/tensor/backend.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/plugin.h"

enum { BACKENDS_MAX = 8 };

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
        !b->zero || !b->adopt || !b->loss_scratch)
        return "a memory function";
    if (!b->queue_new || !b->queue_free || !b->queue_wait || !b->event_new || !b->event_free ||
        !b->event_record || !b->event_wait || !b->queue_fail != b->synchronous ||
        !b->timer_new != b->synchronous || !b->timer_seconds != b->synchronous)
        return "a queue or event function";
    if (!b->worker != !b->require)
        return "a function of libraries";
    int graphs =
        !b->capture_begin + !b->capture_end + !b->graph_launch + !b->graph_free + !b->graph_stale;
    if (graphs != 0 && graphs != 5)
        return "a graph function";
#define CAMBIUM_OP_HOLE(name, Args, f32, bf16)                                                     \
    if (!b->name)                                                                                  \
        return #name;
    CAMBIUM_OPS(CAMBIUM_OP_HOLE)
#undef CAMBIUM_OP_HOLE
    return NULL;
}

static const Backend *find(const char *name)
{
    for (int i = 0; i < n_backends; i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i];
    return NULL;
}

/* Opens the plug-in of the backend `name` and registers what it gives. It may refuse (no GPU, an
 * old driver). */
static Status open_plugin(const char *name, Err *err)
{
    char file[64];
    snprintf(file, sizeof file, "cambium_%s.so", name);
    BackendEntry *entry;
    void *symbol = plugin_symbol(file, "cambium_backend", err);
    if (!symbol)
        return STATUS_FAIL;
    memcpy(&entry, &symbol, sizeof entry);
    const Backend *backend = entry(err);
    if (backend && backend->abi != BACKEND_ABI) {
        err_set(err, "%s was built for another version of this program: build both anew", file);
        backend = NULL;
    }
    if (!backend)
        return STATUS_FAIL;
    backend_register(backend);
    return STATUS_OK;
}

/* Whether the system has an NVIDIA driver: asked before "auto" opens the plug-in, whose libraries
 * take a tenth of a second to load. */
static bool nvidia_driver_present(void)
{
    return access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0 ||
           access("/dev/nvhost-ctrl", F_OK) == 0;
}

static Status open_locked(const char *name, const Backend **out, Err *err)
{
    Err reason = {.text = ""};
    bool any = strcmp(name, "auto") == 0;
    const char *wanted = any ? "cuda" : name;
    *out = find(wanted);
    if (!*out && (!any || nvidia_driver_present()) && strcmp(wanted, "cuda") == 0 &&
        open_plugin(wanted, &reason) == STATUS_OK)
        *out = find(wanted);
    if (!*out && any) {
        if (nvidia_driver_present())
            log_warn("the GPU is not used: %s", reason.text);
        *out = find("cpu");
    }
    if (*out)
        return STATUS_OK;
    if (strcmp(wanted, "cuda") == 0)
        return err_set(err, "no device 'cuda' here: %s; use --device cpu", reason.text);
    return err_usage(err, "no device '%s'; devices are auto, cpu and cuda", name);
}

Status backend_open(const char *name, const Backend **out, Err *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    Status status = open_locked(name, out, err);
    pthread_mutex_unlock(&lock);
    return status;
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

double device_free_bytes(const Device *device)
{
    size_t free_bytes, total;
    if (!device->ops->memory)
        return mem_free_bytes();
    device->ops->memory(&free_bytes, &total);
    return (double)free_bytes;
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
