#include "core/text/json_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/text/utf8.h"

const char *json_kind_name(JsonKind kind)
{
    static const char *const names[] = {
        [JSON_KIND_NONE] = "nothing",    [JSON_KIND_OBJECT] = "an object",
        [JSON_KIND_ARRAY] = "a list",    [JSON_KIND_TEXT] = "a text",
        [JSON_KIND_NUMBER] = "a number", [JSON_KIND_BOOL] = "true or false",
        [JSON_KIND_NULL] = "null",
    };
    return names[kind];
}

typedef struct Scan {
    const char *text, *at, *end;
    StrBuf open; /* the brackets that are not closed yet */
    JsonFault *fault;
} Scan;

__attribute__((format(printf, 3, 4))) static bool fail(JsonFault *fault, int64_t at,
                                                       const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(fault->why, sizeof fault->why, format, list);
    va_end(list);
    fault->at = at;
    return false;
}

static bool wanted(const Scan *s, const char *what)
{
    int64_t at = s->at - s->text;
    if (s->at == s->end)
        return fail(s->fault, at, "it ends where %s is expected", what);
    if (*s->at > ' ' && *s->at < 0x7f)
        return fail(s->fault, at, "'%c' where %s is expected", *s->at, what);
    return fail(s->fault, at, "byte 0x%02x where %s is expected", (unsigned char)*s->at, what);
}

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    return at;
}

/* `at` is behind the first quote; the result behind the last one, NULL where there is none. */
static const char *skip_string(const char *at, const char *end)
{
    const char *start = at, *quote;
    while ((quote = memchr(at, '"', (size_t)(end - at))) != NULL) {
        const char *back = quote;
        while (back > start && back[-1] == '\\')
            back--;
        at = quote + 1;
        if ((quote - back) % 2 == 0)
            return at;
    }
    return NULL;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* The end of a number, NULL where there is none. */
static const char *skip_number(const char *at, const char *end)
{
    at += at < end && *at == '-';
    const char *digits = at;
    at = skip_digits(at, end);
    if (at == digits || (*digits == '0' && at > digits + 1))
        return NULL;
    if (at < end && *at == '.') {
        digits = ++at;
        if ((at = skip_digits(at, end)) == digits)
            return NULL;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        digits = at;
        if ((at = skip_digits(at, end)) == digits)
            return NULL;
    }
    return at;
}

static const struct Word {
    const char *word;
    JsonKind kind;
} words[] = {
    {"true", JSON_KIND_BOOL},  {"false", JSON_KIND_BOOL},      {"null", JSON_KIND_NULL},
    {"NaN", JSON_KIND_NUMBER}, {"Infinity", JSON_KIND_NUMBER}, {"-Infinity", JSON_KIND_NUMBER},
};

static bool ends_word(const char *at, const char *end)
{
    return at == end || strchr(" \t\r\n,]}:", *at);
}

/* The end of a value that is neither object nor array, and its kind; NULL where there is none. */
static const char *skip_scalar(const char *at, const char *end, JsonKind *kind)
{
    if (at < end && *at == '"') {
        *kind = JSON_KIND_TEXT;
        return skip_string(at + 1, end);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if ((size_t)(end - at) >= length && memcmp(at, words[i].word, length) == 0) {
            *kind = words[i].kind;
            return ends_word(at + length, end) ? at + length : NULL;
        }
    }
    *kind = JSON_KIND_NUMBER;
    at = skip_number(at, end);
    return at && ends_word(at, end) ? at : NULL;
}

static bool scan_string(Scan *s, const char *what)
{
    s->at = skip_space(s->at, s->end);
    if (s->at == s->end || *s->at != '"')
        return wanted(s, what);
    const char *behind = skip_string(s->at + 1, s->end);
    if (!behind)
        return fail(s->fault, s->at - s->text, "a text that does not end");
    s->at = behind;
    return true;
}

static bool scan_key(Scan *s)
{
    if (!scan_string(s, "the name of a member"))
        return false;
    s->at = skip_space(s->at, s->end);
    if (s->at == s->end || *s->at != ':')
        return wanted(s, "':'");
    s->at++;
    return true;
}

static bool scan_scalar(Scan *s)
{
    JsonKind kind;
    if (s->at < s->end && *s->at == '"')
        return scan_string(s, "a text");
    const char *behind = skip_scalar(s->at, s->end, &kind);
    if (!behind)
        return wanted(s, "a value");
    s->at = behind;
    return true;
}

/* One value, or the opening bracket of one and, in an object, its first name. `*whole` tells
 * which. */
static bool scan_begin(Scan *s, bool *whole)
{
    s->at = skip_space(s->at, s->end);
    char c = s->at < s->end ? *s->at : '\0';
    *whole = true;
    if (c != '{' && c != '[')
        return scan_scalar(s);
    s->at = skip_space(s->at + 1, s->end);
    if (s->at < s->end && *s->at == (c == '{' ? '}' : ']')) {
        s->at++;
        return true;
    }
    strbuf_putc(&s->open, c);
    *whole = false;
    return c == '[' || scan_key(s);
}

/* Behind a value: closes brackets up to the comma before the next one. */
static bool scan_end(Scan *s)
{
    while (s->open.size > 0) {
        bool object = s->open.data[s->open.size - 1] == '{';
        s->at = skip_space(s->at, s->end);
        char c = s->at < s->end ? *s->at : '\0';
        if (c == ',') {
            s->at++;
            return !object || scan_key(s);
        }
        if (c != (object ? '}' : ']'))
            return wanted(s, object ? "',' or '}'" : "',' or ']'");
        s->at++;
        s->open.size--;
    }
    return true;
}

static bool scan_value(Scan *s)
{
    bool whole;
    do {
        if (!scan_begin(s, &whole) || (whole && !scan_end(s)))
            return false;
    } while (s->open.size > 0);
    return true;
}

static JsonKind kind_of(const char *at, const char *end)
{
    JsonKind kind;
    if (*at == '{' || *at == '[')
        return *at == '{' ? JSON_KIND_OBJECT : JSON_KIND_ARRAY;
    skip_scalar(at, end, &kind);
    return kind;
}

bool json_scan(const char *text, int64_t bytes, JsonSpan *out, JsonFault *fault)
{
    Scan s = {.text = text, .at = text, .end = text + bytes, .fault = fault};
    const char *start = skip_space(text, s.end);
    bool good = scan_value(&s);
    strbuf_clear(&s.open);
    if (!good)
        return false;
    *out = (JsonSpan){kind_of(start, s.end), start, s.at - start};
    s.at = skip_space(s.at, s.end);
    return s.at == s.end || fail(fault, s.at - text, "more follows behind the value");
}

/* ---- walking through what json_scan() found good --------------------------------------------- */

JsonWalk json_walk(const JsonSpan *span)
{
    bool inside = span->kind == JSON_KIND_OBJECT || span->kind == JSON_KIND_ARRAY;
    return (JsonWalk){.next = span->text + inside,
                      .end = inside ? span->text + span->bytes - 1 : span->text,
                      .object = span->kind == JSON_KIND_OBJECT};
}

/* Brackets of both kinds match in good text, so their sum is the depth. */
static const char *pass_value(const char *at, const char *end)
{
    JsonKind kind;
    if (*at != '{' && *at != '[')
        return skip_scalar(at, end, &kind);
    int64_t depth = 0;
    do {
        char c = *at++;
        if (c == '"')
            at = skip_string(at, end);
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    } while (depth > 0);
    return at;
}

bool json_walk_next(JsonWalk *walk, JsonSpan *key, JsonSpan *value)
{
    *key = (JsonSpan){0};
    const char *at = skip_space(walk->next, walk->end);
    if (at == walk->end)
        return false;
    if (walk->object) {
        const char *behind = skip_string(at + 1, walk->end);
        *key = (JsonSpan){JSON_KIND_TEXT, at, behind - at};
        at = skip_space(skip_space(behind, walk->end) + 1, walk->end);
    }
    const char *behind = pass_value(at, walk->end);
    *value = (JsonSpan){kind_of(at, walk->end), at, behind - at};
    at = skip_space(behind, walk->end);
    walk->next = at < walk->end ? at + 1 : at;
    return true;
}

static bool is_name(const JsonSpan *key, const char *name, int64_t bytes, StrBuf *scratch)
{
    JsonFault fault;
    if (!memchr(key->text, '\\', (size_t)key->bytes))
        return key->bytes - 2 == bytes && memcmp(key->text + 1, name, (size_t)bytes) == 0;
    strbuf_reset(scratch);
    return json_scan_text(key, scratch, &fault) && scratch->size == bytes &&
           memcmp(scratch->data, name, (size_t)bytes) == 0;
}

static JsonSpan member_of(const JsonSpan *object, const char *name, int64_t bytes)
{
    JsonSpan found = {0}, key, value;
    StrBuf scratch = {0};
    if (object->kind == JSON_KIND_OBJECT)
        for (JsonWalk walk = json_walk(object); json_walk_next(&walk, &key, &value);)
            if (is_name(&key, name, bytes, &scratch))
                found = value;
    strbuf_clear(&scratch);
    return found;
}

static JsonSpan find(const JsonSpan *object, const char *name)
{
    JsonSpan found = member_of(object, name, (int64_t)strlen(name));
    const char *dot = strchr(name, '.');
    for (; found.kind == JSON_KIND_NONE && dot; dot = strchr(dot + 1, '.')) {
        JsonSpan inner = member_of(object, name, dot - name);
        if (inner.kind == JSON_KIND_OBJECT)
            found = find(&inner, dot + 1);
    }
    return found;
}

bool json_scan_find(const char *text, int64_t bytes, const char *name, JsonSpan *value,
                    JsonSpan *member, JsonFault *fault)
{
    *member = (JsonSpan){0};
    if (!json_scan(text, bytes, value, fault))
        return false;
    *member = find(value, name);
    return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The character of the escape \uXXXX, or of two that are a pair; `*at` is behind the u. */
static bool append_code(StrBuf *out, const char **at, const char *end)
{
    char bytes[UTF8_MAX];
    int32_t code = hex4(*at, end);
    if (code < 0)
        return false;
    *at += 4;
    if (code >= 0xD800 && code <= 0xDBFF && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        int32_t low = hex4(*at + 2, end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            *at += 6;
        }
    }
    int length = utf8_encode((uint32_t)code, bytes);
    if (length)
        strbuf_append(out, bytes, (size_t)length);
    else
        strbuf_puts(out, UTF8_REPLACEMENT);
    return true;
}

static bool append_escape(StrBuf *out, const char **at, const char *end)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (*at == end)
        return false;
    char c = *(*at)++;
    if (c == 'u')
        return append_code(out, at, end);
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter)
        strbuf_putc(out, meant[letter - letters]);
    return letter != NULL;
}

bool json_scan_text(const JsonSpan *span, StrBuf *out, JsonFault *fault)
{
    const char *at = span->text + 1, *end = span->text + span->bytes - 1;
    int64_t good = utf8_valid_prefix(at, end - at);
    if (good < end - at)
        return fail(fault, 1 + good, "byte 0x%02x is not UTF-8 here", (unsigned char)at[good]);
    strbuf_append(out, "", 0);
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        const char *stop = escape ? escape : end;
        strbuf_append(out, at, (size_t)(stop - at));
        if (!escape)
            break;
        at = escape + 1;
        if (!append_escape(out, &at, end))
            return fail(fault, escape - span->text, "an escape that JSON does not know");
    }
    return true;
}
