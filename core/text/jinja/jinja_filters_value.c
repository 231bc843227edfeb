/* Filters of numbers and of any values. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/jinja/jinja_run.h"

#define FILTER(name) static JinjaValue name(JinjaRun *run, JinjaValue self, const JinjaArgs *args)

FILTER(or_default)
{
    bool by_truth = arg_truth(run, args->bound[1], false);
    bool missing = self.kind == JINJA_UNDEFINED || (by_truth && !jinja_truth(run->work, self));
    if (!missing)
        return self;
    return jinja_given(args->bound[0]) ? args->bound[0] : text_value(run->work, "");
}

FILTER(length)
{
    (void)args;
    return jinja_int(jinja_length(run->work, self));
}

FILTER(absolute)
{
    (void)args;
    if (!jinja_is_number(self))
        jinja_fail(run->work, "abs wants a number, not '%s'", jinja_kind_name(self));
    return jinja_real(self) < 0.0 ? jinja_negative(run, self) : self;
}

/* ---- numbers of texts ------------------------------------------------------------------------ */

enum { NUMBER_MAX = 400 };

/* The text without white space around it and single underscores between digits; false when it
 * cannot be a number. */
static bool clean_number(JinjaRun *run, const JinjaText *text, char out[NUMBER_MAX])
{
    const JinjaText *t = text_strip(run->work, text, NULL, true, true);
    int64_t n = 0;
    if (t->size == 0 || t->size >= NUMBER_MAX)
        return false;
    for (int64_t i = 0; i < t->size; i++) {
        char c = t->data[i];
        bool between = i > 0 && i + 1 < t->size && t->data[i - 1] != '_' && t->data[i + 1] != '_';
        if (c == '_' && !between)
            return false;
        if (c == '\0' || (uint8_t)c >= 0x80)
            return false;
        if (c != '_')
            out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static bool read_int(JinjaRun *run, const JinjaText *text, int64_t base, int64_t *out)
{
    char number[NUMBER_MAX], *end;
    if (base < 0 || base == 1 || base > 36 || !clean_number(run, text, number))
        return false;
    const char *digits = number + (*number == '-' || *number == '+');
    if (*digits <= ' ' || strchr("+-", *digits) || (base == 0 && *digits == '0' && digits[1]))
        return false;
    errno = 0;
    *out = strtoll(number, &end, (int)base);
    if (errno == ERANGE)
        jinja_fail(run->work, "the number %.60s is too large", number);
    return *end == '\0' && end > digits;
}

static bool read_real(JinjaRun *run, const JinjaText *text, double *out)
{
    char number[NUMBER_MAX], *end;
    if (!clean_number(run, text, number) || strpbrk(number, "xX("))
        return false;
    *out = strtod(number, &end);
    return *end == '\0' && end > number;
}

static void check_defined(JinjaRun *run, JinjaValue v)
{
    if (v.kind == JINJA_UNDEFINED)
        jinja_fail(run->work, "'%.60s' is undefined", v.name);
}

/* The whole part of a number; false for not a number. */
static bool whole_part(JinjaRun *run, double real, JinjaValue *out)
{
    if (isnan(real))
        return false;
    if (!(fabs(real) < 9.2e18))
        jinja_fail(run->work, "a number is too large for an integer");
    *out = jinja_int((int64_t)real);
    return true;
}

FILTER(to_int)
{
    JinjaValue standard = jinja_given(args->bound[0]) ? args->bound[0] : jinja_int(0), out;
    int64_t base = arg_int(run, args->bound[1], 10, "the base of int"), number;
    double real;
    check_defined(run, self);
    if (self.kind == JINJA_TEXT) {
        if (read_int(run, self.text, base, &number))
            out = jinja_int(number);
        else if (!read_real(run, self.text, &real) || isinf(real) || !whole_part(run, real, &out))
            return standard;
        out.plain = self.text->n_plain > 0;
        return out;
    }
    if (!jinja_is_number(self) || !whole_part(run, jinja_real(self), &out))
        return standard;
    if (self.kind != JINJA_FLOAT)
        out.number = jinja_whole(self);
    out.plain = self.plain;
    return out;
}

FILTER(to_float)
{
    JinjaValue standard = jinja_given(args->bound[0]) ? args->bound[0] : jinja_float(0.0);
    double real;
    check_defined(run, self);
    if (self.kind == JINJA_TEXT && !read_real(run, self.text, &real))
        return standard;
    if (self.kind != JINJA_TEXT && !jinja_is_number(self))
        return standard;
    JinjaValue out = jinja_float(self.kind == JINJA_TEXT ? real : jinja_real(self));
    out.plain = self.kind == JINJA_TEXT ? self.text->n_plain > 0 : self.plain;
    return out;
}

/* ---- rounding -------------------------------------------------------------------------------- */

/* Python's round(): exact halves go to the even neighbour. */
static double round_to(double real, int64_t precision)
{
    char text[512];
    if (!isfinite(real) || precision > 300)
        return real;
    if (precision < 0) {
        double scale = pow(10.0, (double)-precision);
        return isfinite(scale) ? rint(real / scale) * scale : 0.0;
    }
    snprintf(text, sizeof text, "%.*f", (int)precision, real);
    return strtod(text, NULL);
}

static int64_t round_whole(JinjaRun *run, int64_t number, int64_t precision)
{
    if (precision >= 0)
        return number;
    int64_t unit = 1;
    for (int64_t i = precision; i < 0; i++)
        if (__builtin_mul_overflow(unit, 10, &unit))
            return 0;
    int64_t rest = jinja_binary(run, "%", jinja_int(number), jinja_int(unit)).number;
    int64_t low = number - rest;
    bool up = rest > unit / 2 || (rest == unit / 2 && low / unit % 2 != 0);
    return jinja_binary(run, "+", jinja_int(low), jinja_int(up ? unit : 0)).number;
}

FILTER(rounded)
{
    int64_t precision = arg_int(run, args->bound[0], 0, "the precision of round");
    const JinjaText *method = jinja_given(args->bound[1])
                                  ? arg_text(run, args->bound[1], "the method of round")
                                  : text_of(run->work, "common", 6, false);
    if (!jinja_is_number(self))
        jinja_fail(run->work, "round wants a number, not '%s'", jinja_kind_name(self));
    JinjaValue out;
    if (text_is(method, "common")) {
        out = self.kind == JINJA_FLOAT ? jinja_float(round_to(self.real, precision))
                                       : jinja_int(round_whole(run, jinja_whole(self), precision));
    } else {
        bool up = text_is(method, "ceil");
        if (!up && !text_is(method, "floor"))
            jinja_fail(run->work, "the method of round is common, ceil or floor");
        double scale = pow(10.0, (double)precision), scaled = jinja_real(self) * scale;
        out = jinja_float((up ? ceil(scaled) : floor(scaled)) / scale);
    }
    out.plain = self.plain;
    return out;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static const JinjaText *json_indent(JinjaRun *run, JinjaValue v)
{
    if (!jinja_given(v) || v.kind == JINJA_NONE)
        return NULL;
    if (v.kind == JINJA_TEXT)
        return v.text;
    JinjaBuild b = build_new(run->work, NULL);
    build_spaces(&b, arg_int(run, v, 0, "the indent of tojson"));
    return build_done(&b);
}

FILTER(to_json)
{
    JinjaJson how = {.ascii = arg_truth(run, args->bound[0], false),
                     .indent = json_indent(run, args->bound[1]),
                     .sorted = arg_truth(run, args->bound[3], false)};
    if (jinja_given(args->bound[2]) && args->bound[2].kind != JINJA_NONE) {
        const JinjaList *pair = jinja_items(run->work, args->bound[2]);
        if (pair->count != 2)
            jinja_fail(run->work, "the separators of tojson are two texts");
        how.between = arg_text(run, pair->items[0], "a separator of tojson");
        how.after_key = arg_text(run, pair->items[1], "a separator of tojson");
    } else {
        how.between = text_of(run->work, how.indent ? "," : ", ", how.indent ? 1 : 2, false);
        how.after_key = text_of(run->work, ": ", 2, false);
    }
    JinjaBuild b = build_new(run->work, NULL);
    jinja_put_json(&b, &how, self, 0);
    return jinja_of_text(build_done(&b));
}

FILTER(attribute)
{
    return jinja_own_attr(run, self, arg_text(run, args->bound[0], "the name of attr")->data);
}

const JinjaEntry jinja_value_filters[] = {
    {"default", or_default, "default_value,boolean", 0},
    {"d", or_default, "default_value,boolean", 0},
    {"length", length, "", 0},
    {"count", length, "", 0},
    {"abs", absolute, "", 0},
    {"int", to_int, "default,base", 0},
    {"float", to_float, "default", 0},
    {"round", rounded, "precision,method", 0},
    {"tojson", to_json, "ensure_ascii,indent,separators,sort_keys", 0},
    {"attr", attribute, "name", 1},
    {0},
};
