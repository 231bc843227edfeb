#include "core/io/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/inputs.h"
#include "core/base/mem.h"

enum {
    ALIGNMENT = 32,          /* unless the file says otherwise */
    ALIGNMENT_MAX = 1 << 20, /* a sane bound */
    NAME_MAX_BYTES = 65535,  /* of a key, by the specification */
    NESTING_MAX = 16,
    PARTS_MAX = 4096, /* of a split file */
};

static const char magic[4] = {'G', 'G', 'U', 'F'};
static const int type_bytes[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

struct GgufFile {
    FileMap *maps; /* none: the bytes are the caller's */
    int64_t n_maps;
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

static Status take_numbers(Cursor *c, GgufValue *value, Err *err)
{
    int64_t size = type_bytes[value->type];
    int64_t bytes = value->count > INT64_MAX / size ? INT64_MAX : value->count * size;
    return take(c, bytes, &value->data, err);
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

/* Arrays of arrays hold nothing that is wanted here; they are read over. */
static Status skip_arrays(Cursor *c, const char *key, int64_t count, int depth, Err *err)
{
    if (depth == NESTING_MAX)
        return err_set(err, "%s: '%s' is nested too deep", c->name, key);
    for (int64_t i = 0; i < count; i++) {
        GgufValue inner = {.key = (char *)(uintptr_t)key, .is_array = true};
        TRY(take_type(c, key, &inner.type, err));
        TRY(take_count(c, &inner.count, err));
        Status status = inner.type == GGUF_ARRAY ? skip_arrays(c, key, inner.count, depth + 1, err)
                        : inner.type == GGUF_STRING ? take_texts(c, &inner, err)
                                                    : take_numbers(c, &inner, err);
        free(inner.texts);
        TRY(status);
    }
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
            return skip_arrays(c, value->key, value->count, 0, err);
    }
    return value->type == GGUF_STRING ? take_texts(c, value, err) : take_numbers(c, value, err);
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
                       "%s: '%s' is of type %s (%u), which is not read; fetch the model in F16, "
                       "Q8_0 or one of the Q2 to Q6, IQ4 and MXFP4 quantisations",
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

static Status sort_tensors(GgufFile *file, Err *err)
{
    if (file->n_tensors > 1)
        qsort(file->tensors, (size_t)file->n_tensors, sizeof *file->tensors, by_name);
    for (int64_t i = 1; i < file->n_tensors; i++)
        if (by_name(&file->tensors[i - 1], &file->tensors[i]) == 0)
            return err_set(err, "%s: the tensor '%s' comes twice", file->name,
                           file->tensors[i].name);
    return STATUS_OK;
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
    return sort_tensors(file, err);
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

/* ---- split files ----------------------------------------------------------------------------- */

static void keep_map(GgufFile *file, FileMap map)
{
    file->maps = xrealloc(file->maps, (size_t)(file->n_maps + 1) * sizeof *file->maps);
    file->maps[file->n_maps++] = map;
}

static Status open_one(GgufFile **out, const char *path, Err *err)
{
    FileMap map;
    *out = NULL;
    inputs_add(path);
    TRY(file_map_open(&map, path, err));
    Status status = gguf_parse(out, map.data ? map.data : "", map.bytes, path, err);
    if (status == STATUS_OK)
        keep_map(*out, map);
    else
        file_map_close(&map);
    return status;
}

/* Which part a file is, from 1, and of how many: 1 of 1 when it says nothing. */
static Status get_part(const GgufFile *file, int64_t *part, int64_t *parts, Err *err)
{
    *part = *parts = 1;
    if (!gguf_find(file, "split.count"))
        return STATUS_OK;
    TRY(gguf_get_int(file, "split.count", parts, err));
    if (*parts < 2) {
        *parts = 1;
        return STATUS_OK;
    }
    TRY(gguf_get_int(file, "split.no", part, err));
    *part += 1;
    if (*parts > PARTS_MAX || *part < 1 || *part > *parts)
        return err_set(err, "%s: part %lld of %lld is impossible", file->name, (long long)*part,
                       (long long)*parts);
    return STATUS_OK;
}

/* The name of part `wanted` beside "x-00002-of-00003.gguf", part 2 of 3; NULL for other names. */
static char *part_name(const char *path, int64_t part, int64_t parts, int64_t wanted)
{
    char *end = xasprintf("-%05lld-of-%05lld.gguf", (long long)part, (long long)parts);
    size_t stem = strlen(path) > strlen(end) ? strlen(path) - strlen(end) : 0;
    char *name = NULL;
    if (stem > 0 && strcmp(path + stem, end) == 0)
        name = xasprintf("%.*s-%05lld-of-%05lld.gguf", (int)stem, path, (long long)wanted,
                         (long long)parts);
    free(end);
    return name;
}

/* Opens another part of the file that `path` is part `part` of. */
static Status open_part(GgufFile **out, const char *path, int64_t part, int64_t parts,
                        int64_t wanted, Err *err)
{
    int64_t found, of;
    char *name = part_name(path, part, parts, wanted);
    *out = NULL;
    if (!name)
        return err_set(err,
                       "%s is part %lld of %lld, and its name does not tell the others'; name them "
                       "NAME-00001-of-%05lld.gguf and so on",
                       path, (long long)part, (long long)parts, (long long)parts);
    Status status = file_exists(name)
                        ? open_one(out, name, err)
                        : err_set(err, "%s is part %lld of %lld and needs %s, which is not there",
                                  path, (long long)part, (long long)parts, name);
    if (status == STATUS_OK)
        status = get_part(*out, &found, &of, err);
    if (status == STATUS_OK && (found != wanted || of != parts))
        status = err_set(err, "%s is not part %lld of %lld by what it says of itself", name,
                         (long long)wanted, (long long)parts);
    free(name);
    return status;
}

/* Takes the tensors of `part`, and ends it. */
static Status take_part(GgufFile *file, GgufFile *part, Err *err)
{
    int64_t n = file->n_tensors, more = part->n_tensors;
    file->tensors = xrealloc(file->tensors, (size_t)(n + more + 1) * sizeof *file->tensors);
    if (more > 0)
        memcpy(file->tensors + n, part->tensors, (size_t)more * sizeof *part->tensors);
    file->n_tensors += more;
    for (int64_t i = 0; i < part->n_maps; i++)
        keep_map(file, part->maps[i]);
    part->n_tensors = part->n_maps = 0;
    gguf_close(part);
    return sort_tensors(file, err);
}

/* The settings are the first part's. */
static Status open_parts(GgufFile **file, const char *path, int64_t part, int64_t parts, Err *err)
{
    GgufFile *next;
    int64_t tensors;
    if (part != 1) {
        TRY(open_part(&next, path, part, parts, 1, err));
        gguf_close(*file);
        *file = next;
    }
    for (int64_t i = 2; i <= parts; i++) {
        Status status = open_part(&next, (*file)->name, 1, parts, i, err);
        if (status != STATUS_OK) {
            gguf_close(next);
            return status;
        }
        TRY(take_part(*file, next, err));
    }
    if (!gguf_find(*file, "split.tensors.count"))
        return STATUS_OK;
    TRY(gguf_get_int(*file, "split.tensors.count", &tensors, err));
    if (tensors != (*file)->n_tensors)
        return err_set(err, "%s and its parts hold %lld tensors, and it says %lld", (*file)->name,
                       (long long)(*file)->n_tensors, (long long)tensors);
    return STATUS_OK;
}

Status gguf_open(GgufFile **out, const char *path, Err *err)
{
    int64_t part, parts;
    TRY(open_one(out, path, err));
    Status status = get_part(*out, &part, &parts, err);
    if (status == STATUS_OK && parts > 1)
        status = open_parts(out, path, part, parts, err);
    if (status != STATUS_OK) {
        gguf_close(*out);
        *out = NULL;
    }
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
    for (int64_t i = 0; i < file->n_maps; i++)
        file_map_close(&file->maps[i]);
    free(file->maps);
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

int64_t gguf_int_at(const GgufValue *value, int64_t index)
{
    CHECK(index >= 0 && index < value->count, "number %lld", (long long)index);
    GgufType type = value->type;
    if (type == GGUF_STRING || type == GGUF_ARRAY || type == GGUF_F32 || type == GGUF_F64)
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
