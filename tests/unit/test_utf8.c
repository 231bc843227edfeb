#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/text/utf8.h"

static void every_character_there_and_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x110000; code++) {
        char text[UTF8_MAX];
        int length = utf8_encode(code, text);
        if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
            assert_int_equal(length, 0);
            continue;
        }
        uint32_t back = 0;
        assert_true(length > 0);
        assert_int_equal(utf8_decode(text, length, &back), length);
        assert_int_equal(back, code);
        assert_int_equal(utf8_length(text[0]), length);
        assert_int_equal(utf8_code(text, length), code);
        assert_int_equal(utf8_decode(text, length - 1, &back), 0);
        assert_int_equal(utf8_cut_prefix(text, length - 1), length - 1);
        assert_int_equal(utf8_cut_prefix(text, length), 0);
    }
}

static void wrong_bytes_are_no_characters(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\x80",         "\xBF",         "\xC0\x80",         "\xC1\xBF",         "\xE0\x80\x80",
        "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
        "\xFF",         "\xC3(",        "\xE2\x82(",        "\xF0\x9F\x98("};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t code;
        assert_int_equal(utf8_decode(wrong[i], (int64_t)strlen(wrong[i]), &code), 0);
        assert_int_equal(utf8_valid_prefix(wrong[i], (int64_t)strlen(wrong[i])), 0);
    }
    assert_int_equal(utf8_valid_prefix("abcdefghijkl\xD0\xB6\xFFz", 16), 14);
    assert_int_equal(utf8_cut_prefix("\xE0\x80", 2), 0);
    assert_int_equal(utf8_cut_prefix("", 0), 0);
}

static void cleaning_replaces_maximal_pieces(void **state)
{
    (void)state;
    /* The example of the Unicode standard, table 3-8. */
    static const char text[] = "\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64";
    StrBuf out = {0};
    utf8_append_clean(&out, text, (int64_t)strlen(text));
    assert_string_equal(out.data, "a" UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT
                                  "b" UTF8_REPLACEMENT "c" UTF8_REPLACEMENT UTF8_REPLACEMENT "d");
    strbuf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_there_and_back),
        cmocka_unit_test(wrong_bytes_are_no_characters),
        cmocka_unit_test(cleaning_replaces_maximal_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
