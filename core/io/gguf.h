/* The GGUF format (versions 2 and 3, little-endian): named values, then tensors. Opened files are
 * mapped and immutable; any number of threads may read one. */
#ifndef CAMBIUM_CORE_IO_GGUF_H
#define CAMBIUM_CORE_IO_GGUF_H

#include "core/io/block_type.h"

enum { GGUF_DIMS = 4 };

typedef enum GgufType {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT,
} GgufType;

typedef struct GgufText {
    const char *data; /* in the mapped file, without a zero at its end */
    int64_t bytes;
} GgufText;

/* One named value: a single one, or an array of one type. Of an array of arrays (GGUF_ARRAY)
 * nothing but its count is kept. */
typedef struct GgufValue {
    char *key; /* owned */
    GgufType type;
    bool is_array;
    int64_t count;    /* 1 for single values */
    const void *data; /* numbers; need not be aligned; NULL for texts */
    GgufText *texts;  /* (count) owned, GGUF_STRING only */
} GgufValue;

typedef struct GgufTensor {
    char *name; /* owned */
    BlockType type;
    int n_dims;
    int64_t shape[GGUF_DIMS]; /* outermost first, as everywhere here: (out, in) of a matrix */
    int64_t offset;           /* in the part of the file that holds data */
    const void *data;         /* in the mapped file */
    int64_t bytes;
} GgufTensor;

typedef struct GgufFile GgufFile;

/* One of the parts of a split file stands for all, which lie beside it; a missing one is named.
 * Fails, naming the file, on other versions and byte orders, tensors of types that are not read
 * (naming the type), names that come twice, and on anything that leaves the file, overlaps, or is
 * not aligned as the file says. */
Status gguf_open(GgufFile **out, const char *path, Err *err);
/* The same for bytes in memory that outlive the result. */
Status gguf_parse(GgufFile **out, const void *data, int64_t bytes, const char *name, Err *err);
void gguf_close(GgufFile *file); /* NULL is allowed */
const char *gguf_name(const GgufFile *file);

int64_t gguf_tensor_count(const GgufFile *file);
const GgufTensor *gguf_tensor(const GgufFile *file, int64_t index);         /* by name */
const GgufTensor *gguf_find_tensor(const GgufFile *file, const char *name); /* or NULL */

int64_t gguf_value_count(const GgufFile *file);
const GgufValue *gguf_value(const GgufFile *file, int64_t index);  /* by key */
const GgufValue *gguf_find(const GgufFile *file, const char *key); /* or NULL */

/* A single value of any type that holds it exactly: GGUF_U64 as an integer, an integer as a real
 * number, 0 or 1 as a truth value, an array of one integer over and over (a value by layer) as that
 * integer. Fail, naming the key, when it is missing or of another kind. */
Status gguf_get_int(const GgufFile *file, const char *key, int64_t *out, Err *err);
Status gguf_get_real(const GgufFile *file, const char *key, double *out, Err *err);
Status gguf_get_bool(const GgufFile *file, const char *key, bool *out, Err *err);
Status gguf_get_text(const GgufFile *file, const char *key, char **out, Err *err); /* freed by the
                                                                                     caller */
/* Number `index` of an array (or a single value) of integers or of reals; 0 for other types. */
int64_t gguf_int_at(const GgufValue *value, int64_t index);
double gguf_real_at(const GgufValue *value, int64_t index);

/* ---- writing -------------------------------------------------------------------------------- */

/* First all values and tensors, then gguf_begin, then the tensors' data in the same order through
 * gguf_append. The file appears under its name at the end. */
typedef struct GgufWriter GgufWriter;

GgufWriter *gguf_writer_new(void);
void gguf_put_u32(GgufWriter *writer, const char *key, uint32_t value);
void gguf_put_f32(GgufWriter *writer, const char *key, float value);
void gguf_put_bool(GgufWriter *writer, const char *key, bool value);
void gguf_put_text(GgufWriter *writer, const char *key, const char *value);
void gguf_put_i32s(GgufWriter *writer, const char *key, const int32_t *values, int64_t count);
void gguf_put_f32s(GgufWriter *writer, const char *key, const float *values, int64_t count);
void gguf_put_texts(GgufWriter *writer, const char *key, const GgufText *texts, int64_t count);
/* `shape` outermost first; its innermost size is a multiple of the type's block. */
void gguf_put_tensor(GgufWriter *writer, const char *name, BlockType type, const int64_t *shape,
                     int n_dims);
Status gguf_begin(GgufWriter *writer, const char *path, Err *err);
/* Some of the next tensor's bytes; padding between tensors is added here. */
Status gguf_append(GgufWriter *writer, const void *data, size_t bytes, Err *err);
Status gguf_commit(GgufWriter *writer, Err *err); /* ends the writer, also when it fails */
void gguf_abandon(GgufWriter *writer);            /* NULL is allowed */

#endif
