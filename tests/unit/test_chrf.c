/* chrF and chrF++ are sacrebleu's to the last digit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/data_file.h"
#include "tests/support/mt_scores.h"

static void assert_chrf(const Corpus *corpus, const char *signature, const json_t *want)
{
    CorpusMetric metric = {
        .kind = METRIC_CHRF,
        .chrf = {.char_order = atoi(mt_field(signature, "nc")),
                 .word_order = atoi(mt_field(signature, "nw")),
                 .beta = atoi(signature + strlen("chrF")),
                 .lowercase = strcmp(mt_field(signature, "case"), "lc") == 0,
                 .whitespace = strcmp(mt_field(signature, "space"), "yes") == 0,
                 .eps_smoothing = strcmp(mt_field(signature, "eff"), "no") == 0}};
    double sums[CHRF_STATS_MAX];
    mt_sums(&metric, corpus, sums);
    assert_near(corpus_metric_score(&metric, sums), json_number_value(want), signature);
    assert_signature(&metric, corpus, signature);
}

static void scores_are_golden(void **state)
{
    (void)state;
    assert_int_equal(mt_scores_each("tests/golden/mt_scores.jsonl", "chrF", assert_chrf), 48 * 5);
    const char *more = data_file_found("metrics/corpus_scores.jsonl");
    assert_true(!more || mt_scores_each(more, "chrF", assert_chrf) == 60 * 5);
}

static double chrf_of(const ChrfOptions *options, const char *hyp, const char *ref)
{
    double stats[CHRF_STATS_MAX];
    Segment reference = {ref, (int64_t)strlen(ref)};
    chrf_count(options, (Segment){hyp, (int64_t)strlen(hyp)}, &reference, 1, stats);
    return chrf_score(options, stats);
}

static void scores_by_hand(void **state)
{
    (void)state;
    /* Characters: 2 of 3 in both; pairs: 1 of 2. Mean precision and recall are 7/12. */
    ChrfOptions two = {.char_order = 2, .beta = 2};
    assert_near(chrf_of(&two, "abx", "aby"), 100 * 7.0 / 12, "characters");
    /* Words "a" and "b", the full stop apart: 2 of 3 words, 1 of 2 pairs. */
    ChrfOptions words = {.char_order = 1, .word_order = 2, .beta = 1};
    assert_near(chrf_of(&words, "a b.", "a b!"), 100 * (2.0 / 3 + 2.0 / 3 + 1.0 / 2) / 3, "words");
    /* Recall counts four times as much: precision 1, recall 1/2. */
    ChrfOptions one = {.char_order = 1, .beta = 2};
    assert_near(chrf_of(&one, "ab", "abcd"), 100 * 5 * 0.5 / 4.5, "recall");
}

static void ends_of_the_scale(void **state)
{
    (void)state;
    ChrfOptions usual = {.char_order = 6, .word_order = 2, .beta = 2};
    assert_near(chrf_of(&usual, "one two three", "one two three"), 100, "equal");
    assert_int_equal(chrf_of(&usual, "abc", "xyz"), 0);
    assert_int_equal(chrf_of(&usual, "", "xyz"), 0);
    assert_int_equal(chrf_of(&usual, "abc", ""), 0);
    assert_int_equal(chrf_of(&usual, "", ""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_golden),
        cmocka_unit_test(scores_by_hand),
        cmocka_unit_test(ends_of_the_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
