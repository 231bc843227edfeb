#include "core/io/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"

enum {
    ALIGNMENT = 32,          /* unless the file says otherwise */
    ALIGNMENT_MAX = 1 << 20, /* a sane bound */
    NAME_MAX_BYTES = 65535,  /* of a key, by the specification */
};

static const char magic[4] = {'G', 'G', 'U', 'F'};
static const int type_bytes[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

struct GgufFile {
    FileMap map; /* data NULL: the bytes are the caller's */
    char *name;
    GgufValue *values;   /* by key */
    GgufTensor *tensors; /* by name */
    int64_t n_values, n_tensors;
};

/* ---- reading pieces ------------------------------------------------------------------------- */

typedef struct Cursor {
    const char *data, *name;
    int64_t at, bytes;
} Cursor;

static Status take(Cursor *c, int64_t bytes, const void **out, Err *err)
{
    *out = NULL;
    if (bytes < 0 || bytes > c->bytes - c->at)
        return err_set(err, "%s is cut short: %lld bytes, and %lld more are wanted at byte %lld",
                       c->name, (long long)c->bytes, (long long)bytes, (long long)c->at);
    *out = c->data + c->at;
    c->at += bytes;
    return STATUS_OK;
}

static Status take_u32(Cursor *c, uint32_t *out, Err *err)
{
    const void *from;
    TRY(take(c, sizeof *out, &from, err));
    memcpy(out, from, sizeof *out);
    return STATUS_OK;
}

/* A count or size: what is beyond int64 is beyond every file. */
static Status take_count(Cursor *c, int64_t *out, Err *err)
{
    const void *from;
    uint64_t value;
    TRY(take(c, sizeof value, &from, err));
    memcpy(&value, from, sizeof value);
    *out = value > INT64_MAX ? INT64_MAX : (int64_t)value;
    return STATUS_OK;
}

static Status take_text(Cursor *c, GgufText *out, Err *err)
{
    const void *from;
    TRY(take_count(c, &out->bytes, err));
    TRY(take(c, out->bytes, &from, err));
    out->data = from;
    return STATUS_OK;
}

/* A key or tensor name, as a string of C. */
static Status take_name(Cursor *c, char **out, Err *err)
{
    GgufText text;
    int64_t at = c->at;
    TRY(take_text(c, &text, err));
    if (text.bytes == 0 || text.bytes > NAME_MAX_BYTES || memchr(text.data, 0, (size_t)text.bytes))
        return err_set(err, "%s: the name at byte %lld is no name", c->name, (long long)at);
    *out = xstrndup(text.data, (size_t)text.bytes);
    return STATUS_OK;
}

/* ---- values --------------------------------------------------------------------------------- */

static Status take_texts(Cursor *c, GgufValue *value, Err *err)
{
    /* Each text has a length of 8 bytes: so many can there be at most. */
    if (value->count > (c->bytes - c->at) / 8)
        return err_set(err, "%s: '%s' has more texts than the file can hold", c->name, value->key);
    value->texts = xcalloc((size_t)value->count + 1, sizeof *value->texts);
    for (int64_t i = 0; i < value->count; i++)
        TRY(take_text(c, &value->texts[i], err));
    return STATUS_OK;
}

static Status take_type(Cursor *c, const char *key, GgufType *out, Err *err)
{
    uint32_t type;
    TRY(take_u32(c, &type, err));
    if (type >= GGUF_TYPE_COUNT)
        return err_set(err, "%s: '%s' is of the unknown type %u", c->name, key, type);
    *out = (GgufType)type;
    return STATUS_OK;
}

static Status take_value(Cursor *c, GgufValue *value, Err *err)
{
    TRY(take_name(c, &value->key, err));
    TRY(take_type(c, value->key, &value->type, err));
    value->count = 1;
    value->is_array = value->type == GGUF_ARRAY;
    if (value->is_array) {
        TRY(take_type(c, value->key, &value->type, err));
        TRY(take_count(c, &value->count, err));
        if (value->type == GGUF_ARRAY)
            return err_set(err, "%s: '%s' is an array of arrays, which is not supported", c->name,
                           value->key);
    }
    if (value->type == GGUF_STRING)
        return take_texts(c, value, err);
    int64_t size = type_bytes[value->type];
    int64_t bytes = value->count > INT64_MAX / size ? INT64_MAX : value->count * size;
    return take(c, bytes, &value->data, err);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const GgufValue *)a)->key, ((const GgufValue *)b)->key);
}

static Status take_values(GgufFile *file, Cursor *c, int64_t count, Err *err)
{
    int64_t capacity = 0;
    for (int64_t i = 0; i < count; i++) {
        file->values = mem_grow(file->values, &capacity, i + 1, sizeof *file->values);
        file->values[i] = (GgufValue){0};
        file->n_values = i + 1;
        TRY(take_value(c, &file->values[i], err));
    }
    if (count > 1)
        qsort(file->values, (size_t)count, sizeof *file->values, by_key);
    for (int64_t i = 1; i < count; i++)
        if (by_key(&file->values[i - 1], &file->values[i]) == 0)
            return err_set(err, "%s: the key '%s' comes twice", c->name, file->values[i].key);
    return STATUS_OK;
}

/* ---- tensors -------------------------------------------------------------------------------- */

/* Sizes come innermost first. Fills `bytes` too. */
static Status take_shape(Cursor *c, GgufTensor *tensor, Err *err)
{
    uint32_t n_dims, type;
    TRY(take_u32(c, &n_dims, err));
    if (n_dims < 1 || n_dims > GGUF_DIMS)
        return err_set(err, "%s: '%s' has %u dimensions", c->name, tensor->name, n_dims);
    tensor->n_dims = (int)n_dims;
    for (int i = tensor->n_dims - 1; i >= 0; i--)
        TRY(take_count(c, &tensor->shape[i], err));
    TRY(take_u32(c, &type, err));
    if (!block_known(type))
        return err_set(err,
                       "%s: '%s' is of type %s (%u); F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and "
                       "Q6_K are read",
                       c->name, tensor->name, block_name(type), type);
    tensor->type = (BlockType)type;
    int64_t values = 1;
    for (int i = 0; i < tensor->n_dims; i++) {
        int64_t size = tensor->shape[i];
        if (size < 1 || values > INT64_MAX / 8 / size)
            return err_set(err, "%s: '%s' has an impossible shape", c->name, tensor->name);
        values *= size;
    }
    if (tensor->shape[n_dims - 1] % block_values(tensor->type) != 0)
        return err_set(err, "%s: the rows of '%s' are no whole blocks of %s", c->name, tensor->name,
                       block_name(type));
    tensor->bytes = values / block_values(tensor->type) * block_bytes(tensor->type);
    return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const GgufTensor *)a)->name, ((const GgufTensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    int64_t x = ((const GgufTensor *)a)->offset, y = ((const GgufTensor *)b)->offset;
    return (x > y) - (x < y);
}

static Status place_tensors(GgufFile *file, const Cursor *c, int64_t alignment, Err *err)
{
    int64_t start = c->at + (alignment - c->at % alignment) % alignment, end = 0;
    int64_t room = c->bytes > start ? c->bytes - start : 0;
    if (file->n_tensors > 1)
        qsort(file->tensors, (size_t)file->n_tensors, sizeof *file->tensors, by_place);
    for (int64_t i = 0; i < file->n_tensors; i++) {
        GgufTensor *tensor = &file->tensors[i];
        int64_t offset = tensor->offset;
        if (offset > room || tensor->bytes > room - offset)
            return err_set(err, "%s: '%s' lies outside the file; is it cut short?", c->name,
                           tensor->name);
        if (offset % alignment != 0)
            return err_set(err, "%s: '%s' is not aligned to %lld bytes", c->name, tensor->name,
                           (long long)alignment);
        if (offset < end)
            return err_set(err, "%s: '%s' overlaps its neighbour", c->name, tensor->name);
        end = offset + tensor->bytes;
        tensor->data = c->data + start + offset;
    }
    if (file->n_tensors > 1)
        qsort(file->tensors, (size_t)file->n_tensors, sizeof *file->tensors, by_name);
    for (int64_t i = 1; i < file->n_tensors; i++)
        if (by_name(&file->tensors[i - 1], &file->tensors[i]) == 0)
            return err_set(err, "%s: the tensor '%s' comes twice", c->name, file->tensors[i].name);
    return STATUS_OK;
}

static Status take_tensors(GgufFile *file, Cursor *c, int64_t count, Err *err)
{
    int64_t capacity = 0, alignment = ALIGNMENT;
    for (int64_t i = 0; i < count; i++) {
        file->tensors = mem_grow(file->tensors, &capacity, i + 1, sizeof *file->tensors);
        file->tensors[i] = (GgufTensor){0};
        file->n_tensors = i + 1;
        TRY(take_name(c, &file->tensors[i].name, err));
        TRY(take_shape(c, &file->tensors[i], err));
        TRY(take_count(c, &file->tensors[i].offset, err));
    }
    if (gguf_find(file, "general.alignment"))
        TRY(gguf_get_int(file, "general.alignment", &alignment, err));
    if (alignment < 1 || alignment > ALIGNMENT_MAX || (alignment & (alignment - 1)) != 0)
        return err_set(err, "%s: an alignment of %lld bytes", c->name, (long long)alignment);
    return place_tensors(file, c, alignment, err);
}

/* ---- files ---------------------------------------------------------------------------------- */

static Status parse(GgufFile *file, const void *data, int64_t bytes, Err *err)
{
    Cursor c = {data, file->name, 0, bytes};
    const void *head;
    uint32_t version;
    int64_t n_tensors, n_values;
    if (bytes < 4 || memcmp(data, magic, sizeof magic) != 0)
        return err_set(err, "%s is not a GGUF file", file->name);
    TRY(take(&c, 4, &head, err));
    TRY(take_u32(&c, &version, err));
    if (version != 2 && version != 3)
        return err_set(err, "%s is %s; GGUF of versions 2 and 3, little-endian, is read",
                       file->name,
                       version == 1           ? "of GGUF's version 1"
                       : version & UINT16_MAX ? "of an unknown version of GGUF"
                                              : "big-endian");
    TRY(take_count(&c, &n_tensors, err));
    TRY(take_count(&c, &n_values, err));
    TRY(take_values(file, &c, n_values, err));
    return take_tensors(file, &c, n_tensors, err);
}

Status gguf_parse(GgufFile **out, const void *data, int64_t bytes, const char *name, Err *err)
{
    GgufFile *file = xcalloc(1, sizeof *file);
    file->name = xstrdup(name);
    Status status = parse(file, data, bytes, err);
    *out = status == STATUS_OK ? file : NULL;
    if (status != STATUS_OK)
        gguf_close(file);
    return status;
}

Status gguf_open(GgufFile **out, const char *path, Err *err)
{
    FileMap map;
    *out = NULL;
    TRY(file_map_open(&map, path, err));
    Status status = gguf_parse(out, map.data ? map.data : "", map.bytes, path, err);
    if (status == STATUS_OK)
        (*out)->map = map;
    else
        file_map_close(&map);
    return status;
}

void gguf_close(GgufFile *file)
{
    if (!file)
        return;
    for (int64_t i = 0; i < file->n_values; i++) {
        free(file->values[i].key);
        free(file->values[i].texts);
    }
    for (int64_t i = 0; i < file->n_tensors; i++)
        free(file->tensors[i].name);
    free(file->values);
    free(file->tensors);
    free(file->name);
    file_map_close(&file->map);
    free(file);
}

const char *gguf_name(const GgufFile *file)
{
    return file->name;
}

int64_t gguf_tensor_count(const GgufFile *file)
{
    return file->n_tensors;
}

const GgufTensor *gguf_tensor(const GgufFile *file, int64_t index)
{
    CHECK(index >= 0 && index < file->n_tensors, "tensor %lld", (long long)index);
    return &file->tensors[index];
}

const GgufTensor *gguf_find_tensor(const GgufFile *file, const char *name)
{
    GgufTensor key = {.name = (char *)(uintptr_t)name};
    return file->n_tensors
               ? bsearch(&key, file->tensors, (size_t)file->n_tensors, sizeof key, by_name)
               : NULL;
}

int64_t gguf_value_count(const GgufFile *file)
{
    return file->n_values;
}

const GgufValue *gguf_value(const GgufFile *file, int64_t index)
{
    CHECK(index >= 0 && index < file->n_values, "value %lld", (long long)index);
    return &file->values[index];
}

const GgufValue *gguf_find(const GgufFile *file, const char *key)
{
    GgufValue wanted = {.key = (char *)(uintptr_t)key};
    return file->n_values
               ? bsearch(&wanted, file->values, (size_t)file->n_values, sizeof wanted, by_key)
               : NULL;
}

/* ---- values by key -------------------------------------------------------------------------- */

static bool is_real(GgufType type)
{
    return type == GGUF_F32 || type == GGUF_F64;
}

int64_t gguf_int_at(const GgufValue *value, int64_t index)
{
    CHECK(index >= 0 && index < value->count, "number %lld", (long long)index);
    GgufType type = value->type;
    if (type == GGUF_STRING || is_real(type))
        return 0;
    int size = type_bytes[type], unused = 64 - 8 * size;
    uint64_t bits = 0;
    memcpy(&bits, (const char *)value->data + index * size, (size_t)size);
    bool has_sign = type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
    return has_sign ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
}

double gguf_real_at(const GgufValue *value, int64_t index)
{
    CHECK(index >= 0 && index < value->count, "number %lld", (long long)index);
    float single = 0.0f;
    double number = 0.0;
    if (value->type == GGUF_F64)
        memcpy(&number, (const char *)value->data + index * 8, sizeof number);
    else if (value->type == GGUF_F32)
        memcpy(&single, (const char *)value->data + index * 4, sizeof single);
    return value->type == GGUF_F32 ? (double)single : number;
}

static Status get(const GgufFile *file, const char *key, const char *kind, const GgufValue **out,
                  Err *err)
{
    *out = gguf_find(file, key);
    if (!*out)
        return err_set(err, "%s has no '%s'", file->name, key);
    GgufType type = (*out)->type;
    const char *is = (*out)->is_array      ? "an array"
                     : type == GGUF_STRING ? "a text"
                     : is_real(type)       ? "a real number"
                     : type == GGUF_BOOL   ? "a truth value"
                                           : "an integer";
    if (strcmp(is, kind) != 0)
        return err_set(err, "%s: '%s' is %s and not %s", file->name, key, is, kind);
    return STATUS_OK;
}

Status gguf_get_int(const GgufFile *file, const char *key, int64_t *out, Err *err)
{
    const GgufValue *value;
    TRY(get(file, key, "an integer", &value, err));
    *out = gguf_int_at(value, 0);
    return STATUS_OK;
}

Status gguf_get_real(const GgufFile *file, const char *key, double *out, Err *err)
{
    const GgufValue *value;
    TRY(get(file, key, "a real number", &value, err));
    *out = gguf_real_at(value, 0);
    return STATUS_OK;
}

Status gguf_get_bool(const GgufFile *file, const char *key, bool *out, Err *err)
{
    const GgufValue *value;
    TRY(get(file, key, "a truth value", &value, err));
    *out = gguf_int_at(value, 0) != 0;
    return STATUS_OK;
}

Status gguf_get_text(const GgufFile *file, const char *key, char **out, Err *err)
{
    const GgufValue *value;
    TRY(get(file, key, "a text", &value, err));
    if (memchr(value->texts[0].data, 0, (size_t)value->texts[0].bytes))
        return err_set(err, "%s: '%s' holds a zero byte", file->name, key);
    *out = xstrndup(value->texts[0].data, (size_t)value->texts[0].bytes);
    return STATUS_OK;
}
