/* Attributes, items and slices, as Jinja's sandbox gives them. */
#include <stdlib.h>
#include <string.h>

#include "core/text/jinja/jinja_run.h"

/* Methods that Python has and templates cannot use here: there, but not to be called. */
static const char *const refused_of_text[] = {
    "encode", "expandtabs", "format_map", "isidentifier", "maketrans", "translate", NULL};
/* They would change what the template was given. */
static const char *const refused_of_lists[] = {"append", "clear",   "extend", "insert", "pop",
                                               "remove", "reverse", "sort",   NULL};
static const char *const refused_of_dicts[] = {"clear",      "fromkeys", "pop", "popitem",
                                               "setdefault", "update",   NULL};

static JinjaValue method(JinjaRun *run, JinjaValue self, const JinjaEntry *entry, const char *name)
{
    JinjaMethod *m = jinja_take(run->work, sizeof *m);
    *m = (JinjaMethod){self, entry, name};
    return (JinjaValue){.kind = JINJA_METHOD, .method = m};
}

/* The method of this name, or JINJA_ABSENT. */
static JinjaValue method_of(JinjaRun *run, JinjaValue self, const char *name)
{
    const JinjaEntry *entry = NULL;
    const char *const *refused = NULL;
    switch (self.kind) {
    case JINJA_TEXT:
        entry = jinja_entry_in(jinja_text_methods, name);
        entry = entry ? entry : jinja_entry_in(jinja_text_questions, name);
        refused = refused_of_text;
        break;
    case JINJA_LIST:
        refused = refused_of_lists;
        entry = jinja_entry_in(jinja_list_methods, name);
        break;
    case JINJA_TUPLE:
    case JINJA_RANGE:
        entry = jinja_entry_in(jinja_list_methods, name);
        break;
    case JINJA_DICT:
        entry = jinja_entry_in(jinja_dict_methods, name);
        refused = refused_of_dicts;
        break;
    case JINJA_CYCLER:
        entry = jinja_entry_in(jinja_cycler_methods, name);
        break;
    case JINJA_LOOP:
        entry = jinja_entry_in(jinja_loop_methods, name);
        break;
    default:
        break;
    }
    if (entry)
        return method(run, self, entry, entry->name);
    for (; refused && *refused; refused++)
        if (strcmp(*refused, name) == 0)
            return method(run, self, NULL, *refused);
    return (JinjaValue){.kind = JINJA_ABSENT};
}

static void check_defined(JinjaRun *run, JinjaValue value)
{
    if (value.kind == JINJA_UNDEFINED)
        jinja_fail(run->work, "'%.60s' is undefined", value.name);
}

/* Attributes that are no methods and no items; JINJA_ABSENT: none. */
static JinjaValue own_attr(JinjaRun *run, JinjaValue value, const char *name)
{
    const JinjaValue *found = NULL;
    if (value.kind == JINJA_NAMESPACE)
        found = jinja_dict_find_name(run->work, value.dict, name);
    else if (value.kind == JINJA_LOOP)
        return jinja_loop_attr(run, value.loop, name);
    else if (value.kind == JINJA_CYCLER && strcmp(name, "current") == 0)
        found = &value.list->items[value.list->at];
    else if (value.kind == JINJA_MACRO && strcmp(name, "name") == 0)
        return text_value(run->work, value.macro->node->name);
    else if (value.kind == JINJA_TUPLE && value.list->name && strcmp(name, "grouper") == 0)
        found = &value.list->items[0];
    else if (value.kind == JINJA_TUPLE && value.list->name && strcmp(name, "list") == 0)
        found = &value.list->items[1];
    return found ? *found : method_of(run, value, name);
}

JinjaValue jinja_attr(JinjaRun *run, JinjaValue value, const char *name)
{
    check_defined(run, value);
    JinjaValue own = own_attr(run, value, name);
    if (jinja_given(own))
        return own;
    if (value.kind == JINJA_DICT) {
        const JinjaValue *found = jinja_dict_find_name(run->work, value.dict, name);
        if (found)
            return *found;
    }
    return jinja_undefined(name);
}

JinjaValue jinja_own_attr(JinjaRun *run, JinjaValue value, const char *name)
{
    check_defined(run, value);
    JinjaValue own = own_attr(run, value, name);
    return jinja_given(own) ? own : jinja_undefined(name);
}

static JinjaValue index_in(JinjaRun *run, JinjaValue value, JinjaValue key)
{
    int64_t n = jinja_length(run->work, value), i = jinja_whole(key);
    i += i < 0 ? n : 0;
    if (i < 0 || i >= n)
        return jinja_undefined("an item beyond the end");
    if (value.kind != JINJA_TEXT)
        return value.list->items[i];
    uint32_t code;
    int64_t at = text_byte_of(run->work, value.text, i);
    int length = text_next(value.text, at, &code);
    return jinja_of_text(text_slice(run->work, value.text, at, at + length));
}

static bool is_sequence(JinjaValue v)
{
    return v.kind == JINJA_TEXT || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE ||
           v.kind == JINJA_RANGE;
}

static bool is_hashable(JinjaValue v)
{
    return v.kind != JINJA_LIST && v.kind != JINJA_DICT && v.kind != JINJA_TUPLE &&
           v.kind <= JINJA_DICT;
}

JinjaValue jinja_item(JinjaRun *run, JinjaValue value, JinjaValue key)
{
    check_defined(run, value);
    if (value.kind == JINJA_DICT && is_hashable(key)) {
        const JinjaValue *found = jinja_dict_find(run->work, value.dict, key);
        if (found)
            return *found;
    }
    if (is_sequence(value) && (key.kind == JINJA_INT || key.kind == JINJA_BOOL))
        return index_in(run, value, key);
    if (key.kind != JINJA_TEXT)
        return jinja_undefined("an item that is not there");
    const char *name = jinja_keep(run->work, key.text->data, key.text->size);
    JinjaValue own = own_attr(run, value, name);
    return jinja_given(own) ? own : jinja_undefined(name);
}

/* ---- slices ---------------------------------------------------------------------------------- */

static int64_t bound(JinjaRun *run, JinjaValue v, int64_t standard, int64_t n, int64_t low,
                     int64_t high)
{
    if (v.kind == JINJA_NONE)
        return standard;
    if (v.kind != JINJA_INT && v.kind != JINJA_BOOL)
        jinja_fail(run->work, "the bounds of a slice are integers or none, not '%s'",
                   jinja_kind_name(v));
    int64_t i = jinja_whole(v);
    i += i < 0 ? n : 0;
    return i < low ? low : i > high ? high : i;
}

JinjaValue jinja_slice(JinjaRun *run, JinjaValue value, const JinjaValue bounds[3])
{
    check_defined(run, value);
    if (!is_sequence(value))
        jinja_fail(run->work, "an object of type '%s' has no slices", jinja_kind_name(value));
    int64_t n = jinja_length(run->work, value);
    int64_t step = bound(run, bounds[2], 1, 0, -INT32_MAX, INT32_MAX);
    if (step == 0)
        jinja_fail(run->work, "the step of a slice is zero");
    int64_t from =
        step > 0 ? bound(run, bounds[0], 0, n, 0, n) : bound(run, bounds[0], n - 1, n, -1, n - 1);
    int64_t to =
        step > 0 ? bound(run, bounds[1], n, n, 0, n) : bound(run, bounds[1], -1, n, -1, n - 1);
    if (value.kind == JINJA_TEXT && step == 1) {
        int64_t begin = text_byte_of(run->work, value.text, from);
        int64_t end = to <= from ? begin : text_byte_of(run->work, value.text, to);
        return jinja_of_text(text_slice(run->work, value.text, begin, end));
    }
    const JinjaList *items = jinja_items(run->work, value);
    JinjaList *out = jinja_list_new(run->work);
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step)
        jinja_list_add(run->work, out, items->items[i]);
    jinja_charge(run->work, out->count);
    if (value.kind != JINJA_TEXT)
        return jinja_of_list(value.kind == JINJA_TUPLE ? JINJA_TUPLE : JINJA_LIST, out);
    JinjaBuild build = build_new(run->work, NULL);
    for (int64_t i = 0; i < out->count; i++)
        build_text(&build, out->items[i].text);
    return jinja_of_text(build_done(&build));
}

/* ---- paths ----------------------------------------------------------------------------------- */

static JinjaValue follow(JinjaRun *run, JinjaValue value, const char *path, int64_t bytes)
{
    while (bytes >= 0) {
        const char *dot = memchr(path, '.', (size_t)bytes);
        int64_t n = dot ? dot - path : bytes;
        bool number = n > 0 && n < 18;
        for (int64_t i = 0; i < n; i++)
            number = number && path[i] >= '0' && path[i] <= '9';
        char *part = jinja_keep(run->work, path, n);
        value = jinja_item(
            run, value, number ? jinja_int(strtoll(part, NULL, 10)) : text_value(run->work, part));
        path += n + 1;
        bytes -= n + 1;
    }
    return value;
}

JinjaValue jinja_attr_path(JinjaRun *run, JinjaValue value, JinjaValue path)
{
    if (path.kind == JINJA_INT)
        return jinja_item(run, value, path);
    const JinjaText *text = arg_text(run, path, "attribute");
    return follow(run, value, text->data, text->size);
}
