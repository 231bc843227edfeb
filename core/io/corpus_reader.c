#include "core/io/corpus_reader.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/lines.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/corpus_file.h"
#include "core/io/corpus_list.h"
#include "core/text/json_scan.h"
#include "core/text/utf8.h"

enum { READ_BYTES = 1 << 20, DOCUMENT_LIMIT = 1 << 30 };

struct CorpusReader {
    CorpusFile *file;
    char *path;
    char *field;
    CorpusSkips *skips;
    bool json;
    bool ended;    /* the file gave all its bytes */
    StrBuf buffer; /* bytes not delivered yet, from `start` on */
    int64_t start;
    int64_t line; /* number of the line that `start` is on */
};

CorpusReader *corpus_reader_open(const char *path, const CorpusOptions *options, Err *err)
{
    CorpusFile *file = corpus_file_open(path, err);
    if (!file)
        return NULL;
    CorpusReader *reader = xcalloc(1, sizeof *reader);
    bool standard = strcmp(path, "-") == 0;
    reader->file = file;
    reader->path = xstrdup(standard ? "standard input" : path);
    reader->field = xstrdup(options->field);
    reader->skips = options->skips;
    reader->json = standard ? options->standard_input_json
                            : corpus_named(path, "jsonl") || corpus_named(path, "ndjson");
    reader->line = 1;
    if (!standard && corpus_named(path, "json"))
        log_warn("%s is read as plain text, braces and all; JSON lines are named .jsonl", path);
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

static const struct Format {
    const char *name, *magic;
    int64_t at, bytes;
} formats[] = {
    {"a zip archive", "PK\3\4", 0, 4},
    {"a 7-Zip archive", "7z\xbc\xaf\x27\x1c", 0, 6},
    {"a RAR archive", "Rar!\x1a\7", 0, 6},
    {"a tar archive", "ustar", 257, 5},
    {"packed with lz4", "\4\x22\x4d\x18", 0, 4},
    {"packed with compress", "\x1f\x9d", 0, 2},
    {"packed with lzma", "\x5d\0\0", 0, 3},
    {"a Parquet file", "PAR1", 0, 4},
    {"an Arrow file", "ARROW1", 0, 6},
    {"an HDF5 file", "\x89HDF", 0, 4},
    {"an SQLite file", "SQLite format 3", 0, 15},
    {"a PDF file", "%PDF-", 0, 5},
    {"UTF-16", "\xff\xfe", 0, 2},
    {"UTF-16", "\xfe\xff", 0, 2},
};

/* What the file is that has zero bytes, told by how it begins. */
static Status not_text(const CorpusReader *reader, Err *err)
{
    const StrBuf *buffer = &reader->buffer;
    for (size_t i = 0; reader->line == 1 && i < sizeof formats / sizeof *formats; i++) {
        const struct Format *f = &formats[i];
        if (buffer->size >= f->at + f->bytes &&
            memcmp(buffer->data + f->at, f->magic, (size_t)f->bytes) == 0)
            return err_set(err, "%s is %s; %s, or leave it out", reader->path, f->name,
                           strcmp(f->name, "UTF-16") == 0 ? "convert it with iconv -t UTF-8"
                                                          : "turn it into text or JSON lines");
    }
    return err_set(err,
                   "%s has zero bytes, as no UTF-8 text has (is it UTF-16, or no text at all?); "
                   "convert the file with iconv or leave it out",
                   reader->path);
}

static Status read_more(CorpusReader *reader, Err *err)
{
    StrBuf *buffer = &reader->buffer;
    int64_t got;
    TRY(corpus_file_read(reader->file, READ_BYTES, buffer, &got, err));
    reader->ended = got == 0;
    if (!got || reader->skips)
        return STATUS_OK; /* bad pieces are left out one by one */
    /* Before a gigabyte of them is gathered. A JSON line can say for itself that it is bad. */
    const char *fresh = buffer->data + buffer->size - got;
    const char *zero = memchr(fresh, '\0', (size_t)got);
    bool told = zero && reader->json && memchr(buffer->data, '\n', (size_t)(zero - buffer->data));
    return zero && !told ? not_text(reader, err) : STATUS_OK;
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
                           reader->json ? "%s:%lld: a line of more than 1 GiB; is it JSON lines?"
                                        : "%s:%lld: a document of more than 1 GiB; separate "
                                          "documents with form feeds",
                           reader->path, (long long)reader->line);
        if (reader->start > buffer->size / 2) {
            memmove(buffer->data, buffer->data + reader->start,
                    (size_t)(buffer->size - reader->start));
            buffer->size -= reader->start, scanned -= reader->start, reader->start = 0;
        }
        TRY(read_more(reader, err));
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

/* What to do about a piece that cannot be read, why being in `err`: it is left out, or the reading
 * ends. */
static Status skip_bad(CorpusReader *reader, Err *err)
{
    CorpusSkips *skips = reader->skips;
    if (!skips) {
        Err why = *err;
        return err_set(err, "%s, or leave out such %s with --skip-bad", why.text,
                       reader->json ? "lines" : "documents");
    }
    if (skips->lines + skips->documents == 0)
        skips->first = *err;
    skips->lines += reader->json;
    skips->documents += !reader->json;
    return STATUS_OK;
}

static Status check_text(const CorpusReader *reader, const char *text, int64_t bytes, Err *err)
{
    int64_t bad = utf8_valid_prefix(text, bytes);
    const char *zero = memchr(text, '\0', (size_t)bad);
    if (!zero && bad == bytes)
        return STATUS_OK;
    if (zero)
        bad = zero - text;
    return err_set(err,
                   "%s:%lld: byte 0x%02x is not UTF-8 text here; convert the file with iconv -t "
                   "UTF-8",
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
        int64_t lines = lines_count_feeds(piece, bytes);
        int64_t mark = bytes >= 3 && memcmp(piece, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        bool good = check_text(reader, piece, bytes, err) == STATUS_OK;
        if (!good)
            TRY(skip_bad(reader, err));
        reader->line += lines;
        if (good && !is_blank(piece + mark, bytes - mark)) {
            strbuf_append(out, piece + mark, (size_t)(bytes - mark));
            return STATUS_OK;
        }
    }
}

/* The text of a line; nothing but its member is looked at. */
static Status parse_line(const CorpusReader *reader, const char *line, int64_t bytes, StrBuf *out,
                         Err *err)
{
    JsonSpan value, member;
    JsonFault fault;
    long long number = reader->line;
    int64_t mark = bytes >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    const char *zero = memchr(line, '\0', (size_t)bytes);
    if (zero)
        return err_set(err, "%s:%lld: a zero byte at byte %lld; mend or remove the line",
                       reader->path, number, (long long)(zero - line) + 1);
    if (!json_scan_find(line + mark, bytes - mark, reader->field, &value, &member, &fault))
        return err_set(err, "%s:%lld: not JSON (%s, at byte %lld); mend or remove the line",
                       reader->path, number, fault.why, (long long)(fault.at + mark) + 1);
    if (value.kind != JSON_KIND_OBJECT)
        return err_set(err, "%s:%lld: %s, where each line is an object; mend or remove the line",
                       reader->path, number, json_kind_name(value.kind));
    if (member.kind == JSON_KIND_NULL)
        return STATUS_OK;
    if (member.kind == JSON_KIND_NONE)
        return err_set(err,
                       "%s:%lld: no member \"%s\"; name the one that holds the text with "
                       "--field",
                       reader->path, number, reader->field);
    if (member.kind != JSON_KIND_TEXT)
        return err_set(err,
                       "%s:%lld: the member \"%s\" is %s and not a text; name another with "
                       "--field",
                       reader->path, number, reader->field, json_kind_name(member.kind));
    if (!json_scan_text(&member, out, &fault))
        return err_set(err,
                       "%s:%lld: the member \"%s\" is not a text (%s, at byte %lld); mend or "
                       "remove the line",
                       reader->path, number, reader->field, fault.why,
                       (long long)(member.text - line + fault.at) + 1);
    return STATUS_OK;
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
        bool good = parse_line(reader, line, bytes, out, err) == STATUS_OK;
        if (!good)
            TRY(skip_bad(reader, err));
        if (good && !is_blank(out->data, out->size)) {
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

/* "3 lines", "1 document", "2 lines and 1 document" */
static void count_skips(const CorpusSkips *skips, StrBuf *out)
{
    if (skips->lines)
        strbuf_printf(out, "%lld line%s", (long long)skips->lines, skips->lines == 1 ? "" : "s");
    if (skips->lines && skips->documents)
        strbuf_puts(out, " and ");
    if (skips->documents)
        strbuf_printf(out, "%lld document%s", (long long)skips->documents,
                      skips->documents == 1 ? "" : "s");
}

void corpus_skips_tell(const CorpusSkips *skips)
{
    StrBuf counted = {0};
    count_skips(skips, &counted);
    if (counted.size)
        log_warn("%s could not be read and %s left out; the first: %s", counted.data,
                 skips->lines + skips->documents == 1 ? "is" : "are", skips->first.text);
    strbuf_clear(&counted);
}

Status corpus_no_text(const StringList *files, const CorpusSkips *skips, Err *err)
{
    StrBuf counted = {0};
    if (skips)
        count_skips(skips, &counted);
    const char *others = files->count > 1 ? " and the other files" : "";
    if (counted.size)
        err_set(err, "no text in %s%s: %s cannot be read; the first: %s", files->items[0], others,
                counted.data, skips->first.text);
    else
        err_set(err, "no text in %s%s", files->items[0], others);
    strbuf_clear(&counted);
    return STATUS_FAIL;
}
