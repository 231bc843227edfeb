#include "embed/ngrams.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

enum { FILE_LIMIT = 256 << 20, DEPTH_LIMIT = 64 };

typedef struct Parser {
    const char *name, *text;
    int64_t bytes, at;
    NgramList *list;
    StrBuf string; /* the last Python string */
    int32_t lang;
    Err *err;
} Parser;

void ngrams_clear(NgramList *list)
{
    strbuf_clear(&list->text);
    free(list->items);
    string_list_clear(&list->langs);
    *list = (NgramList){0};
}

static Status fail_at(Parser *p, int64_t at, const char *what)
{
    int64_t line = 1, column = 1;
    for (int64_t i = 0; i < at && i < p->bytes; i++) {
        column = p->text[i] == '\n' ? 1 : column + 1;
        line += p->text[i] == '\n';
    }
    return err_set(p->err, "%s:%lld:%lld: %s: give an n-gram file as published", p->name,
                   (long long)line, (long long)column, what);
}

static int32_t count_code_points(const char *text, int64_t bytes)
{
    int32_t length = 0;
    for (int64_t i = 0; i < bytes; i++)
        length += ((uint8_t)text[i] & 0xC0) != 0x80;
    return length;
}

static void add_ngram(NgramList *list, const char *text, int64_t bytes, Ngram ngram)
{
    ngram.offset = list->text.size;
    ngram.bytes = (int32_t)bytes;
    ngram.length = count_code_points(text, bytes);
    strbuf_append(&list->text, text, (size_t)bytes);
    list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = ngram;
}

/* ---- one string a line ------------------------------------------------------------------------
 */

/* What Python's str.strip() takes away. */
static bool is_python_space(uint32_t c)
{
    const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)c);
    return property->category == UTF8PROC_CATEGORY_ZS ||
           property->bidi_class == UTF8PROC_BIDI_CLASS_WS ||
           property->bidi_class == UTF8PROC_BIDI_CLASS_B ||
           property->bidi_class == UTF8PROC_BIDI_CLASS_S;
}

static Status parse_line(Parser *p, int64_t begin, int64_t end)
{
    int64_t first = -1, last = begin;
    for (int64_t at = begin; at < end;) {
        uint32_t c;
        int used = utf8_decode(p->text + at, end - at, &c);
        if (used == 0)
            return fail_at(p, at, "the text is not UTF-8");
        if (!is_python_space(c)) {
            first = first < 0 ? at : first;
            last = at + used;
        }
        at += used;
    }
    if (first >= 0)
        add_ngram(p->list, p->text + first, last - first, (Ngram){.lang = -1});
    return STATUS_OK;
}

static Status parse_lines(Parser *p)
{
    for (int64_t begin = 0, end; begin < p->bytes; begin = end + 1) {
        for (end = begin; end < p->bytes && p->text[end] != '\n' && p->text[end] != '\r'; end++)
            ;
        TRY(parse_line(p, begin, end));
    }
    return STATUS_OK;
}

/* ---- a Python literal -------------------------------------------------------------------------
 */

static void skip_space(Parser *p)
{
    while (p->at < p->bytes && strchr(" \t\r\n", p->text[p->at]) && p->text[p->at])
        p->at++;
}

static int peek(Parser *p) /* the next character that is not white space, or -1 at the end */
{
    skip_space(p);
    return p->at < p->bytes ? (uint8_t)p->text[p->at] : -1;
}

static bool accept(Parser *p, char c)
{
    if (peek(p) != (uint8_t)c)
        return false;
    p->at++;
    return true;
}

static Status expect(Parser *p, char c)
{
    if (accept(p, c))
        return STATUS_OK;
    char what[40];
    snprintf(what, sizeof what,
             p->at < p->bytes ? "'%c' was expected" : "'%c' is missing at the end", c);
    return fail_at(p, p->at, what);
}

static Status parse_hex(Parser *p, int digits, uint32_t *c)
{
    int64_t start = p->at;
    uint32_t value = 0;
    for (int i = 0; i < digits; i++) {
        int d = p->at < p->bytes ? (uint8_t)p->text[p->at] : 0;
        int digit = d >= '0' && d <= '9'   ? d - '0'
                    : d >= 'a' && d <= 'f' ? d - 'a' + 10
                    : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                           : -1;
        if (digit < 0)
            return fail_at(p, start, "a hexadecimal escape is cut short");
        value = value * 16 + (uint32_t)digit;
        p->at++;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return fail_at(p, start, "the escape stands for no character");
    *c = value;
    return STATUS_OK;
}

/* The escapes that Python's repr() writes; others keep their backslash, as in Python. */
static Status parse_escape(Parser *p)
{
    if (p->at >= p->bytes)
        return fail_at(p, p->at, "a string has no end");
    char kind = p->text[p->at++];
    uint32_t c = 0;
    switch (kind) {
    case 'x':
        TRY(parse_hex(p, 2, &c));
        break;
    case 'u':
        TRY(parse_hex(p, 4, &c));
        break;
    case 'U':
        TRY(parse_hex(p, 8, &c));
        break;
    case 'n':
        c = '\n';
        break;
    case 'r':
        c = '\r';
        break;
    case 't':
        c = '\t';
        break;
    case '\\':
    case '\'':
    case '"':
        c = (uint8_t)kind;
        break;
    default:
        strbuf_putc(&p->string, '\\');
        strbuf_putc(&p->string, kind);
        return STATUS_OK;
    }
    char utf8[UTF8_MAX];
    strbuf_append(&p->string, utf8, (size_t)utf8_encode(c, utf8));
    return STATUS_OK;
}

/* Leaves the string in p->string, checked to be UTF-8. */
static Status parse_string(Parser *p)
{
    int quote = peek(p);
    int64_t start = p->at;
    if (quote != '\'' && quote != '"')
        return fail_at(p, p->at, "a string was expected");
    strbuf_reset(&p->string);
    for (p->at++;;) {
        if (p->at >= p->bytes || p->text[p->at] == '\n')
            return fail_at(p, start, "a string has no end");
        char c = p->text[p->at++];
        if (c == (char)quote)
            break;
        if (c == '\\')
            TRY(parse_escape(p));
        else
            strbuf_putc(&p->string, c);
    }
    if (utf8_valid_prefix(p->string.data, p->string.size) < p->string.size)
        return fail_at(p, start, "the text is not UTF-8");
    return STATUS_OK;
}

static Status parse_integer(Parser *p, int64_t limit, int64_t *value)
{
    int64_t start = (peek(p), p->at);
    *value = 0;
    while (p->at < p->bytes && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
        *value = *value * 10 + (p->text[p->at++] - '0');
        if (*value > limit)
            return fail_at(p, start, "the number is too large");
    }
    return p->at > start ? STATUS_OK : fail_at(p, start, "a number was expected");
}

/* A value that we have no use for: any nesting of brackets, strings and plain words. */
static Status skip_value(Parser *p)
{
    char closers[DEPTH_LIMIT];
    int depth = 0;
    do {
        int c = peek(p);
        const char *open = c > 0 ? strchr("([{", c) : NULL;
        if (open) {
            if (depth == DEPTH_LIMIT)
                return fail_at(p, p->at, "values are nested too deeply");
            closers[depth++] = ")]}"[strchr("([{", c) - "([{"];
            p->at++;
        } else if (depth && c == closers[depth - 1]) {
            depth--;
            p->at++;
        } else if (c == '\'' || c == '"') {
            TRY(parse_string(p));
        } else if (c < 0 || strchr(")]}", c) || (!depth && strchr(",:", c))) {
            return fail_at(p, p->at, "a value was expected");
        } else {
            p->at++;
            while (depth == 0 && p->at < p->bytes && !strchr(",:)]} \t\r\n'\"([{", p->text[p->at]))
                p->at++;
        }
    } while (depth);
    return STATUS_OK;
}

/* [('th', 3464625), ...] */
static Status parse_list(Parser *p, int32_t n)
{
    TRY(expect(p, '['));
    int32_t rank = 0;
    while (!accept(p, ']')) {
        Ngram ngram = {.n = n, .rank = rank++, .lang = p->lang};
        TRY(expect(p, '('));
        TRY(parse_string(p));
        TRY(expect(p, ','));
        TRY(parse_integer(p, INT64_MAX / 20, &ngram.count));
        accept(p, ',');
        TRY(expect(p, ')'));
        add_ngram(p->list, p->string.data ? p->string.data : "", p->string.size, ngram);
        if (!accept(p, ',') && peek(p) != ']')
            return fail_at(p, p->at, "',' or ']' was expected");
    }
    return STATUS_OK;
}

/* {2: [...], 3: [...]} */
static Status parse_lists(Parser *p)
{
    TRY(expect(p, '{'));
    while (!accept(p, '}')) {
        int64_t n;
        TRY(parse_integer(p, 1000, &n));
        TRY(expect(p, ':'));
        TRY(parse_list(p, (int32_t)n));
        if (!accept(p, ',') && peek(p) != '}')
            return fail_at(p, p->at, "',' or '}' was expected");
    }
    return STATUS_OK;
}

/* One language. Its name comes first in the published files; a list without one is named "". */
static Status parse_language(Parser *p)
{
    TRY(expect(p, '{'));
    p->lang = (int32_t)p->list->langs.count;
    string_list_add(&p->list->langs, "");
    while (!accept(p, '}')) {
        TRY(parse_string(p));
        char *key = strbuf_detach(&p->string);
        Status status = expect(p, ':');
        if (status == STATUS_OK && strcmp(key, "top_ngrams") == 0) {
            status = parse_lists(p);
        } else if (status == STATUS_OK && strcmp(key, "lang") == 0) {
            status = parse_string(p);
            if (status == STATUS_OK) {
                free(p->list->langs.items[p->lang]);
                p->list->langs.items[p->lang] = strbuf_detach(&p->string);
            }
        } else if (status == STATUS_OK) {
            status = skip_value(p);
        }
        free(key);
        TRY(status);
        if (!accept(p, ',') && peek(p) != '}')
            return fail_at(p, p->at, "',' or '}' was expected");
    }
    return STATUS_OK;
}

static Status parse_languages(Parser *p)
{
    TRY(expect(p, '['));
    while (!accept(p, ']')) {
        TRY(parse_language(p));
        if (!accept(p, ',') && peek(p) != ']')
            return fail_at(p, p->at, "',' or ']' was expected");
    }
    return peek(p) < 0 ? STATUS_OK : fail_at(p, p->at, "there is text after the end of the list");
}

/* A plain list may begin with a bracket too; a literal begins with a bracket and a brace. */
static bool is_literal(Parser *p)
{
    bool literal = accept(p, '[') && (peek(p) == '{' || peek(p) == ']' || peek(p) < 0);
    p->at = 0;
    return literal;
}

Status ngrams_parse(NgramList *list, const char *name, const char *text, int64_t bytes, Err *err)
{
    Parser p = {.name = name, .text = text, .bytes = bytes, .list = list, .err = err};
    int64_t before = list->count;
    Status status = is_literal(&p) ? parse_languages(&p) : parse_lines(&p);
    strbuf_clear(&p.string);
    if (status == STATUS_OK && list->count == before)
        return err_set(err, "%s holds no n-grams: give an n-gram file as published", name);
    return status;
}

Status ngrams_read(NgramList *list, const char *path, Err *err)
{
    StrBuf text = {0};
    Status status = file_read(path, FILE_LIMIT, &text, err);
    if (status == STATUS_OK)
        status = ngrams_parse(list, path, text.data ? text.data : "", text.size, err);
    strbuf_clear(&text);
    return status;
}
