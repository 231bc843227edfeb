#include "core/io/corpus_reader.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "core/base/lines.h"
#include "core/base/mem.h"
#include "core/text/utf8.h"
#include "core/io/corpus_file.h"

enum { READ_BYTES = 1 << 20, DOCUMENT_LIMIT = 1 << 30 };

struct CorpusReader {
    CorpusFile *file;
    char *path;
    char *field;
    bool json;
    bool ended;    /* the file gave all its bytes */
    StrBuf buffer; /* bytes not delivered yet, from `start` on */
    int64_t start;
    int64_t line; /* number of the line that `start` is on */
};

/* Whether the name ends in .`suffix`, with or without .gz or .xz behind it. */
static bool named(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    if (file_has_suffix(path, ".gz") || file_has_suffix(path, ".xz"))
        n -= 3;
    return n > m && path[n - m - 1] == '.' && strncasecmp(path + n - m, suffix, m) == 0;
}

CorpusReader *corpus_reader_open(const char *path, const char *field, Err *err)
{
    CorpusFile *file = corpus_file_open(path, err);
    if (!file)
        return NULL;
    CorpusReader *reader = xcalloc(1, sizeof *reader);
    reader->file = file;
    reader->path = xstrdup(strcmp(path, "-") == 0 ? "standard input" : path);
    reader->field = xstrdup(field);
    reader->json = named(path, "jsonl") || named(path, "ndjson");
    reader->line = 1;
    return reader;
}

void corpus_reader_close(CorpusReader *reader)
{
    if (!reader)
        return;
    corpus_file_close(reader->file);
    strbuf_clear(&reader->buffer);
    free(reader->path);
    free(reader->field);
    free(reader);
}

int64_t corpus_reader_position(const CorpusReader *reader)
{
    return corpus_file_position(reader->file);
}

/* Finds the next piece that ends with `mark` or with the file; its bytes stay in the buffer until
 * the next call. `*found` is false when nothing is left. */
static Status next_piece(CorpusReader *reader, char mark, const char **piece, int64_t *bytes,
                         bool *found, Err *err)
{
    int64_t scanned = reader->start;
    const char *end = NULL;
    for (;;) {
        StrBuf *buffer = &reader->buffer;
        if (scanned < buffer->size)
            end = memchr(buffer->data + scanned, mark, (size_t)(buffer->size - scanned));
        scanned = buffer->size;
        if (end || reader->ended)
            break;
        if (buffer->size - reader->start > DOCUMENT_LIMIT)
            return err_set(err,
                           "%s:%lld: a document of more than 1 GiB; separate documents with form "
                           "feeds",
                           reader->path, (long long)reader->line);
        if (reader->start > buffer->size / 2) {
            memmove(buffer->data, buffer->data + reader->start,
                    (size_t)(buffer->size - reader->start));
            buffer->size -= reader->start, scanned -= reader->start, reader->start = 0;
        }
        int64_t got;
        TRY(corpus_file_read(reader->file, READ_BYTES, buffer, &got, err));
        reader->ended = got == 0;
        /* Before a gigabyte of them is gathered. */
        if (got && memchr(buffer->data + buffer->size - got, '\0', (size_t)got))
            return err_set(err,
                           "%s has zero bytes, as no UTF-8 text has (is it UTF-16, or no text at "
                           "all?); convert the file with iconv or leave it out",
                           reader->path);
    }
    *piece = reader->buffer.data + reader->start;
    *bytes = end ? end - *piece : reader->buffer.size - reader->start;
    *found = end || *bytes > 0;
    reader->start += *bytes + (end != NULL);
    return STATUS_OK;
}

static bool is_blank(const char *text, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++)
        if (!strchr(" \t\r\n\v", text[i]) || text[i] == '\0')
            return false;
    return true;
}

static Status check_utf8(const CorpusReader *reader, const char *text, int64_t bytes, Err *err)
{
    int64_t bad = utf8_valid_prefix(text, bytes);
    if (bad == bytes)
        return STATUS_OK;
    return err_set(
        err,
        "%s:%lld: byte 0x%02x is not UTF-8 here; convert the file with iconv -t UTF-8 or "
        "leave it out",
        reader->path, (long long)(reader->line + lines_count_feeds(text, bad)),
        (unsigned char)text[bad]);
}

static Status next_text(CorpusReader *reader, StrBuf *out, bool *found, Err *err)
{
    const char *piece;
    int64_t bytes;
    for (;;) {
        TRY(next_piece(reader, '\f', &piece, &bytes, found, err));
        if (!*found)
            return STATUS_OK;
        TRY(check_utf8(reader, piece, bytes, err));
        int64_t lines = lines_count_feeds(piece, bytes);
        int64_t mark = bytes >= 3 && memcmp(piece, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        if (!is_blank(piece + mark, bytes - mark)) {
            strbuf_append(out, piece + mark, (size_t)(bytes - mark));
            reader->line += lines;
            return STATUS_OK;
        }
        reader->line += lines;
    }
}

static Status parse_line(const CorpusReader *reader, const char *line, int64_t bytes, StrBuf *out,
                         Err *err)
{
    json_error_t why;
    json_t *object = json_loadb(line, (size_t)bytes, JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);
    if (!object)
        return err_set(err, "%s:%lld: not JSON (%s, at byte %d); mend or remove the line",
                       reader->path, (long long)reader->line, why.text, why.position);
    const json_t *text = json_object_get(object, reader->field);
    Status status = STATUS_OK;
    if (!json_is_string(text))
        status =
            err_set(err, "%s:%lld: no text in the member \"%s\"; name the right one with --field",
                    reader->path, (long long)reader->line, reader->field);
    else
        strbuf_append(out, json_string_value(text), json_string_length(text));
    json_decref(object);
    return status;
}

static Status next_json(CorpusReader *reader, StrBuf *out, bool *found, Err *err)
{
    const char *line;
    int64_t bytes;
    for (;; reader->line++) {
        TRY(next_piece(reader, '\n', &line, &bytes, found, err));
        if (!*found)
            return STATUS_OK;
        if (is_blank(line, bytes))
            continue;
        TRY(parse_line(reader, line, bytes, out, err));
        if (!is_blank(out->data, out->size)) {
            reader->line++;
            return STATUS_OK;
        }
        strbuf_reset(out);
    }
}

Status corpus_reader_next(CorpusReader *reader, StrBuf *out, bool *found, Err *err)
{
    strbuf_reset(out);
    return reader->json ? next_json(reader, out, found, err) : next_text(reader, out, found, err);
}

Status corpus_reader_list(const char *path, StringList *out, Err *err)
{
    static const char *const suffixes[] = {"txt", "md", "jsonl", "ndjson"};
    if (strcmp(path, "-") == 0) {
        string_list_add(out, path);
        return STATUS_OK;
    }
    StringList all = {0};
    int64_t before = out->count;
    Status status = file_list(path, &all, err);
    for (int64_t i = 0; i < all.count; i++) {
        bool wanted = strcmp(all.items[i], path) == 0;
        for (size_t k = 0; k < sizeof suffixes / sizeof suffixes[0]; k++)
            wanted |= named(all.items[i], suffixes[k]);
        if (wanted)
            string_list_add(out, all.items[i]);
    }
    string_list_clear(&all);
    if (status == STATUS_OK && out->count == before)
        status = err_set(err, "%s holds no file named .txt, .md, .jsonl or .ndjson", path);
    return status;
}
