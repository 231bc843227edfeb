#include "core/text/jinja/jinja_lex.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/jinja/jinja_string.h"
#include "core/text/utf8.h"

enum { NESTING = 200 }; /* brackets within brackets */

typedef struct Lexer {
    JinjaWork *work;
    const char *source;
    int64_t size, at;
    JinjaTokens tokens;
    char open[NESTING]; /* the closing brackets that are due */
    int n_open;
    bool line_starting; /* the last thing read ended a line */
} Lexer;

static char peek(const Lexer *l, int64_t ahead)
{
    return l->at + ahead < l->size ? l->source[l->at + ahead] : '\0';
}

static bool starts(const Lexer *l, const char *text)
{
    int64_t n = (int64_t)strlen(text);
    return l->size - l->at >= n && memcmp(l->source + l->at, text, (size_t)n) == 0;
}

static void add(Lexer *l, JinjaToken token)
{
    token.line = l->work->line;
    l->tokens.items = jinja_grow(l->work, l->tokens.items, l->tokens.count, &l->tokens.capacity,
                                 l->tokens.count + 1, sizeof token);
    l->tokens.items[l->tokens.count++] = token;
}

static void advance(Lexer *l, int64_t bytes)
{
    for (; bytes > 0 && l->at < l->size; bytes--)
        l->work->line += l->source[l->at++] == '\n';
}

/* The length of the space character at `at`, or 0. */
static int space_at(const Lexer *l, int64_t at)
{
    uint32_t code;
    int length = at < l->size ? utf8_decode(l->source + at, l->size - at, &code) : 0;
    return length && jinja_code_is_space(code) ? length : 0;
}

static void skip_space(Lexer *l)
{
    int length;
    while ((length = space_at(l, l->at)) > 0)
        advance(l, length);
}

/* ---- text outside of tags -------------------------------------------------------------------- */

/* The end of source[begin, end) without the white space before it. */
static int64_t strip_end(const Lexer *l, int64_t begin, int64_t end)
{
    while (end > begin) {
        int64_t before = end - 1;
        while (before > begin && (l->source[before] & 0xC0) == 0x80)
            before--;
        if (!space_at(l, before))
            break;
        end = before;
    }
    return end;
}

/* The text [begin, end) before a tag with this sign. `block`: not an expression's. */
static void add_data(Lexer *l, int64_t begin, int64_t end, char sign, bool block)
{
    int64_t stripped = strip_end(l, begin, end), line = end;
    while (line > begin && l->source[line - 1] != '\n')
        line--;
    if (sign == '-')
        end = stripped;
    else if (sign != '+' && block && (line > begin || l->line_starting) && stripped <= line)
        end = line;
    if (end > begin)
        add(l, (JinjaToken){.kind = LEX_DATA,
                            .value = jinja_of_text(
                                text_of(l->work, l->source + begin, end - begin, false))});
}

/* The sign of the tag that begins here, or 0. */
static char sign_at(const Lexer *l, int64_t at)
{
    char c = at < l->size ? l->source[at] : '\0';
    return c == '-' || c == '+' ? c : '\0';
}

/* Behind the end of a tag: "-" takes all white space, a block's plain end a line's end. */
static void end_tag(Lexer *l, char sign, bool block)
{
    int64_t before = l->at;
    if (sign == '-')
        skip_space(l);
    else if (sign == '\0' && block && peek(l, 0) == '\n')
        advance(l, 1);
    l->line_starting = l->at > before && l->source[l->at - 1] == '\n';
}

static void skip_comment(Lexer *l)
{
    int64_t begin = l->at;
    const char *end = memmem(l->source + begin, (size_t)(l->size - begin), "#}", 2);
    if (begin == l->size) /* Jinja lets a template end so */
        return;
    if (!end)
        jinja_fail(l->work, "a comment {# does not end");
    int64_t close = end - l->source;
    char sign = close > begin ? sign_at(l, close - 1) : '\0';
    advance(l, close + 2 - begin);
    end_tag(l, sign, true);
}

/* Whether the tag whose inside begins at `at` is this one word; *close is behind its "%}". */
static bool is_word_tag(const Lexer *l, int64_t at, const char *word, char *sign, int64_t *close)
{
    int length;
    int64_t n = (int64_t)strlen(word);
    while ((length = space_at(l, at)) > 0)
        at += length;
    if (l->size - at < n || memcmp(l->source + at, word, (size_t)n) != 0)
        return false;
    at += n;
    while ((length = space_at(l, at)) > 0)
        at += length;
    *sign = sign_at(l, at);
    at += *sign != '\0';
    *close = at + 2;
    return l->size - at >= 2 && memcmp(l->source + at, "%}", 2) == 0;
}

/* Between {% raw %} (which ends at `l->at`) and {% endraw %} all is text. */
static void read_raw(Lexer *l)
{
    int64_t begin = l->at, close = 0;
    char sign = '\0';
    for (int64_t i = begin; i + 1 < l->size; i++) {
        if (l->source[i] != '{' || l->source[i + 1] != '%')
            continue;
        char before = sign_at(l, i + 2);
        if (!is_word_tag(l, i + 2 + (before != '\0'), "endraw", &sign, &close))
            continue;
        add_data(l, begin, i, before, true);
        advance(l, close - l->at);
        end_tag(l, sign, true);
        return;
    }
    if (begin < l->size) /* Jinja lets a template end so */
        jinja_fail(l->work, "{%% raw %%} does not end");
}

/* ---- within tags ----------------------------------------------------------------------------- */

static int64_t digits(const Lexer *l, int64_t at, int (*is_digit)(int))
{
    int64_t start = at;
    for (;;) {
        int64_t next = at + (at > start && at < l->size && l->source[at] == '_');
        if (next >= l->size || !is_digit((uint8_t)l->source[next]))
            return at;
        at = next + 1;
    }
}

/* Where a fraction or an exponent ends, or `at` when there is none. */
static int64_t real_end(const Lexer *l, int64_t at)
{
    int64_t end = at;
    if (end < l->size && l->source[end] == '.') {
        int64_t fraction = digits(l, end + 1, isdigit);
        if (fraction > end + 1)
            end = fraction;
    }
    if (end < l->size && (l->source[end] == 'e' || l->source[end] == 'E')) {
        int64_t exponent = end + 1 + (sign_at(l, end + 1) != '\0');
        int64_t last = digits(l, exponent, isdigit);
        if (last > exponent)
            end = last;
    }
    return end;
}

static int is_binary(int c)
{
    return c == '0' || c == '1';
}

static int is_octal(int c)
{
    return c >= '0' && c <= '7';
}

static int is_zero(int c)
{
    return c == '0';
}

/* The integer's end; *base is set. */
static int64_t whole_end(const Lexer *l, int *base)
{
    char x = (char)tolower((uint8_t)peek(l, 1));
    *base = 10;
    if (peek(l, 0) != '0')
        return digits(l, l->at, isdigit);
    int64_t from = l->at + 2 + (peek(l, 2) == '_');
    int64_t end = x == 'b'   ? digits(l, from, is_binary)
                  : x == 'o' ? digits(l, from, is_octal)
                  : x == 'x' ? digits(l, from, isxdigit)
                             : from;
    if (end > from)
        *base = x == 'b' ? 2 : x == 'o' ? 8 : 16;
    return end > from ? end : digits(l, l->at, is_zero);
}

static void read_number(Lexer *l)
{
    int base;
    char text[64];
    int64_t plain = digits(l, l->at, isdigit), end = real_end(l, plain), n = 0;
    bool real = end > plain && !(l->at > 0 && l->source[l->at - 1] == '.');
    if (!real)
        end = whole_end(l, &base);
    for (int64_t i = l->at; i < end; i++) {
        if (l->source[i] != '_')
            text[n++] = l->source[i];
        if (n == (int64_t)sizeof text - 1)
            jinja_fail(l->work, "a number has too many digits");
    }
    text[n] = '\0';
    errno = 0;
    JinjaValue value =
        real ? jinja_float(strtod(text, NULL))
             : jinja_int(strtoll(base == 10 || base == 16 ? text : text + 2, NULL, base));
    if (!real && errno)
        jinja_fail(l->work, "the number %s is too large", text);
    add(l, (JinjaToken){.kind = real ? LEX_FLOAT : LEX_INT, .value = value});
    advance(l, end - l->at);
}

static int word_at(const Lexer *l, int64_t at)
{
    uint32_t code;
    int length = at < l->size ? utf8_decode(l->source + at, l->size - at, &code) : 0;
    return length && jinja_code_is_word(code) ? length : 0;
}

static void read_name(Lexer *l)
{
    int length;
    int64_t end = l->at;
    while ((length = word_at(l, end)) > 0)
        end += length;
    add(l, (JinjaToken){.kind = LEX_NAME,
                        .text = jinja_keep(l->work, l->source + l->at, end - l->at)});
    advance(l, end - l->at);
}

static void read_string(Lexer *l)
{
    char quote = peek(l, 0);
    int64_t end = l->at + 1;
    while (end < l->size && l->source[end] != quote)
        end += l->source[end] == '\\' ? 2 : 1;
    if (end >= l->size)
        jinja_fail(l->work, "a string does not end");
    JinjaText *text = jinja_unescape(l->work, l->source + l->at + 1, end - l->at - 1);
    add(l, (JinjaToken){.kind = LEX_STRING, .value = jinja_of_text(text)});
    advance(l, end + 1 - l->at);
}

static void balance(Lexer *l, char c)
{
    static const char pairs[] = "()[]{}";
    const char *at = strchr(pairs, c);
    if (!at || !*at)
        return;
    if ((at - pairs) % 2 == 0) {
        if (l->n_open == NESTING)
            jinja_fail(l->work, "more than %d brackets within brackets", NESTING);
        l->open[l->n_open++] = at[1];
    } else if (l->n_open == 0) {
        jinja_fail(l->work, "unexpected '%c'", c);
    } else if (l->open[--l->n_open] != c) {
        jinja_fail(l->work, "unexpected '%c', expected '%c'", c, l->open[l->n_open]);
    }
}

static void read_operator(Lexer *l)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!starts(l, operators[i]))
            continue;
        balance(l, *operators[i]);
        add(l, (JinjaToken){.kind = LEX_OPERATOR, .text = operators[i]});
        advance(l, (int64_t)strlen(operators[i]));
        return;
    }
    jinja_fail(l->work, "unexpected character '%.*s' in a tag", utf8_length(peek(l, 0)),
               l->source + l->at);
}

/* Reads up to the end of a tag. */
static void read_tag(Lexer *l, bool block)
{
    const char *close = block ? "%}" : "}}";
    l->n_open = 0;
    for (;;) {
        skip_space(l);
        char sign = sign_at(l, l->at);
        if (!block && sign == '+')
            sign = '\0'; /* no sign there, but an operator */
        l->at += sign != '\0';
        bool ends = l->n_open == 0 && starts(l, close);
        l->at -= sign != '\0';
        char c = peek(l, 0);
        if (l->at >= l->size)
            jinja_fail(l->work, "a tag does not end");
        if (ends) {
            add(l, (JinjaToken){.kind = block ? LEX_TAG_END : LEX_VAR_END});
            advance(l, 2 + (sign != '\0'));
            end_tag(l, sign, block);
            return;
        }
        if (isdigit((uint8_t)c))
            read_number(l);
        else if (c == '\'' || c == '"')
            read_string(l);
        else if (word_at(l, l->at))
            read_name(l);
        else
            read_operator(l);
    }
}

/* The next place where a tag begins, or the end. */
static int64_t next_tag(const Lexer *l)
{
    for (int64_t i = l->at; i + 1 < l->size; i++)
        if (l->source[i] == '{' && strchr("{%#", l->source[i + 1]) && l->source[i + 1])
            return i;
    return l->size;
}

static void read_all(Lexer *l)
{
    while (l->at < l->size) {
        int64_t begin = l->at, tag = next_tag(l), close;
        if (tag == l->size) {
            add_data(l, begin, tag, '+', false);
            return;
        }
        char kind = l->source[tag + 1], sign = sign_at(l, tag + 2), raw_sign;
        add_data(l, begin, tag, sign, kind != '{');
        advance(l, tag - begin);
        int64_t inside = 2 + (sign != '\0');
        if (kind == '#') {
            advance(l, inside);
            skip_comment(l);
        } else if (kind == '%' && is_word_tag(l, tag + inside, "raw", &raw_sign, &close) &&
                   raw_sign != '+') {
            advance(l, close - l->at);
            l->line_starting = false;
            if (raw_sign == '-')
                end_tag(l, '-', false);
            read_raw(l);
        } else {
            add(l, (JinjaToken){.kind = kind == '{' ? LEX_VAR_BEGIN : LEX_TAG_BEGIN});
            advance(l, inside);
            read_tag(l, kind == '%');
        }
    }
}

/* Every kind of line end becomes a line feed, and the last of the source goes. */
static void normalise(Lexer *l, const char *source, int64_t bytes)
{
    char *text = jinja_take(l->work, bytes + 1);
    int64_t n = 0;
    for (int64_t i = 0; i < bytes; i++) {
        if (source[i] == '\r' && i + 1 < bytes && source[i + 1] == '\n')
            continue;
        text[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (n > 0 && text[n - 1] == '\n')
        n--;
    l->source = text;
    l->size = n;
}

JinjaTokens jinja_lex(JinjaWork *work, const char *source, int64_t bytes)
{
    Lexer lexer = {.work = work, .line_starting = true};
    work->line = 1;
    normalise(&lexer, source, bytes);
    read_all(&lexer);
    add(&lexer, (JinjaToken){.kind = LEX_END});
    return lexer.tokens;
}
