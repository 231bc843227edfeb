/* Values as text: str(), repr(), json.dumps(). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/jinja/jinja_run.h"

/* ---- numbers --------------------------------------------------------------------------------- */

/* The shortest digits that read back as the same number, without point, and their exponent. */
static int shortest(double real, char digits[24], int *exponent)
{
    char text[40];
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, real);
        if (strtod(text, NULL) == real)
            break;
    }
    int n = 0;
    char *e = strchr(text, 'e');
    for (char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    *exponent = atoi(e + 1);
    return n;
}

void jinja_print_real(double real, char out[JINJA_REAL_SIZE])
{
    char digits[24];
    int exponent, at = 0;
    if (!isfinite(real)) {
        snprintf(out, JINJA_REAL_SIZE, "%s", isnan(real) ? "nan" : real > 0 ? "inf" : "-inf");
        return;
    }
    int n = shortest(fabs(real), digits, &exponent);
    if (signbit(real))
        out[at++] = '-';
    if (exponent < -4 || exponent >= 16) {
        out[at++] = digits[0];
        if (n > 1)
            out[at++] = '.';
        memcpy(out + at, digits + 1, (size_t)(n - 1));
        snprintf(out + at + n - 1, (size_t)(JINJA_REAL_SIZE - at - n + 1), "e%+03d", exponent);
        return;
    }
    if (exponent < 0) {
        memcpy(out + at, "0.0000", (size_t)(1 - exponent));
        at += 1 - exponent;
    }
    for (int i = 0; i < n || i <= exponent + 1; i++) {
        if (exponent >= 0 && i == exponent + 1)
            out[at++] = '.';
        if (i < n || exponent >= 0)
            out[at++] = i < n ? digits[i] : '0';
    }
    out[at] = '\0';
}

static void put_number(JinjaBuild *b, JinjaValue v)
{
    char text[JINJA_REAL_SIZE];
    if (v.kind == JINJA_FLOAT)
        jinja_print_real(v.real, text);
    else
        snprintf(text, sizeof text, "%" PRId64, v.number);
    build_puts(b, text, v.plain);
}

/* ---- repr ------------------------------------------------------------------------------------ */

static void put_escape(JinjaBuild *b, uint32_t code, bool plain)
{
    char text[16];
    if (code > 0x10FFFF)
        snprintf(text, sizeof text, "\\udc%02x", (unsigned)(code - 0x110000));
    else
        snprintf(text, sizeof text,
                 code < 0x100     ? "\\x%02x"
                 : code < 0x10000 ? "\\u%04x"
                                  : "\\U%08x",
                 (unsigned)code);
    build_puts(b, text, plain);
}

static void put_quoted(JinjaBuild *b, const JinjaText *text)
{
    bool single = memchr(text->data, '\'', (size_t)text->size) != NULL;
    bool both = single && memchr(text->data, '"', (size_t)text->size) != NULL;
    const char *quote = single && !both ? "\"" : "'";
    int64_t span = 0, start = 0;
    uint32_t code;
    if (text->markup)
        build_puts(b, "Markup(", false);
    build_puts(b, quote, false);
    for (int64_t i = 0; i < text->size;) {
        bool plain = text_plain_at(text, i, &span);
        int length = text_next(text, i, &code);
        const char *known = code == '\n'               ? "\\n"
                            : code == '\r'             ? "\\r"
                            : code == '\t'             ? "\\t"
                            : code == '\\'             ? "\\\\"
                            : code == (uint32_t)*quote ? "\\'"
                                                       : NULL;
        if (known || !jinja_code_is_printable(code)) {
            build_slice(b, text, start, i);
            start = i + length;
            if (known)
                build_puts(b, known, plain);
            else
                put_escape(b, code, plain);
        }
        i += length;
    }
    build_slice(b, text, start, text->size);
    build_puts(b, quote, false);
    if (text->markup)
        build_puts(b, ")", false);
}

static void put_items(JinjaBuild *b, const JinjaList *list, const char *open, const char *close)
{
    build_puts(b, open, false);
    for (int64_t i = 0; i < list->count; i++) {
        if (i)
            build_puts(b, ", ", false);
        jinja_put_repr(b, list->items[i]);
    }
    build_puts(b, close, false);
}

static void put_dict(JinjaBuild *b, const JinjaDict *dict)
{
    build_puts(b, "{", false);
    for (int64_t i = 0; i < dict->count; i++) {
        if (i)
            build_puts(b, ", ", false);
        jinja_put_repr(b, dict->keys[i]);
        build_puts(b, ": ", false);
        jinja_put_repr(b, dict->values[i]);
    }
    build_puts(b, "}", false);
}

static void put_range(JinjaBuild *b, const JinjaList *range)
{
    char text[96];
    int n = snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64, range->start, range->stop);
    if (range->step != 1)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %" PRId64, range->step);
    snprintf(text + n, sizeof text - (size_t)n, ")");
    build_puts(b, text, false);
}

void jinja_put_repr(JinjaBuild *b, JinjaValue v)
{
    jinja_charge(b->work, 1);
    jinja_deeper(b->work);
    switch (v.kind) {
    case JINJA_UNDEFINED:
        build_puts(b, "Undefined", false);
        break;
    case JINJA_NONE:
        build_puts(b, "None", v.plain);
        break;
    case JINJA_BOOL:
        build_puts(b, v.truth ? "True" : "False", v.plain);
        break;
    case JINJA_INT:
    case JINJA_FLOAT:
        put_number(b, v);
        break;
    case JINJA_TEXT:
        put_quoted(b, v.text);
        break;
    case JINJA_LIST:
        put_items(b, v.list, "[", "]");
        break;
    case JINJA_TUPLE:
        put_items(b, v.list, "(", v.list->count == 1 ? ",)" : ")");
        break;
    case JINJA_VIEW:
        build_puts(b, v.list->name, false);
        put_items(b, v.list, "([", "])");
        break;
    case JINJA_RANGE:
        put_range(b, v.list);
        break;
    case JINJA_DICT:
        put_dict(b, v.dict);
        break;
    case JINJA_NAMESPACE:
        build_puts(b, "<Namespace ", false);
        put_dict(b, v.dict);
        build_puts(b, ">", false);
        break;
    default:
        jinja_fail(b->work, "an object of type '%s' cannot be printed", jinja_kind_name(v));
    }
    jinja_shallower(b->work);
}

void jinja_put_str(JinjaBuild *b, JinjaValue v)
{
    if (v.kind == JINJA_TEXT)
        build_text(b, v.text);
    else if (v.kind != JINJA_UNDEFINED)
        jinja_put_repr(b, v);
}

JinjaText *jinja_str(JinjaWork *work, JinjaValue v)
{
    if (v.kind == JINJA_TEXT)
        return v.text;
    JinjaBuild build = build_new(work, NULL);
    jinja_put_str(&build, v);
    return build_done(&build);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_json_char(JinjaBuild *b, uint32_t code, bool plain)
{
    char text[16];
    if (code > 0x10FFFF)
        snprintf(text, sizeof text, "\\udc%02x", (unsigned)(code - 0x110000));
    else if (code < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)code);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (code >> 10)),
                 (unsigned)(0xDC00 + (code & 0x3FF)));
    build_puts(b, text, plain);
}

static void put_json_text(JinjaBuild *b, const JinjaText *text, bool ascii)
{
    static const char escaped[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    int64_t span = 0, start = 0;
    uint32_t code;
    build_puts(b, "\"", false);
    for (int64_t i = 0; i < text->size;) {
        bool plain = text_plain_at(text, i, &span);
        int length = text_next(text, i, &code);
        const char *known = NULL;
        for (const char *e = escaped; *e && !known; e += 2)
            known = (uint32_t)*e == code ? e + 1 : NULL;
        if (known || code < 0x20 || (ascii && code > 0x7E)) {
            build_slice(b, text, start, i);
            start = i + length;
            char pair[3] = {'\\', known ? *known : '\0', '\0'};
            if (known)
                build_puts(b, pair, plain);
            else
                put_json_char(b, code, plain);
        }
        i += length;
    }
    build_slice(b, text, start, text->size);
    build_puts(b, "\"", false);
}

static void put_json_number(JinjaBuild *b, JinjaValue v)
{
    if (v.kind == JINJA_BOOL)
        build_puts(b, v.truth ? "true" : "false", v.plain);
    else if (v.kind == JINJA_FLOAT && !isfinite(v.real))
        build_puts(b, isnan(v.real) ? "NaN" : v.real > 0 ? "Infinity" : "-Infinity", v.plain);
    else
        put_number(b, v);
}

static void put_key(JinjaBuild *b, const JinjaJson *how, JinjaValue key)
{
    if (key.kind == JINJA_TEXT) {
        put_json_text(b, key.text, how->ascii);
        return;
    }
    if (key.kind != JINJA_NONE && !jinja_is_number(key))
        jinja_fail(b->work, "an object of type '%s' cannot be a key in JSON", jinja_kind_name(key));
    build_puts(b, "\"", false);
    if (key.kind == JINJA_NONE)
        build_puts(b, "null", key.plain);
    else
        put_json_number(b, key);
    build_puts(b, "\"", false);
}

static void new_line(JinjaBuild *b, const JinjaJson *how, int64_t level)
{
    if (!how->indent)
        return;
    build_puts(b, "\n", false);
    for (int64_t i = 0; i < level; i++)
        build_text(b, how->indent);
}

/* The members of a list, or of a dictionary whose keys are given. */
static void put_members(JinjaBuild *b, const JinjaJson *how, const JinjaValue *keys,
                        const JinjaValue *values, int64_t n, int64_t level)
{
    if (n == 0) {
        build_puts(b, keys ? "{}" : "[]", false);
        return;
    }
    build_puts(b, keys ? "{" : "[", false);
    for (int64_t i = 0; i < n; i++) {
        if (i)
            build_text(b, how->between);
        new_line(b, how, level + 1);
        if (keys) {
            put_key(b, how, keys[i]);
            build_text(b, how->after_key);
        }
        jinja_put_json(b, how, values[i], level + 1);
    }
    new_line(b, how, level);
    build_puts(b, keys ? "}" : "]", false);
}

static void put_json_dict(JinjaBuild *b, const JinjaJson *how, const JinjaDict *dict, int64_t level)
{
    static const JinjaValue none;
    const JinjaValue *keys = dict->count ? dict->keys : &none, *values = dict->values;
    if (how->sorted && dict->count > 1) {
        int64_t bytes = dict->count * (int64_t)sizeof *keys;
        JinjaValue *by_key = jinja_take(b->work, bytes), *order = jinja_take(b->work, bytes);
        memcpy(by_key, dict->values, (size_t)bytes);
        memcpy(order, dict->keys, (size_t)bytes);
        jinja_sort(b->work, by_key, dict->keys, dict->count, false);
        jinja_sort(b->work, order, dict->keys, dict->count, false);
        keys = order;
        values = by_key;
    }
    put_members(b, how, keys, values, dict->count, level);
}

void jinja_put_json(JinjaBuild *b, const JinjaJson *how, JinjaValue v, int64_t level)
{
    jinja_charge(b->work, 1);
    jinja_deeper(b->work);
    switch (v.kind) {
    case JINJA_NONE:
        build_puts(b, "null", v.plain);
        break;
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        put_json_number(b, v);
        break;
    case JINJA_TEXT:
        put_json_text(b, v.text, how->ascii);
        break;
    case JINJA_LIST:
    case JINJA_TUPLE:
        put_members(b, how, NULL, v.list->items, v.list->count, level);
        break;
    case JINJA_DICT:
        put_json_dict(b, how, v.dict, level);
        break;
    default:
        jinja_fail(b->work, "an object of type '%s' cannot be written as JSON", jinja_kind_name(v));
    }
    jinja_shallower(b->work);
}
