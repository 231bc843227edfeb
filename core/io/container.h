/* A file of named tensors and texts: a thin, safe layer over HDF5. All files of the program
 * (tables, checkpoints, packed corpora) are containers; any HDF5 tool reads them.
 *
 * Layout: tensors are contiguous, uncompressed datasets in little-endian order, those of 4 KiB and
 * more aligned to 4 KiB, with their SHA-256 per MiB in the attribute `sha256`; bfloat16 is stored
 * as uint16 with the attribute `dtype`. Texts (JSON among them) are zero-terminated UTF-8 strings.
 * No times are stored: the same content gives the same bytes. Behind the HDF5 part stands a seal:
 * the SHA-256 of everything that is not a tensor's data, which HDF5 tools do not see. It is checked
 * before libhdf5 reads a byte, so a damaged file is refused and never crashes the library.
 *
 * Thread-safety: libhdf5 is not thread-safe and is guarded by one lock. A Container may be read by
 * many threads; a ContainerWriter belongs to one. Paths are absolute: "/experts/0/head". */
#ifndef CAMBIUM_CORE_IO_CONTAINER_H
#define CAMBIUM_CORE_IO_CONTAINER_H

#include <jansson.h>

#include "core/base/hash.h"
#include "core/tensor/tensor.h"

enum { CONTAINER_SLICE = 1 << 20 }; /* bytes under one hash */

/* ---- reading -------------------------------------------------------------------------------- */

typedef struct Container Container;

typedef struct ContainerEntry {
    const char *path;
    bool is_text;
    Tensor shape;  /* tensors: type and shape, `data` is NULL */
    int64_t bytes; /* of the data; texts: without the final zero */
} ContainerEntry;

/* Maps the file and checks its seal. Fails on anything that is not a whole, unaltered container.
 * Tensor data is checked when it is first touched by the functions below. */
Status container_open(Container **out, const char *path, Err *err);
void container_close(Container *container); /* ends all pointers into it; NULL is allowed */

const char *container_file(const Container *container);
int64_t container_count(const Container *container);
const ContainerEntry *container_entry(const Container *container, int64_t index);   /* by path */
const ContainerEntry *container_find(const Container *container, const char *path); /* or NULL */
bool container_has_group(const Container *container, const char *path); /* something below it */

/* A text attribute of a dataset ("frozen"), borrowed, or NULL. Names count from 0; NULL ends. */
const char *container_attribute(const Container *container, const char *path, const char *name);
const char *container_attribute_name(const Container *container, const char *path, int64_t index);

/* The type and shape of a tensor; an error when it is missing or is a text. */
Status container_shape(const Container *container, const char *path, Tensor *shape, Err *err);

/* Copies a tensor to host memory. `expected` is its type and shape, which must agree. The same in
 * place: see container_map. */
Status container_read(const Container *container, const char *path, const Tensor *expected,
                      void *host, Err *err);
Status container_map_as(const Container *container, const char *path, const Tensor *expected,
                        const void **data, Err *err);

/* The tensor's data in place: valid until container_close, aligned to its element. The whole of it,
 * or only `bytes` bytes from `offset`: what is not touched is not read. */
Status container_map(const Container *container, const char *path, const void **data, Err *err);
Status container_map_range(const Container *container, const char *path, int64_t offset,
                           int64_t bytes, const void **data, Err *err);

/* Gives the memory of a tensor's mapped pages back: its values were copied. They are read from the
 * file again when touched. */
void container_drop(const Container *container, const char *path);

/* Texts: borrowed and zero-terminated, or parsed (the caller owns the object). */
Status container_text(const Container *container, const char *path, const char **text, Err *err);
Status container_json(const Container *container, const char *path, json_t **out, Err *err);

/* One hash for a tensor's data, equal for equal data: the SHA-256 of its hashes per MiB. Reads no
 * data. Zeros for a text or an empty tensor. */
Sha256 container_digest(const Container *container, const char *path);

/* Checks every hash of the file. */
Status container_verify(const Container *container, Err *err);

/* ---- writing -------------------------------------------------------------------------------- */

typedef struct ContainerWriter ContainerWriter;

/* Begins a temporary file beside `path`, which is touched by container_commit alone, so that a run
 * that dies or a disk that is full leaves the previous file as it was. */
Status container_create(ContainerWriter **out, const char *path, Err *err);

/* Seals, syncs and renames. Ends the writer, also when it fails. */
Status container_commit(ContainerWriter *writer, Err *err);
void container_abandon(ContainerWriter *writer); /* removes the temporary file; NULL is allowed */

/* Writes a tensor from host memory; `shape` is its type and shape. Parents are made as needed.
 * After a failure the writer only takes container_abandon or container_commit (which then fails
 * too). */
Status container_put(ContainerWriter *writer, const char *path, const Tensor *shape,
                     const void *host, Err *err);

/* The same in pieces, for data that is never in memory as a whole: begin, then any number of
 * appends that add up to the tensor's bytes, then end. One at a time. */
Status container_begin(ContainerWriter *writer, const char *path, const Tensor *shape, Err *err);
Status container_append(ContainerWriter *writer, const void *data, size_t bytes, Err *err);
Status container_end(ContainerWriter *writer, Err *err);

Status container_put_text(ContainerWriter *writer, const char *path, const char *text, Err *err);
Status container_put_json(ContainerWriter *writer, const char *path, const json_t *json, Err *err);

/* Adds a text attribute to a dataset that was put. */
Status container_put_attribute(ContainerWriter *writer, const char *path, const char *name,
                               const char *text, Err *err);

/* Copies a dataset and its text attributes from another file, checking its hashes. */
Status container_copy(ContainerWriter *writer, const char *path, const Container *from,
                      const char *from_path, Err *err);

#endif
