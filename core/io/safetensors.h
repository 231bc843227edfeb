/* The safetensors format: a JSON header that names tensors, then their data without gaps. Opened
 * files are mapped and immutable; any number of threads may read one. */
#ifndef CAMBIUM_CORE_IO_SAFETENSORS_H
#define CAMBIUM_CORE_IO_SAFETENSORS_H

#include <jansson.h>

#include "core/io/stored_type.h"

enum { SAFE_DIMS = 8 };

typedef struct SafeEntry {
    const char *name;
    StoredType type;
    int n_dims;
    int64_t shape[SAFE_DIMS];
    const void *data; /* in the mapped file; need not be aligned */
    int64_t bytes;
} SafeEntry;

typedef struct SafeFile SafeFile;

/* Fails, naming the file, on headers that are not JSON, name a tensor twice, or whose offsets
 * overlap, leave gaps, leave the file or disagree with a shape. */
Status safe_open(SafeFile **out, const char *path, Err *err);
/* The same for bytes in memory that outlive the result. */
Status safe_parse(SafeFile **out, const void *data, int64_t bytes, const char *name, Err *err);
void safe_close(SafeFile *file); /* NULL is allowed */

int64_t safe_count(const SafeFile *file);
const SafeEntry *safe_entry(const SafeFile *file, int64_t index);   /* by name */
const SafeEntry *safe_find(const SafeFile *file, const char *name); /* or NULL */
/* What files written here have as "producer" in it. */
#define SAFE_PRODUCER "cambium"
const json_t *safe_metadata(const SafeFile *file); /* the file's "__metadata__", or NULL */

/* Writing: all entries first (`data` is not looked at, `bytes` follows from the shape), then their
 * data in the same order through safe_append. The file appears under its name at the end. */
typedef struct SafeWriter SafeWriter;

Status safe_create(SafeWriter **out, const char *path, const SafeEntry *entries, int64_t count,
                   Err *err);
Status safe_append(SafeWriter *writer, const void *data, size_t bytes, Err *err);
Status safe_commit(SafeWriter *writer, Err *err); /* ends the writer, also when it fails */
void safe_abandon(SafeWriter *writer);            /* NULL is allowed */

#endif
