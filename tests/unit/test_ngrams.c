#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "embed/ngrams.h"

static Status parse(NgramList *list, const char *text, Err *err)
{
    *list = (NgramList){0};
    return ngrams_parse(list, "file", text, (int64_t)strlen(text), err);
}

static void assert_ngram(const NgramList *list, int64_t i, const char *text, int64_t count)
{
    const Ngram *ngram = &list->items[i];
    assert_int_equal(ngram->bytes, strlen(text));
    assert_memory_equal(list->text.data + ngram->offset, text, strlen(text));
    assert_int_equal(ngram->count, count);
}

static void literals_are_read(void **state)
{
    (void)state;
    NgramList list;
    Err err;
    const char *text =
        "[{'lang': 'en', 'language_name': \"English\", 'extra': [1, {'a': (None, -2.5)}],\n"
        "  'top_ngrams': {2: [('th', 12), (\"it's\", 7,), ('\\'\\\\\\u0436\\x41\\t\\q', 3),],\n"
        "                 3: [('\xE4\xB8\xAD\xE6\x96\x87', 1)]}, 'empty': ''},\n"
        " {'top_ngrams': {}, 'lang': 'zh'}, ]\n";
    assert_int_equal(parse(&list, text, &err), STATUS_OK);
    assert_int_equal(list.count, 4);
    assert_ngram(&list, 0, "th", 12);
    assert_ngram(&list, 1, "it's", 7);
    assert_ngram(&list, 2,
                 "'\\\xD0\xB6"
                 "A\t\\q",
                 3);
    assert_ngram(&list, 3, "\xE4\xB8\xAD\xE6\x96\x87", 1);
    assert_int_equal(list.items[1].rank, 1);
    assert_int_equal(list.items[1].n, 2);
    assert_int_equal(list.items[3].rank, 0);
    assert_int_equal(list.items[3].n, 3);
    assert_int_equal(list.items[3].length, 2);
    assert_int_equal(list.langs.count, 2);
    assert_string_equal(list.langs.items[0], "en");
    assert_string_equal(list.langs.items[1], "zh");
    ngrams_clear(&list);
}

static void lines_are_stripped(void **state)
{
    (void)state;
    NgramList list;
    Err err;
    assert_int_equal(parse(&list, "\n  the \r\n\xC2\xA0[x\xE3\x80\x80\n\t\n(y z", &err), STATUS_OK);
    assert_int_equal(list.count, 3);
    assert_ngram(&list, 0, "the", 0);
    assert_ngram(&list, 1, "[x", 0);
    assert_ngram(&list, 2, "(y z", 0);
    assert_int_equal(list.items[0].lang, -1);
    ngrams_clear(&list);
}

static void errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "holds no n-grams"},
        {"[]", "holds no n-grams"},
        {"[", "missing at the end"},
        {"[{'lang': 'en'", "file:1:15: "},
        {"[{'top_ngrams': {2: [('th', 12)", "file:1:"},
        {"[{'top_ngrams': {2: [('th' 12)]}}]", "','"},
        {"[{'top_ngrams': {2: [('th', x)]}}]", "number"},
        {"[{'top_ngrams': {2: [('th', 99999999999999999999)]}}]", "too large"},
        {"[{'top_ngrams': {9999999: []}}]", "too large"},
        {"[{'top_ngrams': {2: [('t\nh', 1)]}}]", "no end"},
        {"[{\n'top_ngrams': {2: [('\\u04', 1)]}}]", "file:2:"},
        {"[{'top_ngrams': {2: [('\\ud800', 1)]}}]", "no character"},
        {"[{'top_ngrams': {2: [('\xFF', 1)]}}]", "UTF-8"},
        {"ab\n\xC3\n", "file:2:1: the text is not UTF-8"},
        {"[{'x': ]}]", "a value was expected"},
        {"[{'x': [[[", "a value was expected"},
        {"[{'lang': 'a'}] tail", "after the end"},
        {"[{'lang': 5}]", "string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        NgramList list;
        Err err;
        assert_int_equal(parse(&list, cases[i].text, &err), STATUS_FAIL);
        if (!strstr(err.text, cases[i].part))
            fail_msg("%s: \"%s\" is not in \"%s\"", cases[i].text, cases[i].part, err.text);
        ngrams_clear(&list);
    }
    NgramList list = {0};
    Err err;
    assert_int_equal(ngrams_read(&list, "/nonexistent/file", &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "/nonexistent/file"));
    char deep[400] = "[{'x': ";
    memset(deep + 7, '(', 300);
    assert_int_equal(parse(&list, deep, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "too deeply"));
    ngrams_clear(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_are_read),
        cmocka_unit_test(lines_are_stripped),
        cmocka_unit_test(errors_name_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
