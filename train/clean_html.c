#include "train/clean_html.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct Span {
    const char *data;
    int64_t bytes;
} Span;

typedef struct Entity {
    const char *name;
    uint32_t code;
} Entity;

/* Sorted by strcmp. */
static const Entity entities[] = {
    {"AMP", '&'},       {"Aacute", 0xc1},  {"Agrave", 0xc0},   {"Auml", 0xc4},
    {"Eacute", 0xc9},   {"GT", '>'},       {"LT", '<'},        {"Ouml", 0xd6},
    {"QUOT", '"'},      {"Uuml", 0xdc},    {"aacute", 0xe1},   {"acirc", 0xe2},
    {"agrave", 0xe0},   {"alpha", 0x3b1},  {"amp", '&'},       {"apos", '\''},
    {"asymp", 0x2248},  {"auml", 0xe4},    {"bdquo", 0x201e},  {"beta", 0x3b2},
    {"bull", 0x2022},   {"ccedil", 0xe7},  {"cent", 0xa2},     {"copy", 0xa9},
    {"dagger", 0x2020}, {"darr", 0x2193},  {"deg", 0xb0},      {"delta", 0x3b4},
    {"divide", 0xf7},   {"eacute", 0xe9},  {"ecirc", 0xea},    {"egrave", 0xe8},
    {"emsp", 0x2003},   {"ensp", 0x2002},  {"euml", 0xeb},     {"euro", 0x20ac},
    {"frac12", 0xbd},   {"frac14", 0xbc},  {"frac34", 0xbe},   {"gamma", 0x3b3},
    {"ge", 0x2265},     {"gt", '>'},       {"harr", 0x2194},   {"hellip", 0x2026},
    {"iacute", 0xed},   {"icirc", 0xee},   {"iexcl", 0xa1},    {"infin", 0x221e},
    {"iquest", 0xbf},   {"iuml", 0xef},    {"lambda", 0x3bb},  {"laquo", 0xab},
    {"larr", 0x2190},   {"ldquo", 0x201c}, {"le", 0x2264},     {"lsaquo", 0x2039},
    {"lsquo", 0x2018},  {"lt", '<'},       {"mdash", 0x2014},  {"micro", 0xb5},
    {"middot", 0xb7},   {"minus", 0x2212}, {"mu", 0x3bc},      {"nbsp", 0xa0},
    {"ndash", 0x2013},  {"ne", 0x2260},    {"ntilde", 0xf1},   {"oacute", 0xf3},
    {"ocirc", 0xf4},    {"ouml", 0xf6},    {"para", 0xb6},     {"permil", 0x2030},
    {"pi", 0x3c0},      {"plusmn", 0xb1},  {"pound", 0xa3},    {"quot", '"'},
    {"raquo", 0xbb},    {"rarr", 0x2192},  {"rdquo", 0x201d},  {"reg", 0xae},
    {"rsaquo", 0x203a}, {"rsquo", 0x2019}, {"sbquo", 0x201a},  {"sect", 0xa7},
    {"shy", 0xad},      {"sigma", 0x3c3},  {"sum", 0x2211},    {"sup2", 0xb2},
    {"sup3", 0xb3},     {"szlig", 0xdf},   {"thinsp", 0x2009}, {"times", 0xd7},
    {"trade", 0x2122},  {"uacute", 0xfa},  {"uarr", 0x2191},   {"ucirc", 0xfb},
    {"uuml", 0xfc},     {"yen", 0xa5},     {"zwj", 0x200d},    {"zwnj", 0x200c},
};

static int compare_entity(const void *key, const void *entry)
{
    return strcmp(key, ((const Entity *)entry)->name);
}

/* "&#38;", "&#x26;"; the semicolon may be missing. */
static int64_t decode_number(const char *s, int64_t left, uint32_t *code)
{
    bool hex = left > 2 && (s[2] | 32) == 'x';
    int64_t first = hex ? 3 : 2, n = first;
    uint32_t value = 0;
    for (; n < left && (hex ? isxdigit((unsigned char)s[n]) : isdigit((unsigned char)s[n])); n++) {
        int digit = isdigit((unsigned char)s[n]) ? s[n] - '0' : (s[n] | 32) - 'a' + 10;
        value = value > 0x10ffff ? value : value * (hex ? 16 : 10) + (uint32_t)digit;
    }
    if (n == first || value > 0x10ffff)
        return 0;
    *code = value;
    return n + (n < left && s[n] == ';');
}

/* Names of Latin-1 are older than the rule that a semicolon follows, so pages leave it out. */
static bool is_old_name(const Entity *entity)
{
    return entity->code <= 0xff && strcmp(entity->name, "apos") != 0;
}

/* Decodes the reference at `s` ("&...", `left` bytes remain), the longest one that is there; 0 when
 * it is none. */
static int64_t decode_entity(const char *s, int64_t left, uint32_t *code)
{
    char name[16];
    int64_t n = 1;
    if (left > 1 && s[1] == '#')
        return decode_number(s, left, code);
    while (n < left && n < (int64_t)sizeof name && isalnum((unsigned char)s[n]))
        n++;
    for (bool closed = n < left && s[n] == ';'; n > 1; n--, closed = false) {
        memcpy(name, s + 1, (size_t)n - 1);
        name[n - 1] = '\0';
        const Entity *found = bsearch(name, entities, sizeof entities / sizeof entities[0],
                                      sizeof entities[0], compare_entity);
        if (found && (closed || is_old_name(found))) {
            *code = found->code;
            return n + closed;
        }
    }
    return 0;
}

static void add_text(Paragraphs *out, const char *s, int64_t bytes)
{
    while (bytes > 0) {
        const char *mark = memchr(s, '&', (size_t)bytes);
        int64_t plain = mark ? mark - s : bytes;
        paragraph_add(out, s, plain);
        s += plain, bytes -= plain;
        if (!bytes)
            break;
        uint32_t code;
        int64_t used = decode_entity(s, bytes, &code);
        if (used)
            paragraph_add_char(out, code);
        else
            paragraph_add(out, s, used = 1);
        s += used, bytes -= used;
    }
}

static bool span_is(Span span, const char *word)
{
    return (int64_t)strlen(word) == span.bytes &&
           strncasecmp(span.data, word, (size_t)span.bytes) == 0;
}

static bool span_in(Span span, const char *const *words)
{
    for (; *words; words++)
        if (span_is(span, *words))
            return true;
    return false;
}

/* Elements that end the running line of text. */
static const char *const block_tags[] = {
    "address", "article", "blockquote", "body",     "caption",    "center", "dd",    "details",
    "div",     "dl",      "dt",         "fieldset", "figcaption", "figure", "h1",    "h2",
    "h3",      "h4",      "h5",         "h6",       "hr",         "html",   "li",    "main",
    "ol",      "p",       "pre",        "section",  "summary",    "table",  "tbody", "td",
    "tfoot",   "th",      "thead",      "title",    "tr",         "ul",     NULL};

static const char *const skipped_tags[] = {
    "aside",    "button", "footer", "form",   "head",  "header", "iframe",   "math",     "nav",
    "noscript", "object", "script", "select", "style", "svg",    "template", "textarea", NULL};

static const char *const void_tags[] = {"area",  "base", "br",   "col",    "embed", "hr",  "img",
                                        "input", "link", "meta", "source", "track", "wbr", NULL};

static const char *const raw_tags[] = {"script", "style", NULL}; /* no markup inside */

typedef struct Tag {
    Span name;
    bool closing;
    bool self_closed;
    bool unwanted; /* its class or id is in the skip list */
    int64_t bytes; /* of the tag in the page */
} Tag;

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether one of the blank-separated words is in the list. */
static bool any_word_in(Span value, const StringList *list)
{
    for (int64_t i = 0, end; i < value.bytes; i = end + 1) {
        end = i;
        while (end < value.bytes && !is_space(value.data[end]))
            end++;
        for (int64_t k = 0; k < list->count; k++)
            if (span_is((Span){value.data + i, end - i}, list->items[k]))
                return true;
    }
    return false;
}

/* Reads one attribute at `i` and returns the position behind it. */
static int64_t read_attribute(const char *s, int64_t i, int64_t left, const StringList *skip,
                              Tag *tag)
{
    Span name = {s + i, 0}, value = {NULL, 0};
    int64_t start = i;
    while (i < left && !is_space(s[i]) && s[i] != '=' && s[i] != '>' && s[i] != '/')
        i++;
    name.bytes = i - start;
    while (i < left && is_space(s[i]))
        i++;
    if (i < left && s[i] == '=') {
        i++;
        while (i < left && is_space(s[i]))
            i++;
        char quote = i < left && (s[i] == '"' || s[i] == '\'') ? s[i++] : 0;
        value.data = s + i;
        start = i;
        while (i < left && (quote ? s[i] != quote : !is_space(s[i]) && s[i] != '>'))
            i++;
        value.bytes = i - start;
        i += quote && i < left;
    }
    if (skip && (span_is(name, "class") || span_is(name, "id")) && any_word_in(value, skip))
        tag->unwanted = true;
    return i;
}

/* Parses the tag at `s` ("<name ...>" or "</name>"); false when it is not one. */
static bool read_tag(const char *s, int64_t left, const StringList *skip, Tag *tag)
{
    *tag = (Tag){0};
    int64_t i = 1;
    if (i < left && s[i] == '/') {
        tag->closing = true;
        i++;
    }
    if (i >= left || !((s[i] | 32) >= 'a' && (s[i] | 32) <= 'z'))
        return false;
    tag->name.data = s + i;
    while (i < left && !is_space(s[i]) && s[i] != '>' && s[i] != '/')
        i++;
    tag->name.bytes = s + i - tag->name.data;
    while (i < left && s[i] != '>') {
        if (is_space(s[i]) || s[i] == '/' || s[i] == '=') {
            tag->self_closed = s[i] == '/';
            i++;
        } else {
            tag->self_closed = false;
            i = read_attribute(s, i, left, skip, tag);
        }
    }
    tag->bytes = i < left ? i + 1 : left;
    return true;
}

/* Bytes up to and including `end`, or all. */
static int64_t through(const char *s, int64_t left, const char *end)
{
    size_t size = strlen(end);
    const char *found = memmem(s, (size_t)left, end, size);
    return found ? found + size - s : left;
}

/* The text of script and style runs to its own end tag, whatever it looks like. */
static int64_t raw_bytes(const char *s, int64_t left, Span name)
{
    int64_t i = 0;
    while (i < left) {
        const char *mark = memchr(s + i, '<', (size_t)(left - i));
        if (!mark)
            return left;
        i = mark - s;
        if (i + 2 + name.bytes <= left && s[i + 1] == '/' &&
            strncasecmp(s + i + 2, name.data, (size_t)name.bytes) == 0)
            return i;
        i++;
    }
    return left;
}

typedef struct Reader {
    const StringList *skip;
    Paragraphs *out;
    Span skipping; /* name of the element being dropped; data NULL: none */
    int64_t depth; /* of elements of that name inside it */
    int64_t pre;   /* open <pre> elements */
} Reader;

/* Handles the markup at `s` ('<') and returns its length, or 0 when it is text. */
static int64_t read_markup(Reader *reader, const char *s, int64_t left)
{
    if (left >= 4 && memcmp(s, "<!--", 4) == 0)
        return 4 + through(s + 4, left - 4, "-->");
    if (left >= 9 && memcmp(s, "<![CDATA[", 9) == 0) {
        int64_t all = 9 + through(s + 9, left - 9, "]]>");
        int64_t inner = all - 9 - (all >= 12 && memcmp(s + all - 3, "]]>", 3) == 0 ? 3 : 0);
        if (!reader->skipping.data)
            paragraph_add(reader->out, s + 9, inner);
        return all;
    }
    if (left >= 2 && (s[1] == '!' || s[1] == '?'))
        return through(s, left, ">");
    Tag tag;
    if (!read_tag(s, left, reader->skipping.data ? NULL : reader->skip, &tag))
        return 0;
    bool opens = !tag.closing && !tag.self_closed && !span_in(tag.name, void_tags);
    int64_t used = tag.bytes;
    if (opens && span_in(tag.name, raw_tags))
        used += raw_bytes(s + used, left - used, tag.name);
    if (reader->skipping.data) {
        if (tag.name.bytes == reader->skipping.bytes &&
            strncasecmp(tag.name.data, reader->skipping.data, (size_t)tag.name.bytes) == 0) {
            reader->depth += opens - tag.closing;
            if (reader->depth == 0)
                reader->skipping.data = NULL;
        }
        return used;
    }
    if (opens && (tag.unwanted || span_in(tag.name, skipped_tags))) {
        reader->skipping = tag.name;
        reader->depth = 1;
    }
    if (span_is(tag.name, "br")) {
        paragraph_break(reader->out);
    } else if (span_in(tag.name, block_tags)) {
        paragraph_end(reader->out);
        if (span_is(tag.name, "pre"))
            reader->pre += opens ? 1 : -(reader->pre > 0);
    }
    reader->out->verbatim = reader->pre > 0;
    return used;
}

void html_read(const char *page, int64_t bytes, const StringList *skip, Paragraphs *out)
{
    Reader reader = {.skip = skip, .out = out};
    paragraph_end(out);
    while (bytes > 0) {
        int64_t used = page[0] == '<' ? read_markup(&reader, page, bytes) : 0;
        if (!used) {
            const char *mark = bytes > 1 ? memchr(page + 1, '<', (size_t)bytes - 1) : NULL;
            used = mark ? mark - page : bytes;
            if (!reader.skipping.data)
                add_text(out, page, used);
        }
        page += used, bytes -= used;
    }
    paragraph_end(out);
}
