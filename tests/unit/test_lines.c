/* Lines of a text: each byte but the feeds is in one line, a feed at the end begins none, and
 * nothing past the given length is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/lines.h"
#include "core/base/strbuf.h"

static void cuts_at_feeds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *lines; /* each closed by '|', or by '.' where no feed ends it */
        int64_t feeds;
    } cases[] = {
        {"", "", 0},
        {"a", "a.", 0},
        {"a\n", "a|", 1},
        {"\n", "|", 1},
        {"\n\n", "||", 2},
        {"a\n\nbc", "a||bc.", 2},
        {"\na", "|a.", 1},
        {"a\r\nb\n", "a\r|b|", 2},
        {"ab\ncd\n", "ab|cd|", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t bytes = (int64_t)strlen(cases[i].text), number = 0;
        StrBuf seen = {0};
        for (TextLine line = lines_of(cases[i].text, bytes); lines_next(&line);) {
            strbuf_append(&seen, line.text, (size_t)line.bytes);
            strbuf_putc(&seen, line.ended ? '|' : '.');
            assert_int_equal(line.number, ++number);
        }
        assert_string_equal(seen.data ? seen.data : "", cases[i].lines);
        strbuf_clear(&seen);
        assert_int_equal(lines_count_feeds(cases[i].text, bytes), cases[i].feeds);
    }
}

static void stays_within_the_text(void **state)
{
    (void)state;
    TextLine line = lines_of("ab\ncd", 2);
    assert_true(lines_next(&line));
    assert_int_equal(line.bytes, 2);
    assert_false(line.ended);
    assert_false(lines_next(&line));
    assert_int_equal(lines_count_feeds("ab\ncd", 2), 0);

    TextLine none = lines_of(NULL, 0);
    assert_false(lines_next(&none));
    assert_int_equal(lines_count_feeds(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_at_feeds),
        cmocka_unit_test(stays_within_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
