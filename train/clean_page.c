#include "train/clean_page.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/io/unpack.h"
#include "core/text/utf8.h"
#include "train/clean_html.h"
#include "train/clean_roff.h"

PageKind page_kind_of_name(const char *path)
{
    const char *name = file_base_name(path);
    size_t n = unpack_name_length(name);
    const char *dot = memrchr(name, '.', n);
    if (!dot)
        return PAGE_OTHER;
    const char *end = dot + 1;
    size_t left = n - (size_t)(end - name);
    if ((left == 3 && !strncasecmp(end, "htm", 3)) || (left == 4 && !strncasecmp(end, "html", 4)) ||
        (left == 5 && !strncasecmp(end, "xhtml", 5)))
        return PAGE_HTML;
    if (left == 3 && !strncasecmp(end, "txt", 3))
        return PAGE_TEXT;
    return left >= 1 && left <= 5 && end[0] >= '1' && end[0] <= '9' &&
                   (left == 1 || isalpha((unsigned char)end[1]))
               ? PAGE_ROFF
               : PAGE_OTHER;
}

PageKind page_kind_of_content(const char *text, int64_t bytes)
{
    int64_t i = 0;
    while (i < bytes && isspace((unsigned char)text[i]))
        i++;
    const char *s = text + i;
    int64_t left = bytes - i;
    if (left >= 5 &&
        (!strncasecmp(s, "<!doc", 5) || !strncasecmp(s, "<html", 5) || !strncasecmp(s, "<?xml", 5)))
        return PAGE_HTML;
    if (left >= 3 && (s[0] == '.' || s[0] == '\'') &&
        (!memcmp(s + 1, "\\\"", 2) || !memcmp(s + 1, "TH", 2) || !memcmp(s + 1, "Dd", 2)))
        return PAGE_ROFF;
    return PAGE_TEXT;
}

/* The encoding named behind "charset=" or "coding:" in the first KiB; "" when there is none. */
static void declared_encoding(const StrBuf *text, char *name, size_t size)
{
    static const char *const marks[] = {"charset=", "coding:", "encoding="};
    int64_t head = text->size < 1024 ? text->size : 1024;
    size_t n = 0;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0] && n == 0; i++) {
        const char *found = memmem(text->data, (size_t)head, marks[i], strlen(marks[i]));
        if (!found)
            continue;
        const char *s = found + strlen(marks[i]), *end = text->data + head;
        while (s < end && (*s == ' ' || *s == '"' || *s == '\''))
            s++;
        while (s < end && n + 1 < size && (isalnum((unsigned char)*s) || strchr("-_.:", *s)))
            name[n++] = *s++;
    }
    name[n] = '\0';
}

/* False when the text is not in that encoding or the encoding is not known here. */
static bool recode(StrBuf *text, const char *encoding)
{
    iconv_t converter = iconv_open("UTF-8", encoding);
    if (converter == (iconv_t)-1)
        return false;
    StrBuf out = {0};
    char *in = text->data, block[4096];
    size_t left = (size_t)text->size;
    bool good = true;
    while (good && left > 0) {
        char *to = block;
        size_t room = sizeof block;
        size_t code = iconv(converter, &in, &left, &to, &room);
        good = code != (size_t)-1 || (errno == E2BIG && to > block);
        strbuf_append(&out, block, sizeof block - room);
    }
    iconv_close(converter);
    if (!good) {
        strbuf_clear(&out);
        return false;
    }
    strbuf_clear(text);
    *text = out;
    return true;
}

Status page_to_utf8(StrBuf *text, const char *fallback, Err *err)
{
    int64_t bad = utf8_valid_prefix(text->data, text->size);
    if (bad == text->size)
        return STATUS_OK;
    char declared[48];
    declared_encoding(text, declared, sizeof declared);
    bool marked = text->size >= 2 && (memcmp(text->data, "\xff\xfe", 2) == 0 ||
                                      memcmp(text->data, "\xfe\xff", 2) == 0);
    if ((marked && recode(text, "UTF-16")) || (declared[0] && recode(text, declared)) ||
        (fallback && recode(text, fallback)))
        return STATUS_OK;
    return err_set(err, "byte %lld (0x%02x) is not UTF-8%s%s%s; name its encoding with --encoding",
                   (long long)bad, (unsigned char)text->data[bad],
                   declared[0] ? ", nor the text all " : "", declared,
                   fallback ? ", nor the encoding that was given" : "");
}

static void read_plain(const StrBuf *text, Paragraphs *out)
{
    const char *s = text->data;
    int64_t left = text->size;
    paragraph_end(out);
    while (left > 0) {
        const char *end = memchr(s, '\n', (size_t)left);
        int64_t line = end ? end - s + 1 : left, inked = 0;
        while (inked < line && isspace((unsigned char)s[inked]))
            inked++;
        if (inked == line)
            paragraph_end(out);
        else
            paragraph_add(out, s, line);
        s += line, left -= line;
    }
    paragraph_end(out);
}

void page_read(PageKind kind, const StrBuf *text, const StringList *skip, Paragraphs *out)
{
    switch (kind) {
    case PAGE_HTML:
        html_read(text->data, text->size, skip, out);
        break;
    case PAGE_ROFF:
        roff_read(text->data, text->size, out);
        break;
    default:
        read_plain(text, out);
        break;
    }
}
