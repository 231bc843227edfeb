/* How libhdf5 reaches a file: through this driver, so that a full disk, a missing page or a hostile
 * offset is an ordinary value here instead of an error deep inside the library, which it could not
 * recover from. Callers hold the container's lock: libhdf5 is not thread-safe. */
#ifndef CAMBIUM_CORE_IO_H5_DRIVER_H
#define CAMBIUM_CORE_IO_H5_DRIVER_H

/* Later versions of the library keep the names of this one. */
#define H5_USE_110_API 1
#include <hdf5.h>

#include <stdint.h>

#include "core/base/err.h"

/* The lock of all calls of libhdf5. */
void h5_lock(void);
void h5_unlock(void);

/* The open file behind an HDF5 handle; must outlive it. Reading: `map` holds the HDF5 part of a
 * mapped file. Writing: `map` is NULL, `fd` is open for reading and writing and empty, and `fault`
 * keeps the errno of the first write that failed; nothing is written after it. */
typedef struct H5Backing {
    const uint8_t *map;
    int64_t map_bytes;
    int fd;
    int fault;
} H5Backing;

/* A new file access property list that reaches `backing`, or a negative number. */
hid_t h5_backing_access(H5Backing *backing);

/* Writes all bytes at an offset of a backing that is being written. */
void h5_backing_write(H5Backing *backing, int64_t offset, const void *data, size_t bytes);

/* The innermost message of libhdf5's error stack, in `text`. */
void h5_reason(char *text, size_t bytes);

#endif
