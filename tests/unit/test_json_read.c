/* Other programs' JSON: what is unusual in one member leaves all others readable and exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/strbuf.h"
#include "core/io/json_get.h"
#include "core/text/json_read.h"

static json_t *read(const char *text)
{
    json_error_t why;
    return json_read(text, (int64_t)strlen(text), 0, &why);
}

/* Values, and what a reader that wants a number or a text is told of them ("": it reads them). */
static const struct {
    const char *json, *said;
} unusual[] = {
    {"1000000000000000019884624838656", ""},
    {"-9223372036854775809", ""},
    {"9223372036854775807", ""},
    {"1e999", "not a finite number"},
    {"-1E+999", "not a finite number"},
    {"NaN", "not a finite number"},
    {"Infinity", "not a finite number"},
    {"-Infinity", "not a finite number"},
    {"\"a\\u0000b\"", "zero byte"},
    {"\"\\ud800\"", "not Unicode"},
    {"\"\\udc00\\ud800x\"", "not Unicode"},
    {"\"\\uD83D\\u0041\"", "not Unicode"},
    {"\"\xff\xfe\"", "not Unicode"},
    {"\"\xed\xa0\x80\"", "not Unicode"},
    {"\"\\ud83d\\ude00\"", ""},
    {"\"\\\\ud800 \\\"NaN\\\" 1e999\"", ""},
};

static void one_member_never_stops_the_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++) {
        char *text = xasprintf("\xEF\xBB\xBF{\"before\": 7, \"x\": %s, \"in\": [1, {\"x\": %s}], "
                               "\"after\": \"y\"}",
                               unusual[i].json, unusual[i].json);
        json_t *json = read(text);
        assert_non_null(json);
        assert_int_equal(json_integer_value(json_object_get(json, "before")), 7);
        assert_string_equal(json_string_value(json_object_get(json, "after")), "y");
        Err err = {.text = ""};
        const char *as_text;
        double number;
        Status status = strchr(unusual[i].json, '"')
                            ? json_get_text(json, "x", "f.json", &as_text, &err)
                            : json_get_real(json, "x", "f.json", &number, &err);
        if (status != (unusual[i].said[0] ? STATUS_FAIL : STATUS_OK) ||
            !strstr(err.text, unusual[i].said))
            fail_msg("%s: '%s'", unusual[i].json, err.text);
        json_decref(json);
        free(text);
    }
}

static void integers_that_are_used_stay_exact(void **state)
{
    (void)state;
    json_t *json = read("{\"most\": 9223372036854775807, \"least\": -9223372036854775808, "
                        "\"more\": 9223372036854775808, \"long\": 1000000000000000019884624838656,"
                        "\"real\": 5.0}");
    Err err;
    int64_t value;
    assert_int_equal(json_get_int(json, "most", "f", &value, &err), STATUS_OK);
    assert_true(value == INT64_MAX);
    assert_int_equal(json_get_int(json, "least", "f", &value, &err), STATUS_OK);
    assert_true(value == INT64_MIN);
    assert_int_equal(json_get_int(json, "more", "f", &value, &err), STATUS_FAIL);
    assert_int_equal(json_get_int(json, "long", "f", &value, &err), STATUS_FAIL);
    assert_int_equal(json_get_int(json, "real", "f", &value, &err), STATUS_FAIL);
    assert_true(json_real_value(json_object_get(json, "long")) == 1e30);
    json_decref(json);
}

static void of_members_with_one_name_the_last_counts(void **state)
{
    (void)state;
    json_t *json = read("{\"a\": 1, \"b\\u0000\": 2, \"\\ud800\": 3, \"a\": 4}");
    assert_int_equal(json_integer_value(json_object_get(json, "a")), 4);
    assert_int_equal(json_integer_value(json_object_get(json, "b\xEF\xBF\xBD")), 2);
    assert_int_equal(json_integer_value(json_object_get(json, "\xEF\xBF\xBD")), 3);
    json_decref(json);
}

static char *nested(int64_t depth, const char *open, const char *close)
{
    StrBuf text = {0};
    strbuf_puts(&text, "{\"deep\": ");
    for (int64_t i = 0; i < depth; i++)
        strbuf_puts(&text, open);
    strbuf_puts(&text, "1");
    for (int64_t i = 0; i < depth; i++)
        strbuf_puts(&text, close);
    strbuf_puts(&text, ", \"after\": 5}");
    return strbuf_detach(&text);
}

static void depth_is_read_over(void **state)
{
    (void)state;
    for (int64_t depth = 1; depth < 3000000; depth = depth * 3 + 1) {
        char *texts[] = {nested(depth, "[", "]"), nested(depth, "{\"deep\":", "}")};
        for (int i = 0; i < 2; i++) {
            json_t *json = read(texts[i]);
            assert_int_equal(json_integer_value(json_object_get(json, "after")), 5);
            assert_null(json_unreadable(json_object_get(json, "deep")));
            json_decref(json);
            free(texts[i]);
        }
    }
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "{\"a\": }",
        "{\"a\": 1,}",
        "{\"a\": +1}",
        "{\"a\": 01}",
        "{\"a\"}",
        "{\"a\": 1}}",
        "{'a': 1}",
        "{\"a\": NaNs}",
        "{NaN: 1}",
        "{\"a\": 1e999e}",
        "[1}",
        "{\"a\": \"",
        "{\"a\": \"\\u00\"}",
        "{\"a\": \"\\ud8\"}",
        "{\"a\": 1} x",
        "{]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (read(bad[i]))
            fail_msg("%s is read", bad[i]);
    char *text = nested(600, "[", "}");
    assert_null(read(text));
    free(text);
}

static void put_value(StrBuf *out, Rng *rng, int depth)
{
    static const char *const plain[] = {"0",
                                        "-12.5e3",
                                        "true",
                                        "null",
                                        "\"\"",
                                        "\"\\n\"",
                                        "\"é\"",
                                        "\"\\ud83d\\ude00\"",
                                        "9007199254740993"};
    int64_t kind = rng_below(rng, depth > 4 ? 9 : 13);
    if (kind < 9) {
        strbuf_puts(out, plain[kind]);
        return;
    }
    bool is_object = kind % 2 == 0;
    strbuf_putc(out, is_object ? '{' : '[');
    for (int64_t i = 0, n = rng_below(rng, 4); i < n; i++) {
        strbuf_puts(out, i ? " ,\t" : "");
        if (is_object)
            strbuf_printf(out, "\"m%d\": ", (int)i);
        put_value(out, rng, depth + 1);
    }
    strbuf_putc(out, is_object ? '}' : ']');
}

/* The law: what is plain JSON is read as jansson reads it. */
static void plain_json_is_read_as_ever(void **state)
{
    (void)state;
    Rng rng;
    rng_init(&rng, 3, 0);
    for (int i = 0; i < 2000; i++) {
        StrBuf text = {0};
        json_error_t why;
        strbuf_puts(&text, "[");
        put_value(&text, &rng, 0);
        strbuf_puts(&text, "]");
        if (i % 4 == 3) /* and often no JSON at all */
            text.data[rng_below(&rng, text.size)] = "{}[],:\"\\ 1e-"[rng_below(&rng, 12)];
        json_t *want = json_loadb(text.data, (size_t)text.size, JSON_ALLOW_NUL, &why);
        json_t *got = json_read(text.data, text.size, 0, &why);
        if (want && !json_equal(want, got))
            fail_msg("%s is read as another", text.data);
        json_decref(want);
        json_decref(got);
        strbuf_clear(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_member_never_stops_the_others),
        cmocka_unit_test(integers_that_are_used_stay_exact),
        cmocka_unit_test(of_members_with_one_name_the_last_counts),
        cmocka_unit_test(depth_is_read_over),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(plain_json_is_read_as_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
