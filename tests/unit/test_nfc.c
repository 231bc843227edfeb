#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/text/nfc.h"
#include "core/text/utf8.h"

/* utf8proc's own normalisation, which is right but quadratic. */
static void assert_normal(const char *text, int64_t bytes)
{
    utf8proc_uint8_t *want;
    StrBuf got = {0};
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, bytes, &want,
                                           UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    assert_true(length >= 0);
    nfc_append(&got, text, bytes);
    assert_int_equal(got.size, length);
    if (length > 0)
        assert_memory_equal(got.data, want, (size_t)length);
    if (nfc_is_plain(text, bytes)) {
        assert_int_equal(length, bytes);
        assert_memory_equal(text, want, (size_t)bytes);
    }
    strbuf_clear(&got);
    free(want);
}

static int64_t put(char *text, int64_t bytes, uint32_t code)
{
    return bytes + utf8_encode(code, text + bytes);
}

static void every_character(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char text[4 * UTF8_MAX];
        assert_normal(text, put(text, 0, code));
        int64_t bytes = put(text, 0, 'e');
        bytes = put(text, bytes, code);
        assert_normal(text, put(text, bytes, 0x301));
    }
}

static void random_texts(void **state)
{
    (void)state;
    static const uint32_t ranges[][2] = {
        {0, 0x250},       {0x300, 0x370},   {0x380, 0x460},   {0x900, 0xA00},     {0x1100, 0x1200},
        {0x1E00, 0x2000}, {0xAC00, 0xAC40}, {0x3040, 0x3100}, {0x110A0, 0x110C0}, {0xF900, 0xFB50}};
    Rng rng;
    rng_init(&rng, 5, 0);
    for (int round = 0; round < 50000; round++) {
        char text[20 * UTF8_MAX];
        int64_t bytes = 0, count = rng_below(&rng, 20);
        for (int64_t i = 0; i < count; i++) {
            const uint32_t *range = ranges[rng_below(&rng, sizeof ranges / sizeof *ranges)];
            bytes = put(text, bytes, range[0] + (uint32_t)rng_below(&rng, range[1] - range[0]));
        }
        assert_normal(text, bytes);
    }
}

static void plain_texts_are_seen_to_be_plain(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "tree", "Ещё ёжик, йод", "树木 한국어", "é ü ǖ 😀"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(nfc_is_plain(texts[i], (int64_t)strlen(texts[i])));
    assert_false(nfc_is_plain("e\xCC\x81", 3));
}

/* Marks of two classes in turn: sorting them by insertion would take minutes. */
static void a_megabyte_of_marks_on_one_letter(void **state)
{
    (void)state;
    enum { MARKS = 1 << 19 };
    StrBuf text = {0}, out = {0};
    strbuf_putc(&text, 'q');
    for (int i = 0; i < MARKS; i++)
        strbuf_puts(&text, i % 2 ? "\xCC\xA3" : "\xCC\x81"); /* below, above */
    double start = clock_seconds();
    nfc_append(&out, text.data, text.size);
    assert_true(clock_seconds() - start < 5);
    assert_int_equal(out.size, text.size);
    assert_memory_equal(out.data, "q\xCC\xA3\xCC\xA3", 5);
    assert_memory_equal(out.data + out.size - 4, "\xCC\x81\xCC\x81", 4);
    strbuf_clear(&text);
    strbuf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character),
        cmocka_unit_test(random_texts),
        cmocka_unit_test(plain_texts_are_seen_to_be_plain),
        cmocka_unit_test(a_megabyte_of_marks_on_one_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
