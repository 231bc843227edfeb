/* Exact match and F1 are those of SQuAD's scorers: 1,000 answers scored by a restatement of them in
 * Python (tests/golden/make_squad_scores.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/metrics/squad_score.h"
#include "tests/support/mt_scores.h"

enum { ANSWERS = 1000, REFS_MAX = 3 };

static Segment of(const char *text)
{
    return (Segment){text, (int64_t)strlen(text)};
}

static double number(const json_t *line, const char *key, size_t index)
{
    return json_number_value(json_array_get(json_object_get(line, key), index));
}

static void assert_score(SquadScore got, const json_t *line, const char *key)
{
    char *what = json_dumps(line, 0);
    assert_near(got.exact, number(line, key, 0), what);
    assert_near(got.f1, number(line, key, 1), what);
    free(what);
}

static SquadAnswer assert_answer(const json_t *line)
{
    Segment refs[REFS_MAX], answer = of(json_string_value(json_object_get(line, "answer")));
    const json_t *list = json_object_get(line, "refs");
    int n = (int)json_array_size(list);
    assert_in_range(n, 0, REFS_MAX);
    for (int r = 0; r < n; r++)
        refs[r] = of(json_string_value(json_array_get(list, (size_t)r)));
    SquadScore score = squad_score(SQUAD_V2, SQUAD_RULE_WORDS, answer, refs, n);
    assert_score(squad_score(SQUAD_V1, SQUAD_RULE_WORDS, answer, refs, n), line, "v1");
    assert_score(score, line, "v2");
    assert_score(squad_score(SQUAD_V1, SQUAD_RULE_CHINESE, answer, refs, n), line, "zh");
    return (SquadAnswer){score, n > 0, answer.bytes > 0,
                         json_number_value(json_object_get(line, "na"))};
}

static void assert_totals(SquadTotals got, const json_t *line, const char *key)
{
    const double values[] = {got.exact, got.f1, got.answerable_exact, got.answerable_f1,
                             got.unanswerable};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_near(values[i], number(line, key, i), key);
}

static void answers_are_golden(void **state)
{
    (void)state;
    FILE *file = fopen("tests/golden/squad_scores.jsonl", "r");
    assert_non_null(file);
    SquadAnswer *answers = xcalloc(ANSWERS, sizeof *answers);
    for (int i = 0; i < ANSWERS; i++) {
        json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(line);
        answers[i] = assert_answer(line);
        json_decref(line);
    }
    json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
    assert_totals(squad_totals(answers, ANSWERS, 1.0), line, "plain");
    assert_totals(squad_totals(answers, ANSWERS, 0.5), line, "half");
    SquadBest best = squad_best_thresholds(answers, ANSWERS);
    assert_near(best.exact.percent, number(line, "best_exact", 0), "best exact");
    assert_near(best.exact.threshold, number(line, "best_exact", 1), "best exact");
    assert_near(best.f1.percent, number(line, "best_f1", 0), "best F1");
    assert_near(best.f1.threshold, number(line, "best_f1", 1), "best F1");
    json_decref(line);
    free(answers);
    fclose(file);
}

static void assert_normal(SquadRule rule, const char *text, const char *want)
{
    Symbols codes = {0};
    StrBuf got = {0};
    squad_normalize(rule, of(text), &codes);
    symbols_encode(&codes, &got);
    strbuf_puts(&got, "");
    assert_string_equal(got.data, want);
    strbuf_clear(&got);
    symbols_clear(&codes);
}

static void answers_become_comparable(void **state)
{
    (void)state;
    assert_normal(SQUAD_RULE_WORDS, " The  Ring,\tof an OAK. ", "ring of oak");
    assert_normal(SQUAD_RULE_WORDS, "an anthem, the-a", "anthem thea");
    assert_normal(SQUAD_RULE_WORDS, "thé á «a»", "thé á « »");
    assert_normal(SQUAD_RULE_WORDS, "The a an!", "");
    assert_normal(SQUAD_RULE_CHINESE, "《树》DNA the 2024年。", "树 dna the 2024 年");
}

static void versions_differ_where_an_answer_is_empty(void **state)
{
    (void)state;
    Segment article = of("the");
    SquadScore one = squad_score(SQUAD_V1, SQUAD_RULE_WORDS, of(""), &article, 1);
    SquadScore two = squad_score(SQUAD_V2, SQUAD_RULE_WORDS, of(""), &article, 1);
    assert_true(one.exact == 1 && one.f1 == 0);
    assert_true(two.exact == 1 && two.f1 == 1);
    two = squad_score(SQUAD_V2, SQUAD_RULE_WORDS, of("oak"), NULL, 0);
    assert_true(two.exact == 0 && two.f1 == 0);
    assert_true(squad_score(SQUAD_V1, SQUAD_RULE_WORDS, of(""), NULL, 0).exact == 0);
}

static void no_questions_have_no_threshold(void **state)
{
    (void)state;
    assert_true(squad_best_thresholds(NULL, 0).exact.percent == 0);
    assert_true(squad_totals(NULL, 0, 1).f1 == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_golden),
        cmocka_unit_test(answers_become_comparable),
        cmocka_unit_test(versions_differ_where_an_answer_is_empty),
        cmocka_unit_test(no_questions_have_no_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
