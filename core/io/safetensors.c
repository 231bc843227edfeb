#include "core/io/safetensors.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/inputs.h"
#include "core/base/mem.h"
#include "core/text/json_read.h"

enum { HEADER_MAX = 100 << 20, LENGTH_BYTES = 8 };

struct SafeFile {
    FileMap map; /* data NULL: the bytes are the caller's */
    json_t *header;
    SafeEntry *entries; /* by name; names are the header's */
    int64_t count;
};

/* ---- reading -------------------------------------------------------------------------------- */

static Status parse_shape(const json_t *shape, const char *file, SafeEntry *entry, Err *err)
{
    if (!json_is_array(shape) || json_array_size(shape) > SAFE_DIMS)
        return err_set(err, "%s: '%.200s' has no shape of at most %d dimensions", file, entry->name,
                       SAFE_DIMS);
    entry->n_dims = (int)json_array_size(shape);
    int64_t count = 1;
    for (int i = 0; i < entry->n_dims; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        entry->shape[i] = json_is_integer(size) ? json_integer_value(size) : -1;
        if (entry->shape[i] < 0 ||
            (entry->shape[i] > 0 && count > (INT64_MAX / 8) / entry->shape[i]))
            return err_set(err, "%s: '%.200s' has an impossible shape", file, entry->name);
        count *= entry->shape[i];
    }
    entry->bytes = count * (int64_t)stored_bytes(entry->type);
    return STATUS_OK;
}

/* Fills all but `data`, and `*begin` with the offset in the data section. */
static Status parse_entry(const json_t *json, const char *file, int64_t room, SafeEntry *entry,
                          int64_t *begin, Err *err)
{
    const char *type = json_string_value(json_object_get(json, "dtype"));
    entry->type = type ? stored_parse(type) : STORED_COUNT;
    if (entry->type == STORED_COUNT)
        return err_set(err, "%s: '%.200s' has the unknown type '%.20s'", file, entry->name,
                       type ? type : "none");
    TRY(parse_shape(json_object_get(json, "shape"), file, entry, err));
    const json_t *offsets = json_object_get(json, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    *begin = json_is_integer(first) ? json_integer_value(first) : -1;
    int64_t end = json_is_integer(last) ? json_integer_value(last) : -1;
    if (json_array_size(offsets) != 2 || *begin < 0 || end < *begin || end > room)
        return err_set(err, "%s: '%.200s' lies outside the file; is it cut short?", file,
                       entry->name);
    if (end - *begin != entry->bytes)
        return err_set(err, "%s: '%.200s' has %lld bytes and its shape asks for %lld", file,
                       entry->name, (long long)(end - *begin), (long long)entry->bytes);
    return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const SafeEntry *)a)->name, ((const SafeEntry *)b)->name);
}

static int by_data(const void *a, const void *b)
{
    const SafeEntry *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return p != q ? (p > q) - (p < q) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static Status parse_entries(SafeFile *file, const char *data, int64_t room, const char *name,
                            Err *err)
{
    const char *key;
    json_t *value;
    file->entries = xcalloc(json_object_size(file->header) + 1, sizeof *file->entries);
    json_object_foreach(file->header, key, value)
    {
        if (strcmp(key, "__metadata__") == 0)
            continue;
        SafeEntry *entry = &file->entries[file->count];
        int64_t begin = 0;
        entry->name = key;
        TRY(parse_entry(value, name, room, entry, &begin, err));
        entry->data = data + begin;
        file->count++;
    }
    qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_data);
    int64_t end = 0;
    for (int64_t i = 0; i < file->count; i++) {
        if ((const char *)file->entries[i].data != data + end)
            return err_set(err, "%s: '%.200s' overlaps its neighbour or leaves a gap", name,
                           file->entries[i].name);
        end += file->entries[i].bytes;
    }
    if (end != room)
        return err_set(err, "%s has %lld bytes behind its last tensor", name,
                       (long long)(room - end));
    qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_name);
    return STATUS_OK;
}

static Status parse(SafeFile *file, const char *bytes, int64_t size, const char *name, Err *err)
{
    uint64_t length;
    if (size < LENGTH_BYTES)
        return err_set(err, "%s is %s", name, size ? "too short for safetensors" : "empty");
    memcpy(&length, bytes, sizeof length);
    if (length > HEADER_MAX || length > (uint64_t)(size - LENGTH_BYTES))
        return err_set(err, "%s is not safetensors: a header of %llu bytes in a file of %lld", name,
                       (unsigned long long)length, (long long)size);
    json_error_t fault;
    file->header = json_read(bytes + LENGTH_BYTES, (int64_t)length, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(file->header))
        return err_set(err, "%s is not safetensors: its header is not a JSON object (%s)", name,
                       file->header ? "a list" : fault.text);
    int64_t at = LENGTH_BYTES + (int64_t)length;
    return parse_entries(file, bytes + at, size - at, name, err);
}

Status safe_parse(SafeFile **out, const void *data, int64_t bytes, const char *name, Err *err)
{
    SafeFile *file = xcalloc(1, sizeof *file);
    Status status = parse(file, data, bytes, name, err);
    *out = status == STATUS_OK ? file : NULL;
    if (status != STATUS_OK)
        safe_close(file);
    return status;
}

Status safe_open(SafeFile **out, const char *path, Err *err)
{
    FileMap map;
    *out = NULL;
    inputs_add(path);
    TRY(file_map_open(&map, path, err));
    Status status = safe_parse(out, map.data ? map.data : "", map.bytes, path, err);
    if (status == STATUS_OK)
        (*out)->map = map;
    else
        file_map_close(&map);
    return status;
}

void safe_close(SafeFile *file)
{
    if (!file)
        return;
    json_decref(file->header);
    free(file->entries);
    file_map_close(&file->map);
    free(file);
}

int64_t safe_count(const SafeFile *file)
{
    return file->count;
}

const SafeEntry *safe_entry(const SafeFile *file, int64_t index)
{
    CHECK(index >= 0 && index < file->count, "entry %lld", (long long)index);
    return &file->entries[index];
}

const SafeEntry *safe_find(const SafeFile *file, const char *name)
{
    SafeEntry key = {.name = name};
    return file->count ? bsearch(&key, file->entries, (size_t)file->count, sizeof key, by_name)
                       : NULL;
}

const json_t *safe_metadata(const SafeFile *file)
{
    return json_object_get(file->header, "__metadata__");
}

/* ---- writing -------------------------------------------------------------------------------- */

struct SafeWriter {
    FileDraft draft;
    FILE *stream;
    int64_t left; /* bytes of data still to come */
};

static char *header_text(const SafeEntry *entries, int64_t count, int64_t *bytes)
{
    json_t *header =
        json_pack("{s:{s:s, s:s}}", "__metadata__", "format", "pt", "producer", SAFE_PRODUCER);
    int64_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        json_t *shape = json_array();
        int64_t size = (int64_t)stored_bytes(entries[i].type);
        for (int k = 0; k < entries[i].n_dims; k++) {
            json_array_append_new(shape, json_integer(entries[i].shape[k]));
            size *= entries[i].shape[k];
        }
        json_object_set_new(header, entries[i].name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", stored_name(entries[i].type),
                                      "shape", shape, "data_offsets", (json_int_t)at,
                                      (json_int_t)(at + size)));
        at += size;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    *bytes = at;
    return text;
}

static Status write_fault(SafeWriter *writer, Err *err)
{
    return err_set(err, "cannot write %s: %s", writer->draft.path, strerror(errno));
}

Status safe_create(SafeWriter **out, const char *path, const SafeEntry *entries, int64_t count,
                   Err *err)
{
    *out = NULL;
    FileDraft draft;
    TRY(file_draft_init(&draft, path, err));
    SafeWriter *writer = xcalloc(1, sizeof *writer);
    writer->draft = draft;
    char *header = header_text(entries, count, &writer->left);
    uint64_t length = strlen(header), padded = (length + 7) / 8 * 8; /* data on 8 bytes */
    Status status = STATUS_OK;
    writer->stream = fopen(writer->draft.temporary, "wb");
    if (!writer->stream || fwrite(&padded, sizeof padded, 1, writer->stream) != 1 ||
        fwrite(header, 1, length, writer->stream) != length ||
        fwrite("        ", 1, padded - length, writer->stream) != padded - length)
        status = write_fault(writer, err);
    free(header);
    if (status == STATUS_OK)
        *out = writer;
    else
        safe_abandon(writer);
    return status;
}

Status safe_append(SafeWriter *writer, const void *data, size_t bytes, Err *err)
{
    CHECK((int64_t)bytes <= writer->left, "%s gets too many bytes", writer->draft.path);
    writer->left -= (int64_t)bytes;
    return fwrite(data, 1, bytes, writer->stream) == bytes ? STATUS_OK : write_fault(writer, err);
}

static void writer_free(SafeWriter *writer)
{
    if (writer->stream)
        fclose(writer->stream);
    free(writer);
}

Status safe_commit(SafeWriter *writer, Err *err)
{
    CHECK(writer->left == 0, "%s lacks %lld bytes", writer->draft.path, (long long)writer->left);
    bool fine = fclose(writer->stream) == 0;
    writer->stream = NULL;
    Status status = fine ? file_draft_commit(&writer->draft, err) : write_fault(writer, err);
    if (!fine)
        file_draft_abandon(&writer->draft);
    writer_free(writer);
    return status;
}

void safe_abandon(SafeWriter *writer)
{
    if (!writer)
        return;
    file_draft_abandon(&writer->draft);
    writer_free(writer);
}
