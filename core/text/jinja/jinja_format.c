/* Formatting: "..." % values and "...".format(...). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/jinja/jinja_run.h"

enum { WIDTH_MAX = 1000, NUMBER_TEXT = 1400 };

/* How one value is to be written. */
typedef struct Spec {
    char align, sign, type; /* 0: the value's own */
    bool alternate, zero, comma;
    int64_t width, precision; /* -1: none */
    const JinjaText *fill;
} Spec;

static int64_t read_number(JinjaRun *run, const char **at)
{
    int64_t number = 0;
    while (**at >= '0' && **at <= '9') {
        number = number * 10 + (*(*at)++ - '0');
        if (number > WIDTH_MAX)
            jinja_fail(run->work, "a format asks for more than %d characters", WIDTH_MAX);
    }
    return number;
}

/* Digits of a magnitude in another base. */
static void put_base(uint64_t number, int bits, bool upper, char *out)
{
    char digits[72];
    int n = 0;
    do {
        digits[n++] =
            (upper ? "0123456789ABCDEF" : "0123456789abcdef")[number & ((1u << bits) - 1)];
        number >>= bits;
    } while (number);
    while (n > 0)
        *out++ = digits[--n];
    *out = '\0';
}

/* A comma before every third digit of the whole part. */
static void put_commas(char *digits)
{
    size_t whole = strspn(digits, "0123456789"), length = strlen(digits);
    for (size_t at = whole; at > 3;) {
        at -= 3;
        memmove(digits + at + 1, digits + at, length - at + 1);
        digits[at] = ',';
        length++;
    }
}

static void real_digits(JinjaRun *run, const Spec *spec, double real, char *out)
{
    int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    char type = spec->type == '%' ? 'f' : spec->type;
    if (!isfinite(real)) {
        snprintf(out, NUMBER_TEXT, "%s", isnan(real) ? "nan" : "inf");
        return;
    }
    if (type == 0 && spec->precision < 0) {
        jinja_print_real(fabs(real), out);
        return;
    }
    if (type == 0)
        jinja_fail(run->work, "a format of a number with a precision wants a type (f, e, g)");
    real = fabs(real) * (spec->type == '%' ? 100.0 : 1.0);
    const size_t room = NUMBER_TEXT - 16;
    if (strchr("fF", type))
        snprintf(out, room, "%.*f", precision, real);
    else if (strchr("eE", type))
        snprintf(out, room, type == 'e' ? "%.*e" : "%.*E", precision, real);
    else
        snprintf(out, room, type == 'g' ? "%.*g" : "%.*G", precision, real);
    size_t used = strlen(out);
    if (spec->type == '%')
        snprintf(out + used, NUMBER_TEXT - used, "%%");
}

static void whole_digits(const Spec *spec, int64_t number, char *out)
{
    uint64_t magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
    const char *prefix = "";
    if (spec->type == 'x' || spec->type == 'X')
        prefix = spec->type == 'x' ? "0x" : "0X";
    else if (spec->type == 'o' || spec->type == 'b')
        prefix = spec->type == 'o' ? "0o" : "0b";
    out += snprintf(out, NUMBER_TEXT, "%s", spec->alternate ? prefix : "");
    if (*prefix)
        put_base(magnitude,
                 spec->type == 'o'   ? 3
                 : spec->type == 'b' ? 1
                                     : 4,
                 spec->type == 'X', out);
    else
        snprintf(out, NUMBER_TEXT - 2, "%" PRIu64, magnitude);
}

static void put_padded(JinjaBuild *b, const Spec *spec, const char *sign, const JinjaText *text,
                       char align)
{
    int64_t space = spec->width - text->chars - (int64_t)strlen(sign);
    int64_t before = align == '>' ? space : align == '^' ? space / 2 : 0;
    const JinjaText zero = {.data = "0", .size = 1, .chars = 1};
    const JinjaText *fill = spec->zero && align == '=' ? &zero : spec->fill;
    for (int64_t i = 0; i < before; i++)
        build_text(b, fill);
    build_puts(b, sign, false);
    for (int64_t i = 0; align == '=' && i < space; i++)
        build_text(b, fill);
    build_text(b, text);
    for (int64_t i = before; align != '=' && i < space; i++)
        build_text(b, fill);
}

static void put_number(JinjaRun *run, JinjaBuild *b, const Spec *spec, JinjaValue v)
{
    char digits[NUMBER_TEXT];
    bool real = v.kind == JINJA_FLOAT || (spec->type && strchr("eEfFgG%", spec->type));
    bool negative = v.kind == JINJA_FLOAT ? signbit(v.real) : jinja_whole(v) < 0;
    if (real)
        real_digits(run, spec, jinja_real(v), digits);
    else
        whole_digits(spec, jinja_whole(v), digits);
    if (spec->comma)
        put_commas(digits);
    const char *sign = negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
    put_padded(b, spec, sign, text_of(run->work, digits, (int64_t)strlen(digits), v.plain),
               spec->align  ? spec->align
               : spec->zero ? '='
                            : '>');
}

static void put_text(JinjaRun *run, JinjaBuild *b, const Spec *spec, const JinjaText *text)
{
    if (spec->precision >= 0 && spec->precision < text->chars)
        text = text_slice(run->work, text, 0, text_byte_of(run->work, text, spec->precision));
    put_padded(b, spec, "", text, spec->align ? spec->align : '<');
}

/* ---- percent --------------------------------------------------------------------------------- */

typedef struct Percent {
    JinjaRun *run;
    JinjaValue values;
    int64_t next; /* of a tuple, or of one value */
} Percent;

static JinjaValue next_value(Percent *p)
{
    bool tuple = p->values.kind == JINJA_TUPLE;
    int64_t n = tuple ? p->values.list->count : 1;
    if (p->next >= n)
        jinja_fail(p->run->work, "a format has more places than values");
    JinjaValue value = tuple ? p->values.list->items[p->next] : p->values;
    p->next++;
    return value;
}

static JinjaValue named_value(Percent *p, const char *name, int64_t bytes)
{
    const char *key = jinja_keep(p->run->work, name, bytes);
    if (p->values.kind != JINJA_DICT)
        jinja_fail(p->run->work, "a format with names wants a dictionary");
    const JinjaValue *found = jinja_dict_find_name(p->run->work, p->values.dict, key);
    if (!found)
        jinja_fail(p->run->work, "a format names '%.60s', which is not there", key);
    return *found;
}

static void read_flags(const char **at, Spec *spec)
{
    for (;; ++*at) {
        if (**at == '-')
            spec->align = '<';
        else if (**at == '0')
            spec->zero = true;
        else if (**at == '+' || (**at == ' ' && spec->sign != '+'))
            spec->sign = **at;
        else if (**at == '#')
            spec->alternate = true;
        else if (**at != ' ')
            return;
    }
}

static void put_percent(Percent *p, JinjaBuild *b, Spec *spec, JinjaValue v)
{
    char type = spec->type;
    bool number = strchr("diueEfFgGxXo", type) != NULL;
    if (number && !jinja_is_number(v))
        jinja_fail(p->run->work, "%%%c wants a number, not '%s'", type, jinja_kind_name(v));
    if (!number) {
        JinjaBuild text = build_new(p->run->work, NULL);
        if (type == 'r')
            jinja_put_repr(&text, v);
        else
            jinja_put_str(&text, v);
        spec->align = spec->align ? spec->align : '>';
        put_text(p->run, b, spec, build_done(&text));
        return;
    }
    spec->zero = spec->zero && spec->align == 0;
    if (strchr("diu", type)) {
        spec->type = 'd';
        v = v.kind == JINJA_FLOAT
                ? jinja_apply(p->run, jinja_filter_find("int"), v, jinja_list_new(p->run->work),
                              jinja_dict_new(p->run->work))
                : v;
    }
    put_number(p->run, b, spec, v);
}

/* The place behind a '%' at `at`; returns where it ends. */
static const char *percent_place(Percent *p, JinjaBuild *b, const char *at, const char *end)
{
    Spec spec = {.precision = -1, .fill = text_of(p->run->work, " ", 1, false)};
    const char *name = NULL, *close = NULL;
    if (*at == '(') {
        name = at + 1;
        close = memchr(name, ')', (size_t)(end - name));
        if (!close)
            jinja_fail(p->run->work, "a format has '(' without ')'");
        at = close + 1;
    }
    read_flags(&at, &spec);
    spec.width = read_number(p->run, &at);
    if (*at == '.') {
        at++;
        spec.precision = read_number(p->run, &at);
    }
    spec.type = *at;
    if (at >= end || !strchr("%sradiueEfFgGxXo", *at) || *at == 'a')
        jinja_fail(p->run->work, "the format '%%%c' is not supported", at < end ? *at : ' ');
    if (*at == '%')
        build_puts(b, "%", false);
    else
        put_percent(p, b, &spec, name ? named_value(p, name, close - name) : next_value(p));
    return at + 1;
}

JinjaText *jinja_percent(JinjaRun *run, const JinjaText *format, JinjaValue values)
{
    Percent p = {.run = run, .values = values};
    JinjaBuild b = build_new(run->work, NULL);
    const char *data = format->data, *end = data + format->size;
    /* Literals and slices of others have no zero behind them. */
    const char *copy = jinja_keep(run->work, data, format->size), *stop = copy + format->size;
    for (const char *at = copy; at < stop;) {
        const char *percent = memchr(at, '%', (size_t)(stop - at));
        const char *to = percent ? percent : stop;
        build_slice(&b, format, at - copy, to - copy);
        at = percent ? percent_place(&p, &b, percent + 1, stop) : end - data + copy;
    }
    /* What has items may hold more than is used. */
    bool scalar = values.kind == JINJA_TEXT || values.kind == JINJA_NONE || jinja_is_number(values);
    int64_t there = values.kind == JINJA_TUPLE ? values.list->count : scalar ? 1 : 0;
    bool used = p.next >= there;
    if (!used)
        jinja_fail(run->work, "a format has fewer places than values");
    return build_done(&b);
}

/* ---- braces ---------------------------------------------------------------------------------- */

typedef struct Braces {
    JinjaRun *run;
    const JinjaArgs *args;
    int64_t next;
    bool numbered; /* places have numbers of their own */
} Braces;

/* What "name.attr[key]" means. */
static JinjaValue field_value(Braces *p, const char *field)
{
    JinjaWork *work = p->run->work;
    size_t n = strcspn(field, ".[");
    char *first = jinja_keep(work, field, (int64_t)n), *rest;
    long index = n ? strtol(first, &rest, 10) : p->next++;
    JinjaValue value;
    if (n == 0 || *rest == '\0') {
        p->numbered = p->numbered || n > 0;
        if (n == 0 && p->numbered)
            jinja_fail(work, "a format mixes places with and without numbers");
        if (index < 0 || index >= p->args->items->count)
            jinja_fail(work, "a format has more places than values");
        value = p->args->items->items[index];
    } else {
        const JinjaValue *found = jinja_dict_find_name(work, p->args->named, first);
        if (!found)
            jinja_fail(work, "a format names '%.60s', which is not there", first);
        value = *found;
    }
    for (field += n; *field;) {
        bool item = *field == '[';
        n = strcspn(field + 1, item ? "]" : ".[");
        char *name = jinja_keep(work, field + 1, (int64_t)n);
        value = item ? jinja_attr_path(p->run, value, text_value(work, name))
                     : jinja_own_attr(p->run, value, name);
        if (value.kind == JINJA_UNDEFINED)
            jinja_fail(work, "a format names '%.60s', which is not there", name);
        field += 1 + n + (item && field[1 + n]);
    }
    return value;
}

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static Spec read_spec(JinjaRun *run, const JinjaText *text)
{
    Spec spec = {.precision = -1, .fill = text_of(run->work, " ", 1, false)};
    uint32_t code;
    const char *at = text->data;
    int first = text->size ? text_next(text, 0, &code) : 0;
    if (first && first < text->size && strchr("<>^=", at[first])) {
        spec.fill = text_slice(run->work, text, 0, first);
        spec.align = at[first];
        at += first + 1;
    } else if (first && strchr("<>^=", *at)) {
        spec.align = *at++;
    }
    if (*at && strchr("+- ", *at))
        spec.sign = *at++;
    if (*at == '#') {
        spec.alternate = true;
        at++;
    }
    if (*at == '0') {
        spec.zero = true;
        at++;
    }
    spec.width = read_number(run, &at);
    if (*at == ',') {
        spec.comma = true;
        at++;
    }
    if (*at == '.') {
        at++;
        spec.precision = read_number(run, &at);
    }
    if (*at)
        spec.type = *at++;
    if (*at || (spec.type && !strchr("sdeEfFgGxXob%", spec.type)))
        jinja_fail(run->work, "the format '{:%.60s}' is not supported", text->data);
    return spec;
}

static void put_field(Braces *p, JinjaBuild *b, const JinjaText *inside)
{
    JinjaWork *work = p->run->work;
    const JinjaText colon = {.data = ":", .size = 1, .chars = 1};
    int64_t at = text_find(work, inside, &colon, 0, inside->size, false);
    int64_t name_end = at < 0 ? inside->size : at;
    char *name = jinja_keep(work, inside->data, name_end), conversion = '\0';
    if (name_end >= 2 && name[name_end - 2] == '!') {
        conversion = name[name_end - 1];
        name[name_end - 2] = '\0';
    }
    const char *spec_text = jinja_keep(work, inside->data + (at < 0 ? inside->size : at + 1),
                                       at < 0 ? 0 : inside->size - at - 1);
    Spec spec = read_spec(p->run, text_of(work, spec_text, (int64_t)strlen(spec_text), false));
    JinjaValue v = field_value(p, name);
    if (conversion && conversion != 'r' && conversion != 's')
        jinja_fail(work, "the conversion '!%c' of a format is not supported", conversion);
    bool number = jinja_is_number(v) && !conversion && spec.type != 's' &&
                  !(v.kind == JINJA_BOOL && !*spec_text);
    if (number) {
        put_number(p->run, b, &spec, v);
        return;
    }
    if (*spec_text && v.kind != JINJA_TEXT && !conversion)
        jinja_fail(work, "'%s' has no format '%.60s'", jinja_kind_name(v), spec_text);
    if (spec.type && spec.type != 's')
        jinja_fail(work, "a text has no format '%c'", spec.type);
    JinjaBuild text = build_new(work, NULL);
    if (conversion == 'r')
        jinja_put_repr(&text, v);
    else
        jinja_put_str(&text, v);
    put_text(p->run, b, &spec, build_done(&text));
}

JinjaText *jinja_braces(JinjaRun *run, const JinjaText *format, const JinjaArgs *args)
{
    Braces p = {.run = run, .args = args};
    JinjaBuild b = build_new(run->work, NULL);
    int64_t start = 0, n = format->size;
    const char *data = format->data;
    for (int64_t i = 0; i < n; i++) {
        if (data[i] != '{' && data[i] != '}')
            continue;
        bool twice = i + 1 < n && data[i + 1] == data[i];
        build_slice(&b, format, start, i + twice);
        start = i + 2;
        if (twice) {
            i++;
            continue;
        }
        const char *close = memchr(data + i, '}', (size_t)(n - i));
        if (data[i] == '}' || !close)
            jinja_fail(run->work, "a format has a single '%c'", data[i]);
        const JinjaText *inside = text_slice(run->work, format, i + 1, close - data);
        if (memchr(inside->data, '{', (size_t)inside->size))
            jinja_fail(run->work, "a format within a format is not supported");
        put_field(&p, &b, inside);
        i = close - data;
        start = i + 1;
    }
    build_slice(&b, format, start < n ? start : n, n);
    return build_done(&b);
}
