/* Packed bytes to bytes: gzip, bzip2, xz and Zstandard, told apart by how they begin. Files of
 * several members are their texts one behind the other. Data that are cut off or damaged are an
 * error; what stands behind whole gzip or bzip2 data is left alone with a warning, as by these
 * programs. Each belongs to one thread at a time. */
#ifndef CAMBIUM_CORE_IO_UNPACK_H
#define CAMBIUM_CORE_IO_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

typedef struct Unpacker Unpacker;

/* Bytes of the packed file that are not used yet. */
typedef struct UnpackInput {
    const uint8_t *next;
    size_t available;
    bool ended; /* the file has no more */
} UnpackInput;

/* `begin`: the file's first bytes, 16 or all that it has. NULL when they are not packed.
 * `name`, kept: for messages. */
Unpacker *unpack_new(const char *name, const uint8_t *begin, size_t bytes);
void unpack_free(Unpacker *unpacker); /* NULL is allowed */

/* One step: uses up input, puts at most `room` bytes at `out`. `*finished` at the end of all. */
Status unpack_step(Unpacker *unpacker, UnpackInput *input, void *out, int64_t room, int64_t *got,
                   bool *finished, Err *err);

/* The length of the name without a suffix of packed files (.gz, .bz2, .xz, .zst), if it has one. */
size_t unpack_name_length(const char *name);

#endif
