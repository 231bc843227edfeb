/* What stands behind `is`. */
#include "core/text/jinja/jinja_run.h"

#define TEST(name) static JinjaValue name(JinjaRun *run, JinjaValue self, const JinjaArgs *args)

#define KIND_TEST(name, condition)                                                                 \
    TEST(name)                                                                                     \
    {                                                                                              \
        (void)run;                                                                                 \
        (void)args;                                                                                \
        return jinja_bool(condition);                                                              \
    }

static bool is_sized(JinjaValue v)
{
    return v.kind == JINJA_TEXT || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE ||
           v.kind == JINJA_RANGE || v.kind == JINJA_DICT || v.kind == JINJA_UNDEFINED;
}

static bool is_callable(JinjaValue v)
{
    return v.kind == JINJA_UNDEFINED || v.kind >= JINJA_FUNCTION;
}

KIND_TEST(is_defined, self.kind != JINJA_UNDEFINED)
KIND_TEST(is_undefined, self.kind == JINJA_UNDEFINED)
KIND_TEST(is_none, self.kind == JINJA_NONE)
KIND_TEST(is_text, self.kind == JINJA_TEXT)
KIND_TEST(is_number, jinja_is_number(self))
KIND_TEST(is_integer, self.kind == JINJA_INT)
KIND_TEST(is_float, self.kind == JINJA_FLOAT)
KIND_TEST(is_boolean, self.kind == JINJA_BOOL)
KIND_TEST(is_true, self.kind == JINJA_BOOL && self.truth)
KIND_TEST(is_false, self.kind == JINJA_BOOL && !self.truth)
KIND_TEST(is_mapping, self.kind == JINJA_DICT)
KIND_TEST(is_sequence, is_sized(self))
KIND_TEST(is_iterable, is_sized(self) || self.kind == JINJA_VIEW || self.kind == JINJA_ITERATOR ||
                           self.kind == JINJA_LOOP)
KIND_TEST(is_call, is_callable(self))
KIND_TEST(is_escaped, self.kind == JINJA_TEXT && self.text->markup)

TEST(is_odd)
{
    (void)args;
    return jinja_bool(jinja_real(jinja_binary(run, "%", self, jinja_int(2))) == 1.0);
}

TEST(is_even)
{
    (void)args;
    return jinja_bool(jinja_real(jinja_binary(run, "%", self, jinja_int(2))) == 0.0);
}

TEST(is_divisible)
{
    return jinja_bool(jinja_real(jinja_binary(run, "%", self, args->bound[0])) == 0.0);
}

TEST(is_equal)
{
    return jinja_bool(jinja_equal(run->work, self, args->bound[0]));
}

TEST(is_other)
{
    return jinja_bool(!jinja_equal(run->work, self, args->bound[0]));
}

TEST(is_less)
{
    return jinja_bool(jinja_compare(run->work, self, args->bound[0]) < 0);
}

TEST(is_less_or_equal)
{
    return jinja_bool(jinja_compare(run->work, self, args->bound[0]) <= 0);
}

TEST(is_greater)
{
    return jinja_bool(jinja_compare(run->work, self, args->bound[0]) > 0);
}

TEST(is_greater_or_equal)
{
    return jinja_bool(jinja_compare(run->work, self, args->bound[0]) >= 0);
}

TEST(is_in)
{
    return jinja_bool(jinja_contains(run, args->bound[0], self));
}

TEST(is_same)
{
    (void)run;
    return jinja_bool(jinja_same(self, args->bound[0]));
}

/* str(value).islower() and the like: some character of that case, none of the other. */
static JinjaValue all_in_case(JinjaRun *run, JinjaValue self, bool upper)
{
    uint32_t code;
    bool some = false;
    const JinjaText *text = jinja_str(run->work, self);
    for (int64_t i = 0; i < text->size;) {
        i += text_next(text, i, &code);
        bool wrong = jinja_code_is_title(code) ||
                     (upper ? jinja_code_is_lower(code) : jinja_code_is_upper(code));
        if (wrong)
            return jinja_bool(false);
        some = some || (upper ? jinja_code_is_upper(code) : jinja_code_is_lower(code));
    }
    return jinja_bool(some);
}

TEST(is_lower)
{
    (void)args;
    return all_in_case(run, self, false);
}

TEST(is_upper)
{
    (void)args;
    return all_in_case(run, self, true);
}

/* Names of filters and tests. */
TEST(is_filter)
{
    (void)run;
    (void)args;
    return jinja_bool(self.kind == JINJA_TEXT && jinja_filter_find(self.text->data));
}

TEST(is_test)
{
    (void)args;
    (void)run;
    return jinja_bool(self.kind == JINJA_TEXT && jinja_test_find(self.text->data));
}

const JinjaEntry jinja_tests[] = {
    {"defined", is_defined, "", 0},
    {"undefined", is_undefined, "", 0},
    {"none", is_none, "", 0},
    {"string", is_text, "", 0},
    {"number", is_number, "", 0},
    {"integer", is_integer, "", 0},
    {"float", is_float, "", 0},
    {"boolean", is_boolean, "", 0},
    {"true", is_true, "", 0},
    {"false", is_false, "", 0},
    {"mapping", is_mapping, "", 0},
    {"sequence", is_sequence, "", 0},
    {"iterable", is_iterable, "", 0},
    {"callable", is_call, "", 0},
    {"escaped", is_escaped, "", 0},
    {"odd", is_odd, "", 0},
    {"even", is_even, "", 0},
    {"divisibleby", is_divisible, "num", 1},
    {"eq", is_equal, "other", 1},
    {"equalto", is_equal, "other", 1},
    {"==", is_equal, "other", 1},
    {"ne", is_other, "other", 1},
    {"!=", is_other, "other", 1},
    {"lt", is_less, "other", 1},
    {"<", is_less, "other", 1},
    {"lessthan", is_less, "other", 1},
    {"le", is_less_or_equal, "other", 1},
    {"<=", is_less_or_equal, "other", 1},
    {"gt", is_greater, "other", 1},
    {">", is_greater, "other", 1},
    {"greaterthan", is_greater, "other", 1},
    {"ge", is_greater_or_equal, "other", 1},
    {">=", is_greater_or_equal, "other", 1},
    {"in", is_in, "seq", 1},
    {"sameas", is_same, "other", 1},
    {"lower", is_lower, "", 0},
    {"upper", is_upper, "", 0},
    {"filter", is_filter, "", 0},
    {"test", is_test, "", 0},
    {0},
};
