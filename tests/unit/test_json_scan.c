/* Members found in JSON text, against jansson where it reads the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/rng.h"
#include "core/text/json_scan.h"

/* What the member `name` of a text is: its text, or "<a number>", or "! why". */
static char *member_of(const char *text, int64_t bytes, const char *name)
{
    JsonSpan value, member;
    JsonFault fault;
    StrBuf out = {0};
    if (!json_scan_find(text, bytes, name, &value, &member, &fault))
        strbuf_printf(&out, "! %s at %lld", fault.why, (long long)fault.at);
    else if (member.kind != JSON_KIND_TEXT)
        strbuf_printf(&out, "<%s>", json_kind_name(member.kind));
    else if (!json_scan_text(&member, &out, &fault))
        strbuf_reset(&out), strbuf_printf(&out, "? %s", fault.why);
    return strbuf_detach(&out);
}

static void assert_member(const char *text, const char *name, const char *wanted)
{
    char *got = member_of(text, (int64_t)strlen(text), name);
    if (strcmp(got, wanted) != 0)
        fail_msg("%s: %s is '%s', not '%s'", text, name, got, wanted);
    free(got);
}

static void members_are_found(void **state)
{
    (void)state;
    assert_member("{\"a\":1,\"text\":\"x\"}", "text", "x");
    assert_member(" { \"text\" : \"x\" , \"a\" : [ { } , [ ] , -1.5e+3 , true , null ] } ", "text",
                  "x");
    assert_member("{\"a\":{\"text\":\"inner\"},\"b\":\"text\"}", "text", "<nothing>");
    assert_member("{\"te\\u0078t\":\"x\"}", "text", "x");
    assert_member("{\"text\":\"one\",\"text\":\"two\"}", "text", "two");
    assert_member("{\"text\":\"one\",\"text\":null}", "text", "<null>");
    assert_member("{\"text\":[\"one\"]}", "text", "<a list>");
    assert_member("[\"text\"]", "text", "<nothing>");
    assert_member("{}", "text", "<nothing>");
}

static void dots_lead_into_objects(void **state)
{
    (void)state;
    assert_member("{\"meta\":{\"text\":\"x\"}}", "meta.text", "x");
    assert_member("{\"a\":{\"b\":{\"c\":\"x\"}}}", "a.b.c", "x");
    assert_member("{\"a.b\":{\"c\":\"x\"}}", "a.b.c", "x");
    assert_member("{\"a\":{\"b\":\"inner\"},\"a.b\":\"own\"}", "a.b", "own");
    assert_member("{\"a\":{\"b\":\"one\"},\"a\":{\"c\":\"two\"}}", "a.b", "<nothing>");
    assert_member("{\"a\":[{\"b\":\"x\"}]}", "a.b", "<nothing>");
}

static void other_members_may_hold_anything(void **state)
{
    (void)state;
    static const char *const values[] = {
        "9223372036854775808",
        "-1e999",
        "1e999",
        "NaN",
        "-Infinity",
        "Infinity",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"\xff\"",
        "\"tab\there\"",
        "\"\\\\\"",
        "\"\\\"}\"",
        "0.0000000000000000001",
        "\"\\u0000\"",
        "[[[]],{\"text\":\"no\"}]",
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        StrBuf text = {0};
        strbuf_printf(&text, "{\"a\":%s,\"text\":\"x\",\"b\":%s}", values[i], values[i]);
        assert_member(text.data, "text", "x");
        strbuf_clear(&text);
    }
}

static void depth_has_no_limit(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    StrBuf text = {0};
    strbuf_puts(&text, "{\"a\":");
    for (int i = 0; i < DEPTH; i++)
        strbuf_puts(&text, i % 2 ? "{\"text\":" : "[");
    strbuf_puts(&text, "1");
    for (int i = DEPTH - 1; i >= 0; i--)
        strbuf_putc(&text, i % 2 ? '}' : ']');
    strbuf_puts(&text, ",\"text\":\"x\"}");
    assert_member(text.data, "text", "x");
    strbuf_clear(&text);
}

static void escapes_are_decoded(void **state)
{
    (void)state;
    assert_member("{\"t\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "t", "\"\\/\b\f\n\r\t");
    assert_member("{\"t\":\"\\u0436\\uD83D\\ude00\"}", "t", "ж😀");
    assert_member("{\"t\":\"\\ud83d.\"}", "t", "\xEF\xBF\xBD.");
    assert_member("{\"t\":\"\\ude00\\ud83d\"}", "t", "\xEF\xBF\xBD\xEF\xBF\xBD");
    assert_member("{\"t\":\"\\ud83d\\ud83d\\ude00\"}", "t", "\xEF\xBF\xBD😀");
    assert_member("{\"t\":\"\\x41\"}", "t", "? an escape that JSON does not know");
    assert_member("{\"t\":\"\\u12\"}", "t", "? an escape that JSON does not know");
    assert_member("{\"t\":\"a\xff\"}", "t", "? byte 0xff is not UTF-8 here");
    StrBuf out = {0};
    JsonSpan span;
    JsonFault fault;
    assert_true(json_scan("\"a\\u0000b\"", 10, &span, &fault));
    assert_true(json_scan_text(&span, &out, &fault));
    assert_int_equal(out.size, 3);
    assert_memory_equal(out.data, "a\0b", 3);
    strbuf_clear(&out);
}

static void what_is_no_json_is_told(void **state)
{
    (void)state;
    assert_member("{\"text\":\"x\"", "text", "! it ends where ',' or '}' is expected at 11");
    assert_member("{\"text\":\"x", "text", "! a text that does not end at 8");
    assert_member("", "text", "! it ends where a value is expected at 0");
    assert_member("{\"text\":\"x\"} {", "text", "! more follows behind the value at 13");
    static const char *const wrong[] = {
        "{'text':'x'}", "{\"a\":[}",   "{\"a\":[1,]}", "{\"a\":1,}", "{,}",  "[1 2]", "{\"a\" 1}",
        "nul",          "+1",          "01",           "1.",         ".5",   "1e",    "--1",
        "None",         "{\"a\":tru}", "nullx",        "]",          "\x01", "\xff",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *got = member_of(wrong[i], (int64_t)strlen(wrong[i]), "text");
        if (got[0] != '!')
            fail_msg("%s was read: %s", wrong[i], got);
        free(got);
    }
}

/* Random pieces of JSON one behind the other: mostly nearly right. */
static void random_json(Rng *rng, StrBuf *out, int depth)
{
    static const char *const pieces[] = {
        "\"text\"", "\"a\\u0436\"",       "1",           "-2.5e1", "true",
        "null",     "\"\\ud83d\\ude00\"", "\"\\n\\\\\"", "\"ж\""};
    int64_t which = rng_below(rng, depth > 3 ? 9 : 12);
    if (rng_below(rng, 200) == 0)
        strbuf_puts(out, rng_below(rng, 2) ? "," : "]");
    if (which < 9) {
        strbuf_puts(out, pieces[which]);
        return;
    }
    bool object = which > 9;
    strbuf_putc(out, object ? '{' : '[');
    for (int64_t n = rng_below(rng, 4); n > 0; n--) {
        if (object)
            strbuf_printf(
                out, "\"%s\" :", (const char *[]){"text", "t\\u0065xt", "b"}[rng_below(rng, 3)]);
        random_json(rng, out, depth + 1);
        strbuf_puts(out, n > 1 ? ", " : " ");
    }
    strbuf_putc(out, object ? '}' : ']');
}

/* jansson and the scanner accept the same texts and find the same member in them. */
static void agrees_with_jansson(void **state)
{
    (void)state;
    enum { TEXTS = 20000 };
    Rng rng;
    rng_init(&rng, 11, 0);
    int64_t valid = 0;
    StrBuf text = {0};
    for (int i = 0; i < TEXTS; i++) {
        strbuf_reset(&text);
        random_json(&rng, &text, 0);
        char *got = member_of(text.data, text.size, "text");
        json_t *peer = json_loadb(text.data, (size_t)text.size, JSON_DECODE_ANY, NULL);
        if ((peer == NULL) != (got[0] == '!'))
            fail_msg("%s: %s", text.data, got);
        const json_t *member = json_object_get(peer, "text");
        if (json_is_string(member))
            assert_string_equal(got, json_string_value(member));
        else if (peer)
            assert_int_equal(got[0], '<');
        valid += peer != NULL;
        json_decref(peer);
        free(got);
    }
    assert_true(valid > TEXTS / 2 && valid < TEXTS);
    strbuf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(dots_lead_into_objects),
        cmocka_unit_test(other_members_may_hold_anything),
        cmocka_unit_test(depth_has_no_limit),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(what_is_no_json_is_told),
        cmocka_unit_test(agrees_with_jansson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
