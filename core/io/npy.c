#include "core/io/npy.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/mem.h"

static const char magic[] = "\x93NUMPY";
enum { MAGIC_BYTES = 6, HEADER_MAX = 1 << 16 };

/* The text behind `'key':` in the header, or NULL. */
static const char *member(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at)
        return NULL;
    at += strlen(key);
    return at + strspn(at, ": ");
}

static bool parse_type(const char *header, StoredType *type)
{
    const char *text = member(header, "'descr'");
    for (int i = 0; text && i < STORED_COUNT; i++) {
        const char *spelled = stored_npy((StoredType)i);
        size_t n = spelled ? strlen(spelled) : 0;
        if (spelled && text[0] == '\'' && strncmp(text + 1, spelled, n) == 0 &&
            text[n + 1] == '\'') {
            *type = (StoredType)i;
            return true;
        }
    }
    return false;
}

/* "(3, 4)", "(3,)" or "()". */
static bool parse_shape(const char *header, NpyFile *file)
{
    const char *at = member(header, "'shape'");
    if (!at || *at++ != '(')
        return false;
    int64_t count = 1;
    for (file->n_dims = 0;; file->n_dims++) {
        at += strspn(at, ", ");
        if (*at == ')')
            break;
        char *end;
        errno = 0;
        long long size = strtoll(at, &end, 10);
        if (end == at || errno || size < 0 || file->n_dims == NPY_DIMS ||
            (size > 0 && count > (INT64_MAX / 8) / size))
            return false;
        count *= size;
        file->shape[file->n_dims] = size;
        at = end;
    }
    file->bytes = count * (int64_t)stored_bytes(file->type);
    return true;
}

static Status parse_header(NpyFile *file, const char *header, const char *name, Err *err)
{
    const char *order = member(header, "'fortran_order'");
    if (!parse_type(header, &file->type))
        return err_set(err, "%s: an array of another type than little-endian numbers", name);
    if (!order || strncmp(order, "False", 5) != 0)
        return err_set(err, "%s: the array is not row-major (fortran_order)", name);
    if (!parse_shape(header, file))
        return err_set(err, "%s: the array has no readable shape of at most %d dimensions", name,
                       NPY_DIMS);
    return STATUS_OK;
}

Status npy_parse(NpyFile *file, const void *data, int64_t bytes, const char *name, Err *err)
{
    *file = (NpyFile){0};
    const uint8_t *from = data;
    if (bytes < 12 || memcmp(from, magic, MAGIC_BYTES) != 0)
        return err_set(err, "%s is not a .npy file", name);
    bool wide = from[6] >= 2;
    int64_t at = wide ? 12 : 10;
    int64_t length = from[8] | from[9] << 8;
    if (wide)
        length |= (int64_t)from[10] << 16 | (int64_t)from[11] << 24;
    if (from[6] > 3 || length > HEADER_MAX || length > bytes - at)
        return err_set(err, "%s has no readable header; is it cut short?", name);
    char *header = xstrndup((const char *)from + at, (size_t)length);
    Status status = parse_header(file, header, name, err);
    free(header);
    TRY(status);
    if (file->bytes != bytes - at - length)
        return err_set(err, "%s has %lld bytes of data and its shape asks for %lld", name,
                       (long long)(bytes - at - length), (long long)file->bytes);
    file->data = from + at + length;
    return STATUS_OK;
}

Status npy_open(NpyFile *file, const char *path, Err *err)
{
    FileMap map;
    *file = (NpyFile){0};
    TRY(file_map_open(&map, path, err));
    Status status = npy_parse(file, map.data, map.bytes, path, err);
    if (status == STATUS_OK)
        file->map = map;
    else
        file_map_close(&map);
    return status;
}

void npy_close(NpyFile *file)
{
    file_map_close(&file->map);
}

Status npy_write(const char *path, StoredType type, int64_t rows, int64_t cols, const void *data,
                 Err *err)
{
    FileDraft draft;
    TRY(file_draft_init(&draft, path, err));
    StrBuf head = {0};
    strbuf_append(&head, magic, MAGIC_BYTES);
    strbuf_append(&head, "\x01\x00\x00\x00", 4); /* version 1.0; the length is filled in below */
    strbuf_printf(&head, "{'descr': '%s', 'fortran_order': False, 'shape': (%lld, %lld), }",
                  stored_npy(type), (long long)rows, (long long)cols);
    while (head.size % 64 != 63)
        strbuf_putc(&head, ' ');
    strbuf_putc(&head, '\n');
    head.data[8] = (char)((head.size - 10) & 255);
    head.data[9] = (char)((head.size - 10) >> 8);
    size_t bytes = (size_t)(rows * cols) * stored_bytes(type);
    FILE *stream = fopen(draft.temporary, "wb");
    bool fine = stream && fwrite(head.data, 1, (size_t)head.size, stream) == (size_t)head.size &&
                fwrite(data, 1, bytes, stream) == bytes;
    int fault = errno;
    if (stream && fclose(stream) != 0 && fine) {
        fine = false;
        fault = errno;
    }
    strbuf_clear(&head);
    if (fine)
        return file_draft_commit(&draft, err);
    err_set(err, "cannot write %s: %s", draft.path, strerror(fault));
    file_draft_abandon(&draft);
    return STATUS_FAIL;
}
