#include "infer/eval/items.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/file_lock.h"
#include "core/base/lines.h"
#include "core/base/mem.h"
#include "core/text/json_read.h"

const char items_format[] = "cambium-items";
/* What every file begins with, as write_line() writes a header. */
static const char beginning[] = "{\"format\":\"cambium-items\"";

struct ItemsFile {
    char *path;
    FILE *file;
    json_t *lines;    /* those that were there */
    int64_t *offsets; /* where each begins, and where the last one ends */
    int64_t capacity;
    FileLock lock;
};

static Status write_failed(const ItemsFile *items, Err *err)
{
    return err_set(err, "%s: %s; make room, and go on with --resume", items->path, strerror(errno));
}

static Status write_line(ItemsFile *items, const json_t *line, Err *err)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17));
    CHECK(text, "an item that is no JSON");
    bool fine = fputs(text, items->file) >= 0 && fputc('\n', items->file) >= 0;
    free(text);
    return fine ? STATUS_OK : write_failed(items, err);
}

/* The name of the first member of either that differs, or NULL. */
static const char *difference(const json_t *a, const json_t *b)
{
    const json_t *objects[] = {a, b};
    for (int i = 0; i < 2; i++) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)objects[i], key, value)
        {
            if (!json_equal(value, json_object_get(objects[1 - i], key)))
                return key;
        }
    }
    return NULL;
}

/* A file may end anywhere in what every one begins with: it was cut off. */
static Status check_beginning(const ItemsFile *items, const StrBuf *text, Err *err)
{
    size_t size = (size_t)text->size, whole = sizeof beginning - 1;
    if (size == 0 || memcmp(text->data, beginning, size < whole ? size : whole) == 0)
        return STATUS_OK;
    return err_set(err, "%s is not a file of --save-items; name another", items->path);
}

static Status check_header(const ItemsFile *items, const json_t *found, const json_t *wanted,
                           Err *err)
{
    const char *key = difference(wanted, found);
    if (!key)
        return STATUS_OK;
    /* "settings" holds "seed", "shots" and "questions" hold what belongs to "arc_easy". */
    const json_t *inner[] = {json_object_get(wanted, key), json_object_get(found, key)};
    const char *what = json_is_object(inner[0]) && json_is_object(inner[1])
                           ? difference(inner[0], inner[1])
                           : NULL;
    return err_set(err,
                   "%s differs in %s%s%s; --resume goes on with the same settings, or remove the "
                   "file",
                   items->path, key, what ? ": " : "", what ? what : "");
}

static void add_offset(ItemsFile *items, int64_t index, int64_t offset)
{
    items->offsets = mem_grow(items->offsets, &items->capacity, index + 1, sizeof *items->offsets);
    items->offsets[index] = offset;
}

/* Reads what is there; a last line without its end, or that is no JSON, was cut off. */
static Status read_lines(ItemsFile *items, const json_t *header, Err *err)
{
    StrBuf text = {0};
    Status status = file_read(items->path, 0, &text, err);
    if (status == STATUS_OK)
        status = check_beginning(items, &text, err);
    bool headed = false;
    TextLine line = lines_of(text.data, text.size);
    add_offset(items, 0, 0);
    while (status == STATUS_OK && lines_next(&line) && line.ended) {
        json_error_t error;
        json_t *object = json_read(line.text, line.bytes, 0, &error);
        if (!object && line.next == line.end)
            break;
        if (!object) {
            status = err_set(err, "%s:%lld: not JSON at column %d: %s; remove the file",
                             items->path, (long long)line.number, error.column, error.text);
        } else if (!headed) {
            headed = true;
            status = check_header(items, object, header, err);
            json_decref(object);
        } else {
            json_array_append_new(items->lines, object);
        }
        add_offset(items, items_count(items), line.next - text.data);
    }
    strbuf_clear(&text);
    if (status == STATUS_OK && !headed)
        add_offset(items, 0, 0);
    return status;
}

static Status lock_file(ItemsFile *items, Err *err)
{
    char *path = xasprintf("%s.lock", items->path), *doing = xasprintf("writes %s", items->path);
    Status status = file_lock_take(&items->lock, path, doing, err);
    free(path);
    free(doing);
    return status;
}

static Status open_file(ItemsFile *items, const json_t *header, bool resume, Err *err)
{
    TRY(lock_file(items, err));
    bool there = file_exists(items->path);
    if (there && !resume)
        return err_set(err, "%s is there already; --resume goes on with it, or remove it",
                       items->path);
    if (there)
        TRY(read_lines(items, header, err));
    items->file = fopen(items->path, there ? "r+" : "w");
    if (!items->file)
        return err_set(err, "%s: %s", items->path, strerror(errno));
    if (there)
        TRY(items_cut(items, items_count(items), err));
    if (there && items->offsets[0] > 0)
        return STATUS_OK;
    TRY(write_line(items, header, err));
    TRY(items_flush(items, err));
    add_offset(items, 0, ftell(items->file));
    return STATUS_OK;
}

Status items_open(ItemsFile **out, const char *path, const json_t *header, bool resume, Err *err)
{
    *out = xcalloc(1, sizeof **out);
    (*out)->path = xstrdup(path);
    (*out)->lines = json_array();
    Status status = open_file(*out, header, resume, err);
    if (status != STATUS_OK) {
        Err ignored;
        items_close(*out, &ignored);
        *out = NULL;
    }
    return status;
}

Status items_close(ItemsFile *items, Err *err)
{
    if (!items)
        return STATUS_OK;
    Status status = STATUS_OK;
    if (items->file && fclose(items->file) != 0)
        status = write_failed(items, err);
    file_lock_release(&items->lock);
    json_decref(items->lines);
    free(items->offsets);
    free(items->path);
    free(items);
    return status;
}

int64_t items_count(const ItemsFile *items)
{
    return (int64_t)json_array_size(items->lines);
}

const json_t *items_line(const ItemsFile *items, int64_t index)
{
    return json_array_get(items->lines, (size_t)index);
}

const char *items_path(const ItemsFile *items)
{
    return items->path;
}

Status items_cut(ItemsFile *items, int64_t count, Err *err)
{
    CHECK(count <= items_count(items), "%lld lines of %lld", (long long)count,
          (long long)items_count(items));
    int64_t end = items->offsets[count];
    if (ftruncate(fileno(items->file), end) != 0 || fseeko(items->file, end, SEEK_SET) != 0)
        return write_failed(items, err);
    return STATUS_OK;
}

Status items_add(ItemsFile *items, json_t *line, Err *err)
{
    Status status = write_line(items, line, err);
    json_decref(line);
    return status;
}

Status items_flush(ItemsFile *items, Err *err)
{
    return fflush(items->file) == 0 ? STATUS_OK : write_failed(items, err);
}
