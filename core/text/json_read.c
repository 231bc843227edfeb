#include "core/text/json_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

/* A document on its way to jansson. */
typedef struct Cleaner {
    const char *at, *end;
    StrBuf out;
    StrBuf open;   /* the brackets around `at` */
    char last;     /* the last bracket, comma or colon */
    int64_t cut;   /* where in `out` a value begins that is nested too deep, or -1 */
    bool verbatim; /* not JSON: jansson is to say why */
} Cleaner;

#define UNREADABLE "(unreadable)"
static const char not_finite[] = "not a finite number", not_unicode[] = "not Unicode",
                  too_deep[] = "nested too deep";

const char *json_unreadable(const json_t *value)
{
    return json_string_value(json_object_get(value, UNREADABLE));
}

static void put_stand_in(Cleaner *c, const char *why)
{
    strbuf_printf(&c->out, "{\"" UNREADABLE "\":\"%s\"}", why);
}

static void cut_to(StrBuf *buf, int64_t size)
{
    buf->size = size;
    buf->data[size] = '\0';
}

/* ---- numbers -------------------------------------------------------------------------------- */

static int64_t span(const Cleaner *c, const char *of)
{
    int64_t bytes = 0;
    while (c->at + bytes < c->end && c->at[bytes] && strchr(of, c->at[bytes]))
        bytes++;
    return bytes;
}

/* As Python writes numbers that are not finite. */
static bool take_word(Cleaner *c)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    for (int i = 0; i < 3; i++) {
        int64_t bytes = (int64_t)strlen(words[i]);
        if (c->end - c->at >= bytes && memcmp(c->at, words[i], (size_t)bytes) == 0) {
            put_stand_in(c, not_finite);
            c->at += bytes;
            return true;
        }
    }
    return false;
}

static void take_number(Cleaner *c)
{
    int64_t bytes = span(c, "+-0123456789.eE");
    char *number = xstrndup(c->at, (size_t)bytes), *rest;
    bool is_integer = strspn(number, "-0123456789") == (size_t)bytes;
    double value = strtod(number, &rest);
    errno = 0;
    if (*rest == '\0' && !isfinite(value)) {
        put_stand_in(c, not_finite);
    } else {
        strbuf_append(&c->out, number, (size_t)bytes);
        if (is_integer && (strtoll(number, NULL, 10), errno == ERANGE))
            strbuf_puts(&c->out, ".0");
    }
    c->at += bytes;
    free(number);
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* The number of an escape \uXXXX at `at`, or -1. */
static int64_t escaped(const char *at, const char *end)
{
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    int64_t code = 0;
    for (int i = 2; i < 6; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit =
            at[i] ? strchr(digits, at[i] | ('A' <= at[i] && at[i] <= 'F' ? 32 : 0)) : NULL;
        if (!digit)
            return -1;
        code = code * 16 + (digit - digits);
    }
    return code;
}

/* The bytes of the characters or escape at `at`; `*fine` when a text (or a name) can hold it. */
static int64_t piece_at(const char *at, const char *end, bool is_name, bool *fine)
{
    uint32_t unused;
    int64_t code = escaped(at, end);
    *fine = true;
    if (code < 0 && *at == '\\')
        return end - at < 2 ? 1 : 2;
    if (code < 0 && *at > 0) { /* ASCII up to something else */
        int64_t bytes = 1;
        while (at + bytes < end && at[bytes] > 0 && at[bytes] != '"' && at[bytes] != '\\')
            bytes++;
        return bytes;
    }
    if (code < 0) {
        int bytes = utf8_decode(at, end - at, &unused);
        *fine = bytes > 0;
        return bytes > 0 ? bytes : 1;
    }
    if (code >= 0xd800 && code < 0xdc00) {
        int64_t low = escaped(at + 6, end);
        *fine = low >= 0xdc00 && low < 0xe000;
        return *fine ? 12 : 6;
    }
    *fine = !(code >= 0xdc00 && code < 0xe000) && !(code == 0 && is_name);
    return 6;
}

/* From quote to quote. */
static void take_text(Cleaner *c)
{
    bool is_name = c->open.size > 0 && c->open.data[c->open.size - 1] == '{' &&
                   (c->last == '{' || c->last == ',');
    int64_t start = c->out.size;
    bool all_fine = true;
    strbuf_putc(&c->out, *c->at++);
    while (c->at < c->end && *c->at != '"') {
        bool fine;
        int64_t bytes = piece_at(c->at, c->end, is_name, &fine);
        if (fine)
            strbuf_append(&c->out, c->at, (size_t)bytes);
        else
            strbuf_puts(&c->out, UTF8_REPLACEMENT);
        all_fine = all_fine && fine;
        c->at += bytes;
    }
    if (c->at < c->end)
        strbuf_putc(&c->out, *c->at++);
    if (!all_fine && !is_name) {
        cut_to(&c->out, start);
        put_stand_in(c, not_unicode);
    }
}

/* ---- all ------------------------------------------------------------------------------------ */

static void take_mark(Cleaner *c)
{
    char mark = *c->at;
    if (mark == '{' || mark == '[') {
        if (c->open.size == JSON_READ_DEPTH)
            c->cut = c->out.size;
        strbuf_putc(&c->open, mark);
    } else if (mark == '}' || mark == ']') {
        char opened = mark == '}' ? '{' : '[';
        if (c->open.size == 0 || c->open.data[c->open.size - 1] != opened) {
            c->verbatim = true;
            return;
        }
        cut_to(&c->open, c->open.size - 1);
    }
    strbuf_putc(&c->out, mark);
    c->last = mark;
    c->at++;
    if (c->open.size == JSON_READ_DEPTH && c->cut >= 0) {
        cut_to(&c->out, c->cut);
        put_stand_in(c, too_deep);
        c->cut = -1;
    }
}

static void clean(Cleaner *c)
{
    if (c->end - c->at >= 3 && memcmp(c->at, "\xEF\xBB\xBF", 3) == 0)
        c->at += 3;
    while (c->at < c->end && !c->verbatim) {
        char next = *c->at;
        if (next == '"')
            take_text(c);
        else if (next && strchr("{}[],:", next))
            take_mark(c);
        else if ((next == 'N' || next == 'I' || next == '-') && take_word(c))
            continue;
        else if (next == '-' || (next >= '0' && next <= '9'))
            take_number(c);
        else
            strbuf_putc(&c->out, *c->at++);
    }
    strbuf_append(&c->out, c->at, (size_t)(c->end - c->at));
}

json_t *json_read(const char *text, int64_t bytes, size_t flags, json_error_t *why)
{
    Cleaner c = {.at = text, .end = text + bytes, .cut = -1};
    clean(&c);
    json_t *json = json_loadb(c.out.data, (size_t)c.out.size, flags | JSON_ALLOW_NUL, why);
    strbuf_clear(&c.out);
    strbuf_clear(&c.open);
    return json;
}
