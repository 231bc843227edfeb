#include "core/io/container_format.h"

#include <pthread.h>

#include "core/base/parallel.h"
#include "core/io/container.h"

const uint8_t seal_magic[8] = {'C', 'A', 'M', 'B', 'I', 'U', 'M', 1};

static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

void h5_lock(void)
{
    pthread_mutex_lock(&library_lock);
}

void h5_unlock(void)
{
    pthread_mutex_unlock(&library_lock);
}

Sha256 seal_hash(const uint8_t *data, uint64_t bytes, const SealRegion *regions, uint64_t n)
{
    HashStream *stream = hash_new();
    uint64_t at = 0;
    for (uint64_t i = 0; i < n; i++) {
        hash_update(stream, data + at, regions[i].offset - at);
        at = regions[i].offset + regions[i].bytes;
    }
    hash_update(stream, data + at, bytes - at);
    return hash_finish_free(stream);
}

typedef struct SliceJob {
    const uint8_t *data;
    int64_t bytes;
    uint8_t *out;
} SliceJob;

static void hash_slices(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const SliceJob *job = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t at = i * CONTAINER_SLICE;
        int64_t bytes = job->bytes - at < CONTAINER_SLICE ? job->bytes - at : CONTAINER_SLICE;
        Sha256 hash = hash_of(job->data + at, (size_t)bytes);
        memcpy(job->out + i * SHA256_BYTES, hash.bytes, SHA256_BYTES);
    }
}

void slice_hashes(const uint8_t *data, int64_t bytes, uint8_t *out)
{
    SliceJob job = {data, bytes, out};
    parallel_for((bytes + CONTAINER_SLICE - 1) / CONTAINER_SLICE, 1, hash_slices, &job);
}

hid_t h5_file_type(DType dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return H5T_IEEE_F32LE;
    case DTYPE_BF16:
    case DTYPE_U16:
        return H5T_STD_U16LE;
    case DTYPE_I8:
        return H5T_STD_I8LE;
    case DTYPE_I32:
        return H5T_STD_I32LE;
    case DTYPE_U8:
        return H5T_STD_U8LE;
    case DTYPE_I64:
        return H5T_STD_I64LE;
    }
    return -1;
}
