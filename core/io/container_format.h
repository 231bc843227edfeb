/* What the reader and the writer of containers share. Nothing else includes this. */
#ifndef CAMBIUM_CORE_IO_CONTAINER_FORMAT_H
#define CAMBIUM_CORE_IO_CONTAINER_FORMAT_H

#include "core/base/hash.h"
#include "core/io/h5_driver.h"
#include "core/tensor/tensor.h"

/* The seal at the end of a file, little-endian: SealRegion[n_regions] (the data of tensors, which
 * have hashes of their own; by offset, not overlapping), then Seal. */
typedef struct SealRegion {
    uint64_t offset, bytes;
} SealRegion;

typedef struct Seal {
    uint64_t hdf5_bytes; /* the HDF5 part, at the beginning of the file */
    uint64_t n_regions;
    uint8_t hash[SHA256_BYTES]; /* of all bytes before this field that lie in no region */
    uint8_t magic[8];
} Seal;

extern const uint8_t seal_magic[8];

/* The hash of `bytes` bytes at `data` without the regions. */
Sha256 seal_hash(const uint8_t *data, uint64_t bytes, const SealRegion *regions, uint64_t n);

/* Hashes each slice of `bytes` bytes at `data` into out (slices, SHA256_BYTES); parallel. */
void slice_hashes(const uint8_t *data, int64_t bytes, uint8_t *out);

hid_t h5_file_type(DType dtype); /* borrowed */

#endif
