#include "infer/eval/segment_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/lines.h"
#include "core/base/mem.h"
#include "core/text/utf8.h"

enum { LINE_LIMIT = 1 << 18 }; /* bytes: the n-grams of a line take 200 times as much memory */

static int64_t without_space_at_end(const char *text, int64_t bytes)
{
    while (bytes > 0) {
        int64_t at = bytes - 1;
        while (at > 0 && ((uint8_t)text[at] & 0xC0) == 0x80)
            at--;
        uint32_t code;
        if (utf8_decode(text + at, bytes - at, &code) == 0 || !code_is_space(code))
            break;
        bytes = at;
    }
    return bytes;
}

static Status add_line(SegmentFile *file, const TextLine *line, const char *name, Err *err)
{
    if (line->bytes > LINE_LIMIT)
        return err_set(err, "%s: line %lld has more than %d bytes; give one sentence a line", name,
                       (long long)line->number, LINE_LIMIT);
    if (utf8_valid_prefix(line->text, line->bytes) != line->bytes)
        return err_set(err, "%s: line %lld is not UTF-8; convert the file, for example with iconv",
                       name, (long long)line->number);
    file->segments =
        mem_grow(file->segments, &file->capacity, file->count + 1, sizeof *file->segments);
    file->segments[file->count++] =
        (Segment){line->text, without_space_at_end(line->text, line->bytes)};
    return STATUS_OK;
}

Status segment_file_parse(SegmentFile *out, StrBuf *text, const char *name, Err *err)
{
    *out = (SegmentFile){.text = *text};
    *text = (StrBuf){0};
    if (out->text.size == 0)
        return err_set(err, "%s is empty; it should have one segment a line", name);
    for (TextLine line = lines_of(out->text.data, out->text.size); lines_next(&line);)
        TRY(add_line(out, &line, name, err));
    return STATUS_OK;
}

Status segment_file_read(SegmentFile *out, const char *path, Err *err)
{
    *out = (SegmentFile){0};
    StrBuf text = {0};
    Status status = file_read(path, 0, &text, err);
    if (status == STATUS_OK)
        status =
            segment_file_parse(out, &text, strcmp(path, "-") == 0 ? "standard input" : path, err);
    strbuf_clear(&text);
    return status;
}

void segment_file_clear(SegmentFile *file)
{
    free(file->segments);
    strbuf_clear(&file->text);
    *file = (SegmentFile){0};
}
