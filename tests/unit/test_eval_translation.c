/* Parallel text as questions, and what the lines that a model wrote are worth. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "infer/eval/translation.h"
#include "infer/eval/written.h"
#include "tests/support/assert_ok.h"
#include "tests/support/byte_vocabulary.h"

static Status parse(QuestionList *out, const char *pair, const char *source, const char *target,
                    Err *err)
{
    static const char *const names[] = {"a.en", "a.ru"};
    StrBuf texts[2] = {{0}, {0}};
    strbuf_puts(&texts[0], source);
    strbuf_puts(&texts[1], target);
    *out = (QuestionList){0};
    Status status = translation_parse(out, pair, names, texts, err);
    strbuf_clear(&texts[0]);
    strbuf_clear(&texts[1]);
    return status;
}

static void test_lines_are_questions(void **state)
{
    (void)state;
    Err err;
    QuestionList list;
    ASSERT_OK(parse(&list, "en-ru", "One oak.\nTwo.\n", "Один дуб.\nДва.", &err));
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].context, "English phrase: One oak.\nRussian phrase:");
    assert_string_equal(list.items[1].choices[0], "Два.");
    question_list_clear(&list);
    ASSERT_OK(parse(&list, "zh-en", "树\n", "Tree\n", &err));
    assert_string_equal(list.items[0].context, "Chinese phrase: 树\nEnglish phrase:");
    question_list_clear(&list);
}

static void test_pairs(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "en", "en-en", "en-fr", "en_ru", "en-ru-zh", "-en-ru"};
    assert_true(translation_has_pair("en-ru") && translation_has_pair("zh-en"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(translation_has_pair(bad[i]));
}

static void test_bad_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *source, *target, *said;
    } cases[] = {
        {"a\nb\n", "c\n", "a.en has 2 lines and a.ru has 1"},
        {"a\nb\n", "c\n \n", "a.ru:2: the line is empty; remove it there and in a.en"},
        {"a\n\nb\n", "c\nd\ne\n", "a.en:2: the line is empty; remove it there and in a.ru"},
        {"", "c\n", "a.en is empty"},
        {"a\n\xff\n", "c\nd\n", "a.en:2: the bytes there are not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err;
        QuestionList list;
        assert_int_equal(parse(&list, "en-ru", cases[i].source, cases[i].target, &err),
                         STATUS_FAIL);
        if (!strstr(err.text, cases[i].said))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].said);
        question_list_clear(&list);
    }
}

static void test_scores(void **state)
{
    (void)state;
    Err err;
    TranslationScores scores;
    static const char *const references[] = {"树 很 老，很高。", "他们在 2019 年来到这里"};
    char *same[] = {xstrdup(references[0]), xstrdup(references[1])};
    char *none[] = {xstrdup("zzz"), xstrdup("")};
    ASSERT_OK(translation_score(&scores, "en-zh", same, references, 2, &err));
    assert_true(fabs(scores.figures[0].score - 100.0) < 1e-9);
    assert_true(fabs(scores.figures[1].score - 100.0) < 1e-9);
    assert_true(scores.figures[2].score == 0.0);
    assert_true(fabs(scores.figures[0].interval.low - 100.0) < 1e-9);
    /* The target's tokenizer, whatever the source. */
    assert_non_null(strstr(scores.figures[0].signature, "tok:zh"));
    translation_scores_clear(&scores);
    ASSERT_OK(translation_score(&scores, "zh-ru", none, references, 2, &err));
    assert_non_null(strstr(scores.figures[0].signature, "tok:13a"));
    assert_true(scores.figures[0].score == 0.0 && scores.figures[1].score == 0.0);
    translation_scores_clear(&scores);
    assert_true(translation_line_score(references[0], references[0]) == 1.0);
    assert_true(translation_line_score("zzz", references[0]) == 0.0);
    for (int i = 0; i < 2; i++) {
        free(same[i]);
        free(none[i]);
    }
}

/* What a decoder writes may end within a character; an items file has to be UTF-8. */
static void test_written_line(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *line;
    } cases[] = {{" oak \nfield", "oak"}, {"\n", ""}, {" \xd0\x96\xd0", "Ж\xEF\xBF\xBD"}};
    Tokenizer *tokenizer = byte_vocabulary();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        IdList ids = {0};
        tokenizer_encode(tokenizer, cases[i].bytes, (int64_t)strlen(cases[i].bytes), &ids);
        char *line = written_line(tokenizer, &ids);
        assert_string_equal(line, cases[i].line);
        free(line);
        id_list_clear(&ids);
    }
    tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_questions), cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_bad_files_are_named), cmocka_unit_test(test_scores),
        cmocka_unit_test(test_written_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
