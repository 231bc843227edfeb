#include "grow/prefix_cache.h"

#include <stdlib.h>

#include "core/base/mem.h"

struct PrefixKeeper {
    Device device;
    PrefixStore *store;
    float *values; /* one window on its way between store and device */
    size_t window_bytes;
    bool *known; /* (windows) */
};

Status prefix_keeper_new(PrefixKeeper **out, const Device *device, PrefixStore *store,
                         int64_t windows, int64_t context, int64_t d_model, Err *err)
{
    PrefixKeeper *keeper = xcalloc(1, sizeof *keeper);
    *keeper = (PrefixKeeper){.device = *device, .store = store};
    keeper->window_bytes = (size_t)(context * d_model) * sizeof *keeper->values;
    void *values = NULL;
    Status status = mem_try(&values, keeper->window_bytes, "a window of the cached prefix", err);
    keeper->values = values;
    keeper->known = xcalloc((size_t)windows, sizeof *keeper->known);
    if (status != STATUS_OK) {
        prefix_keeper_free(keeper);
        return status;
    }
    *out = keeper;
    return STATUS_OK;
}

void prefix_keeper_free(PrefixKeeper *keeper)
{
    if (!keeper)
        return;
    keeper->store->free(keeper->store);
    free(keeper->values);
    free(keeper->known);
    free(keeper);
}

static Status get(void *context, const int64_t *windows, int64_t rows, const Tensor *x, bool *found,
                  Err *err)
{
    PrefixKeeper *k = context;
    *found = false;
    for (int64_t r = 0; r < rows; r++)
        if (!k->known[windows[r]])
            return STATUS_OK;
    for (int64_t r = 0; r < rows; r++) {
        TRY(k->store->read(k->store, windows[r], k->values, err));
        k->device.ops->upload(k->device.queue, (char *)x->data + (size_t)r * k->window_bytes,
                              k->values, k->window_bytes);
        TRY(k->device.ops->queue_wait(k->device.queue, err)); /* values are used again */
    }
    *found = true;
    return STATUS_OK;
}

static Status put(void *context, const int64_t *windows, int64_t rows, const Tensor *x, Err *err)
{
    PrefixKeeper *k = context;
    for (int64_t r = 0; r < rows; r++) {
        if (k->known[windows[r]])
            continue;
        k->device.ops->download(k->device.queue, k->values,
                                (const char *)x->data + (size_t)r * k->window_bytes,
                                k->window_bytes);
        TRY(k->device.ops->queue_wait(k->device.queue, err));
        TRY(k->store->write(k->store, windows[r], k->values, err));
        k->known[windows[r]] = true;
    }
    return STATUS_OK;
}

PrefixCache prefix_keeper_cache(PrefixKeeper *keeper)
{
    return (PrefixCache){.context = keeper, .get = get, .put = put};
}
