#include "train/clean_text.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

void paragraphs_reset(Paragraphs *p)
{
    strbuf_reset(&p->text);
    strbuf_reset(&p->open);
    p->count = 0;
    p->verbatim = false;
}

void paragraphs_clear(Paragraphs *p)
{
    strbuf_clear(&p->text);
    strbuf_clear(&p->open);
    free(p->ends);
    *p = (Paragraphs){0};
}

void paragraph_add(Paragraphs *p, const char *text, int64_t bytes)
{
    strbuf_append(&p->open, text, (size_t)bytes);
}

void paragraph_add_char(Paragraphs *p, uint32_t code)
{
    char bytes[UTF8_MAX];
    int count = code ? utf8_encode(code, bytes) : 0;
    strbuf_append(&p->open, bytes, (size_t)count);
}

/* The character at `text`, of which `left` bytes remain; bytes that are not UTF-8 give U+FFFD. */
static int64_t next_char(const char *text, int64_t left, int32_t *code)
{
    uint32_t found;
    int n = utf8_decode(text, left, &found);
    *code = n ? (int32_t)found : 0xfffd;
    return n ? n : 1;
}

/* Characters of scripts written without blanks, and their punctuation. */
static bool joins_without_blank(int32_t c)
{
    return (c >= 0x2e80 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0xfe30 && c <= 0xfe4f) || (c >= 0xff01 && c <= 0xff60) ||
           (c >= 0x20000 && c <= 0x3ffff);
}

static bool is_blank(int32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 || c == 0x85 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f;
}

/* Controls, soft hyphens, zero-width and direction marks, private use, replacement characters. */
static bool is_invisible(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
        return true;
    default:
        return c == 0xfffd;
    }
}

/* U+2028, which means what <br> does; in the text that is being filled. */
#define LINE_BREAK "\xe2\x80\xa8"

typedef struct Gap {
    int64_t blanks; /* since the last visible character, or since the last line break */
    int64_t lines;
    bool broken; /* by a LINE_BREAK */
} Gap;

static void write_gap(Paragraphs *p, Gap gap, bool first, bool no_blank)
{
    if (p->verbatim) {
        for (int64_t i = 0; i < gap.lines && i < 2 && !first; i++)
            strbuf_putc(&p->text, '\n');
        for (int64_t i = 0; i < gap.blanks && i < 64; i++)
            strbuf_putc(&p->text, ' ');
    } else if (!first && gap.broken) {
        strbuf_putc(&p->text, '\n');
    } else if (!first && (gap.blanks || gap.lines) && !no_blank) {
        strbuf_putc(&p->text, ' ');
    }
}

void paragraph_break(Paragraphs *p)
{
    int64_t end = p->open.size, mark = (int64_t)strlen(LINE_BREAK);
    while (end > 0 && is_blank((unsigned char)p->open.data[end - 1]))
        end--;
    if (p->verbatim)
        strbuf_putc(&p->open, '\n');
    else if (end >= mark && memcmp(p->open.data + end - mark, LINE_BREAK, (size_t)mark) == 0)
        paragraph_end(p);
    else
        strbuf_puts(&p->open, LINE_BREAK);
}

void paragraph_end(Paragraphs *p)
{
    const char *s = p->open.data;
    int64_t left = p->open.size, start = p->text.size;
    int32_t before = 0, code;
    Gap gap = {0};
    while (left > 0) {
        int64_t n = next_char(s, left, &code);
        if (code == '\n' || code == 0x2028) {
            gap = (Gap){0, gap.lines + 1, gap.broken || code != '\n'};
        } else if (is_blank(code)) {
            gap.blanks += code == '\t' ? 4 : 1;
        } else if (!is_invisible(code)) {
            bool no_blank = gap.lines && joins_without_blank(before) && joins_without_blank(code);
            write_gap(p, gap, before == 0, no_blank);
            strbuf_append(&p->text, s, (size_t)n);
            gap = (Gap){0};
            before = code;
        }
        s += n, left -= n;
    }
    strbuf_reset(&p->open);
    p->verbatim = false;
    if (p->text.size == start)
        return;
    p->ends = mem_grow(p->ends, &p->capacity, p->count + 1, sizeof *p->ends);
    p->ends[p->count++] = p->text.size;
}

const char *paragraph_at(const Paragraphs *p, int64_t index, int64_t *bytes)
{
    int64_t start = index ? p->ends[index - 1] : 0;
    *bytes = p->ends[index] - start;
    return p->text.data + start;
}

static bool in_script(int32_t c, Script script)
{
    switch (script) {
    case SCRIPT_LATIN:
        return c < 0x250 || (c >= 0x1e00 && c <= 0x1eff) || (c >= 0x2c60 && c <= 0x2c7f) ||
               (c >= 0xa720 && c <= 0xa7ff) || (c >= 0xab30 && c <= 0xab6f) ||
               (c >= 0xff21 && c <= 0xff5a);
    case SCRIPT_CYRILLIC:
        return (c >= 0x400 && c <= 0x52f) || (c >= 0x1c80 && c <= 0x1c8f) ||
               (c >= 0x2de0 && c <= 0x2dff) || (c >= 0xa640 && c <= 0xa69f);
    case SCRIPT_HAN:
        return (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) ||
               (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff) || c == 0x3005;
    }
    return false;
}

static bool is_letter(int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

double script_share(const char *text, int64_t bytes, Script script)
{
    int64_t letters = 0, ours = 0;
    while (bytes > 0) {
        int32_t code;
        int64_t n = next_char(text, bytes, &code);
        if (is_letter(code)) {
            letters++;
            ours += in_script(code, script);
        }
        text += n, bytes -= n;
    }
    return letters ? (double)ours / (double)letters : 0.0;
}
