#include "grow/prefix_ram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/mem.h"

struct PrefixRam {
    Device device;
    char *data; /* (windows, context, d_model) float32 */
    size_t bytes, window_bytes;
    bool *known; /* (windows) */
    int64_t windows;
};

Status prefix_ram_new(PrefixRam **out, const Device *device, int64_t windows, int64_t context,
                      int64_t d_model, Err *err)
{
    PrefixRam *ram = xcalloc(1, sizeof *ram);
    *ram = (PrefixRam){.device = *device, .windows = windows};
    ram->window_bytes = (size_t)(context * d_model) * sizeof(float);
    ram->bytes = (size_t)windows * ram->window_bytes;
    ram->data = mmap(NULL, ram->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram->data == MAP_FAILED) {
        err_set(err,
                "no memory for the cached prefix of %lld windows: %.1f GB (%s); drop "
                "--cache-prefix",
                (long long)windows, (double)ram->bytes / 1e9, strerror(errno));
        free(ram);
        return STATUS_FAIL;
    }
    ram->known = xcalloc((size_t)windows, sizeof *ram->known);
    *out = ram;
    return STATUS_OK;
}

void prefix_ram_free(PrefixRam *ram)
{
    if (!ram)
        return;
    munmap(ram->data, ram->bytes);
    free(ram->known);
    free(ram);
}

static bool get(void *context, const int64_t *windows, int64_t rows, const Tensor *x)
{
    PrefixRam *ram = context;
    for (int64_t r = 0; r < rows; r++)
        if (!ram->known[windows[r]])
            return false;
    for (int64_t r = 0; r < rows; r++)
        ram->device.ops->upload(ram->device.queue, (char *)x->data + (size_t)r * ram->window_bytes,
                                ram->data + (size_t)windows[r] * ram->window_bytes,
                                ram->window_bytes);
    return true;
}

static void put(void *context, const int64_t *windows, int64_t rows, const Tensor *x)
{
    PrefixRam *ram = context;
    for (int64_t r = 0; r < rows; r++) {
        ram->device.ops->download(
            ram->device.queue, ram->data + (size_t)windows[r] * ram->window_bytes,
            (char *)x->data + (size_t)r * ram->window_bytes, ram->window_bytes);
        ram->known[windows[r]] = true;
    }
    Err err; /* a device that failed says so at the step's own wait */
    (void)ram->device.ops->queue_wait(ram->device.queue, &err);
}

PrefixCache prefix_ram_cache(PrefixRam *ram)
{
    return (PrefixCache){.context = ram, .get = get, .put = put};
}
