/* Where the cached prefix of a stage is kept: an array of windows of equal size, each written once
 * and then read. What was not written reads as anything. One thread at a time. */
#ifndef CAMBIUM_GROW_PREFIX_STORE_H
#define CAMBIUM_GROW_PREFIX_STORE_H

#include <stdint.h>

#include "core/base/err.h"

typedef struct PrefixStore PrefixStore;
struct PrefixStore {
    Status (*write)(PrefixStore *store, int64_t window, const float *values, Err *err);
    Status (*read)(PrefixStore *store, int64_t window, float *values, Err *err);
    void (*free)(PrefixStore *store);
};

/* `windows` windows of `count` float32 values in memory, which is touched only as windows come.
 * Fails when the machine cannot promise so much. */
Status prefix_store_ram(PrefixStore **out, int64_t windows, int64_t count, Err *err);

/* The same in an HDF5 file, the float32 dataset /prefix (windows, count). The file has no name once
 * it is made, so that it is gone with the process, however that ends: what another run, stage or
 * model computed is never read. It grows as windows come, and takes no memory. */
Status prefix_store_disk(PrefixStore **out, const char *path, int64_t windows, int64_t count,
                         Err *err);

#endif
