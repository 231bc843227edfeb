/* What texts are asked (isdigit ...), and the methods of lists and dictionaries. */
#include "core/text/jinja/jinja_run.h"

#define METHOD(name) static JinjaValue name(JinjaRun *run, JinjaValue self, const JinjaArgs *args)

/* ---- questions ------------------------------------------------------------------------------- */

/* Whether there are characters and all of them are so. */
static JinjaValue all_are(JinjaValue self, bool (*is)(uint32_t))
{
    uint32_t code;
    for (int64_t i = 0; i < self.text->size;) {
        i += text_next(self.text, i, &code);
        if (!is(code))
            return jinja_bool(false);
    }
    return jinja_bool(self.text->size > 0);
}

static bool is_alnum(uint32_t code)
{
    return jinja_code_is_alpha(code) || jinja_code_is_numeric(code);
}

#define QUESTION(name, is)                                                                         \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void)run;                                                                                 \
        (void)args;                                                                                \
        return all_are(self, is);                                                                  \
    }

QUESTION(is_alpha, jinja_code_is_alpha)
QUESTION(is_alnum_text, is_alnum)
QUESTION(is_decimal, jinja_code_is_decimal)
QUESTION(is_digit, jinja_code_is_digit)
QUESTION(is_numeric, jinja_code_is_numeric)
QUESTION(is_space, jinja_code_is_space)

METHOD(is_ascii)
{
    (void)run;
    (void)args;
    bool ascii = true;
    for (int64_t i = 0; i < self.text->size; i++)
        ascii = ascii && (uint8_t)self.text->data[i] < 0x80;
    return jinja_bool(ascii);
}

METHOD(is_printable)
{
    (void)run;
    (void)args;
    return jinja_bool(self.text->size == 0 || all_are(self, jinja_code_is_printable).truth);
}

METHOD(is_lower)
{
    return jinja_apply(run, jinja_test_find("lower"), self, args->items, args->named);
}

METHOD(is_upper)
{
    return jinja_apply(run, jinja_test_find("upper"), self, args->items, args->named);
}

/* Upper case only where a word begins, lower case only within. */
METHOD(is_title)
{
    (void)run;
    (void)args;
    bool within = false, some = false;
    uint32_t code;
    for (int64_t i = 0; i < self.text->size;) {
        i += text_next(self.text, i, &code);
        bool upper = jinja_code_is_upper(code) || jinja_code_is_title(code),
             lower = jinja_code_is_lower(code);
        if ((upper && within) || (lower && !within))
            return jinja_bool(false);
        within = upper || lower;
        some = some || within;
    }
    return jinja_bool(some);
}

const JinjaEntry jinja_text_questions[] = {
    {"isalpha", is_alpha, "", 0},     {"isalnum", is_alnum_text, "", 0},
    {"isdecimal", is_decimal, "", 0}, {"isdigit", is_digit, "", 0},
    {"isnumeric", is_numeric, "", 0}, {"isspace", is_space, "", 0},
    {"isascii", is_ascii, "", 0},     {"isprintable", is_printable, "", 0},
    {"islower", is_lower, "", 0},     {"isupper", is_upper, "", 0},
    {"istitle", is_title, "", 0},     {0},
};

/* ---- lists ----------------------------------------------------------------------------------- */

METHOD(list_index)
{
    int64_t n = self.list->count;
    int64_t from = arg_int(run, args->bound[1], 0, "a place in a list");
    int64_t to = arg_int(run, args->bound[2], n, "a place in a list");
    from += from < 0 ? n : 0;
    to += to < 0 ? n : 0;
    for (int64_t i = from < 0 ? 0 : from; i < to && i < n; i++)
        if (jinja_equal(run->work, self.list->items[i], args->bound[0]))
            return jinja_int(i);
    jinja_fail(run->work, "the item is not in the list");
}

METHOD(list_count)
{
    int64_t n = 0;
    for (int64_t i = 0; i < self.list->count; i++)
        n += jinja_equal(run->work, self.list->items[i], args->bound[0]);
    return jinja_int(n);
}

static JinjaList *list_of(JinjaRun *run, const JinjaValue *items, int64_t n)
{
    JinjaList *list = jinja_list_new(run->work);
    for (int64_t i = 0; i < n; i++)
        jinja_list_add(run->work, list, items[i]);
    jinja_charge(run->work, n);
    return list;
}

METHOD(list_copy)
{
    (void)args;
    if (self.kind != JINJA_LIST)
        jinja_fail(run->work, "an object of type '%s' has no method 'copy'", jinja_kind_name(self));
    return jinja_of_list(JINJA_LIST, list_of(run, self.list->items, self.list->count));
}

const JinjaEntry jinja_list_methods[] = {
    {"copy", list_copy, "", 0},
    {"index", list_index, "value,start,stop", 1},
    {"count", list_count, "value", 1},
    {0},
};

/* ---- dictionaries ---------------------------------------------------------------------------- */

METHOD(get)
{
    const JinjaValue *found = jinja_dict_find(run->work, self.dict, args->bound[0]);
    return found ? *found : jinja_given(args->bound[1]) ? args->bound[1] : jinja_none();
}

static JinjaValue view(JinjaList *list, const char *name)
{
    list->name = name;
    return jinja_of_list(JINJA_VIEW, list);
}

METHOD(keys)
{
    (void)args;
    return view(list_of(run, self.dict->keys, self.dict->count), "dict_keys");
}

METHOD(values)
{
    (void)args;
    return view(list_of(run, self.dict->values, self.dict->count), "dict_values");
}

METHOD(items)
{
    (void)args;
    JinjaList *list = jinja_list_new(run->work);
    jinja_charge(run->work, self.dict->count);
    for (int64_t i = 0; i < self.dict->count; i++) {
        const JinjaValue pair[2] = {self.dict->keys[i], self.dict->values[i]};
        jinja_list_add(run->work, list, jinja_of_list(JINJA_TUPLE, list_of(run, pair, 2)));
    }
    return view(list, "dict_items");
}

METHOD(dict_copy)
{
    (void)args;
    JinjaDict *dict = jinja_dict_new(run->work);
    for (int64_t i = 0; i < self.dict->count; i++)
        jinja_dict_put(run->work, dict, self.dict->keys[i], self.dict->values[i]);
    return jinja_of_dict(dict);
}

const JinjaEntry jinja_dict_methods[] = {
    {"copy", dict_copy, "", 0}, {"get", get, "key,default", 1}, {"keys", keys, "", 0},
    {"values", values, "", 0},  {"items", items, "", 0},        {0},
};
