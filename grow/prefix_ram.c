#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/mem.h"
#include "grow/prefix_store.h"

typedef struct RamStore {
    PrefixStore store;
    float *values; /* (windows, count) */
    size_t bytes;
    int64_t count;
} RamStore;

static Status ram_write(PrefixStore *store, int64_t window, const float *values, Err *err)
{
    (void)err;
    RamStore *ram = (RamStore *)store;
    memcpy(ram->values + window * ram->count, values, (size_t)ram->count * sizeof *values);
    return STATUS_OK;
}

static Status ram_read(PrefixStore *store, int64_t window, float *values, Err *err)
{
    (void)err;
    const RamStore *ram = (const RamStore *)store;
    memcpy(values, ram->values + window * ram->count, (size_t)ram->count * sizeof *values);
    return STATUS_OK;
}

static void ram_free(PrefixStore *store)
{
    RamStore *ram = (RamStore *)store;
    munmap(ram->values, ram->bytes);
    free(ram);
}

Status prefix_store_ram(PrefixStore **out, int64_t windows, int64_t count, Err *err)
{
    RamStore *ram = xcalloc(1, sizeof *ram);
    *ram = (RamStore){.store = {ram_write, ram_read, ram_free}, .count = count};
    ram->bytes = (size_t)(windows * count) * sizeof *ram->values;
    ram->values =
        mmap(NULL, ram->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram->values == MAP_FAILED) {
        err_set(err,
                "no memory for the cached prefix of %lld windows: %.1f GB (%s); keep it in a file "
                "(--cache-prefix disk)",
                (long long)windows, (double)ram->bytes / 1e9, strerror(errno));
        free(ram);
        return STATUS_FAIL;
    }
    *out = &ram->store;
    return STATUS_OK;
}
