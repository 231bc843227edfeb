/* Operators. */
#include <math.h>
#include <string.h>

#include "core/text/jinja/jinja_run.h"

static _Noreturn void unsupported(JinjaRun *run, const char *op, JinjaValue a, JinjaValue b)
{
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        jinja_fail(run->work, "'%.60s' is undefined", a.kind == JINJA_UNDEFINED ? a.name : b.name);
    jinja_fail(run->work, "'%s' is not possible with '%s' and '%s'", op, jinja_kind_name(a),
               jinja_kind_name(b));
}

static JinjaValue whole(JinjaRun *run, bool overflow, int64_t number)
{
    if (overflow)
        jinja_fail(run->work, "a number grows beyond 64 bits");
    return jinja_int(number);
}

static int64_t power(JinjaRun *run, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    bool overflow = false;
    for (;;) {
        if (exponent & 1)
            overflow |= __builtin_mul_overflow(result, base, &result);
        exponent >>= 1;
        if (exponent == 0 || overflow)
            break;
        overflow |= __builtin_mul_overflow(base, base, &base);
    }
    return whole(run, overflow, result).number;
}

/* Rounds towards minus infinity, as Python does; the remainder has the divisor's sign. */
static JinjaValue divide(JinjaRun *run, bool remainder, int64_t a, int64_t b)
{
    if (b == -1)
        return remainder ? jinja_int(0) : whole(run, a == INT64_MIN, (int64_t) - (uint64_t)a);
    int64_t quotient = a / b, rest = a % b;
    bool other_sign = rest != 0 && (rest < 0) != (b < 0);
    return jinja_int(remainder ? rest + (other_sign ? b : 0) : quotient - other_sign);
}

static double real_power(JinjaRun *run, double a, double b)
{
    if (a == 0.0 && b < 0.0)
        jinja_fail(run->work, "0.0 has no negative power");
    if (a < 0.0 && b != floor(b))
        jinja_fail(run->work, "complex numbers are not supported");
    double result = pow(a, b);
    if (isinf(result) && isfinite(a) && isfinite(b))
        jinja_fail(run->work, "a power is too large");
    return result;
}

static JinjaValue integers(JinjaRun *run, const char *op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflow;
    switch (op[0]) {
    case '+':
        overflow = __builtin_add_overflow(a, b, &result);
        return whole(run, overflow, result);
    case '-':
        overflow = __builtin_sub_overflow(a, b, &result);
        return whole(run, overflow, result);
    case '*':
        if (op[1] == '*')
            return b < 0 ? jinja_float(real_power(run, (double)a, (double)b))
                         : jinja_int(power(run, a, b));
        overflow = __builtin_mul_overflow(a, b, &result);
        return whole(run, overflow, result);
    default:
        break;
    }
    if (b == 0)
        jinja_fail(run->work, "division by zero");
    if (op[0] == '%')
        return divide(run, true, a, b);
    return op[1] == '/' ? divide(run, false, a, b) : jinja_float((double)a / (double)b);
}

static double remainder_of(double a, double b)
{
    double rest = fmod(a, b);
    if (rest != 0.0)
        return (rest < 0.0) != (b < 0.0) ? rest + b : rest;
    return copysign(0.0, b);
}

static JinjaValue reals(JinjaRun *run, const char *op, double a, double b)
{
    switch (op[0]) {
    case '+':
        return jinja_float(a + b);
    case '-':
        return jinja_float(a - b);
    case '*':
        return jinja_float(op[1] == '*' ? real_power(run, a, b) : a * b);
    default:
        break;
    }
    if (b == 0.0)
        jinja_fail(run->work, "division by zero");
    if (op[0] == '%')
        return jinja_float(remainder_of(a, b));
    return jinja_float(op[1] == '/' ? floor((a - remainder_of(a, b)) / b + 0.5) : a / b);
}

static JinjaValue join_lists(JinjaRun *run, JinjaValue a, JinjaValue b)
{
    JinjaList *list = jinja_list_new(run->work);
    for (int64_t i = 0; i < a.list->count; i++)
        jinja_list_add(run->work, list, a.list->items[i]);
    for (int64_t i = 0; i < b.list->count; i++)
        jinja_list_add(run->work, list, b.list->items[i]);
    jinja_charge(run->work, list->count);
    return jinja_of_list(a.kind, list);
}

static JinjaValue join_texts(JinjaRun *run, const JinjaText *a, const JinjaText *b)
{
    bool markup = a->markup || b->markup;
    if (markup && !a->markup)
        a = jinja_escape(run->work, a);
    if (markup && !b->markup)
        b = jinja_escape(run->work, b);
    JinjaBuild build = build_new(run->work, a);
    build_text(&build, b);
    JinjaText *text = build_done(&build);
    text->markup = markup;
    return jinja_of_text(text);
}

static JinjaValue repeat(JinjaRun *run, JinjaValue a, int64_t times)
{
    if (a.kind == JINJA_TEXT) {
        JinjaBuild build = build_new(run->work, NULL);
        for (int64_t i = 0; a.text->size && i < times; i++)
            build_text(&build, a.text);
        JinjaText *text = build_done(&build);
        text->markup = a.text->markup;
        return jinja_of_text(text);
    }
    JinjaList *list = jinja_list_new(run->work);
    for (int64_t i = 0; a.list->count && i < times; i++) {
        jinja_charge(run->work, a.list->count);
        for (int64_t k = 0; k < a.list->count; k++)
            jinja_list_add(run->work, list, a.list->items[k]);
    }
    return jinja_of_list(a.kind, list);
}

static bool can_repeat(JinjaValue a, JinjaValue b)
{
    return (a.kind == JINJA_TEXT || a.kind == JINJA_LIST || a.kind == JINJA_TUPLE) &&
           (b.kind == JINJA_INT || b.kind == JINJA_BOOL);
}

JinjaValue jinja_binary(JinjaRun *run, const char *op, JinjaValue a, JinjaValue b)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        bool real = a.kind == JINJA_FLOAT || b.kind == JINJA_FLOAT;
        JinjaValue result = real ? reals(run, op, jinja_real(a), jinja_real(b))
                                 : integers(run, op, jinja_whole(a), jinja_whole(b));
        result.plain = a.plain || b.plain;
        return result;
    }
    bool product = strcmp(op, "*") == 0;
    if (op[0] == '+' && a.kind == JINJA_TEXT && b.kind == JINJA_TEXT)
        return join_texts(run, a.text, b.text);
    if (op[0] == '+' && a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE))
        return join_lists(run, a, b);
    if (product && can_repeat(a, b))
        return repeat(run, a, jinja_whole(b));
    if (product && can_repeat(b, a))
        return repeat(run, b, jinja_whole(a));
    if (op[0] == '%' && a.kind == JINJA_TEXT)
        return jinja_of_text(jinja_percent(run, a.text, b));
    unsupported(run, op, a, b);
}

JinjaValue jinja_negative(JinjaRun *run, JinjaValue a)
{
    if (!jinja_is_number(a))
        unsupported(run, "-", a, a);
    JinjaValue result =
        a.kind == JINJA_FLOAT ? jinja_float(-a.real) : integers(run, "-", 0, jinja_whole(a));
    result.plain = a.plain;
    return result;
}

bool jinja_contains(JinjaRun *run, JinjaValue container, JinjaValue item)
{
    if (container.kind == JINJA_TEXT) {
        if (item.kind != JINJA_TEXT)
            unsupported(run, "in", item, container);
        return text_find(run->work, container.text, item.text, 0, container.text->size, false) >= 0;
    }
    if (container.kind == JINJA_DICT)
        return jinja_dict_find(run->work, container.dict, item) != NULL;
    if (container.kind != JINJA_UNDEFINED && !jinja_has_items(container))
        unsupported(run, "in", item, container);
    const JinjaList *list = jinja_items(run->work, container);
    for (int64_t i = 0; i < list->count; i++)
        if (jinja_equal(run->work, list->items[i], item))
            return true;
    return false;
}

bool jinja_same(JinjaValue a, JinjaValue b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case JINJA_NONE:
        return true;
    case JINJA_BOOL:
        return a.truth == b.truth;
    case JINJA_INT: /* small ones are the same objects in Python */
        return a.number == b.number && a.number >= -5 && a.number <= 256;
    case JINJA_FLOAT:
        return false;
    case JINJA_TEXT: /* and so are texts of one character, and constants */
        return a.text == b.text || (text_same(a.text, b.text) && a.text->chars <= 1);
    default:
        return a.list == b.list;
    }
}

/* A merge sort of items and the keys that they go by. */
static void merge_sort(JinjaWork *work, JinjaValue *items, JinjaValue *keys, JinjaValue *spare,
                       int64_t n, bool reverse)
{
    if (n < 2)
        return;
    int64_t half = n / 2, left = 0, right = half;
    merge_sort(work, items, keys, spare, half, reverse);
    merge_sort(work, items + half, keys + half, spare, n - half, reverse);
    for (int64_t i = 0; i < n; i++) {
        bool take_left = right == n;
        if (left < half && right < n) {
            int order = jinja_compare(work, keys[left], keys[right]);
            take_left = reverse ? order >= 0 : order <= 0;
        }
        int64_t from = take_left ? left++ : right++;
        spare[2 * i] = items[from];
        spare[2 * i + 1] = keys[from];
    }
    for (int64_t i = 0; i < n; i++) {
        items[i] = spare[2 * i];
        keys[i] = spare[2 * i + 1];
    }
}

void jinja_sort(JinjaWork *work, JinjaValue *items, const JinjaValue *keys, int64_t n, bool reverse)
{
    int64_t bytes = n * (int64_t)sizeof *items;
    if (n == 0)
        return;
    JinjaValue *own = jinja_take(work, bytes), *spare = jinja_take(work, 2 * bytes);
    memcpy(own, keys ? keys : items, (size_t)bytes);
    merge_sort(work, items, own, spare, n, reverse);
}
