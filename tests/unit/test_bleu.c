/* BLEU and the tokenizers before it are sacrebleu's to the last digit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/assert_ok.h"
#include "tests/support/data_file.h"
#include "tests/support/mt_scores.h"

static BleuOptions options_of(const char *signature)
{
    Err err;
    BleuOptions options = {.lowercase = strcmp(mt_field(signature, "case"), "lc") == 0,
                           .effective_order = strcmp(mt_field(signature, "eff"), "yes") == 0};
    ASSERT_OK(mt_tokenizer_parse(mt_field(signature, "tok"), &options.tokenizer, &err));
    char *smoothing = strdup(mt_field(signature, "smooth")), *value = strchr(smoothing, '[');
    if (value) {
        options.smooth_value = atof(value + 1);
        *value = '\0';
    }
    ASSERT_OK(bleu_smoothing_parse(smoothing, &options.smoothing, &err));
    free(smoothing);
    return options;
}

static void assert_bleu(const Corpus *corpus, const char *signature, const json_t *want)
{
    CorpusMetric metric = {.kind = METRIC_BLEU, .bleu = options_of(signature)};
    double sums[BLEU_STATS];
    mt_sums(&metric, corpus, sums);
    BleuScore got = bleu_score(&metric.bleu, sums);
    assert_near(got.score, json_number_value(json_array_get(want, 0)), signature);
    assert_near(corpus_metric_score(&metric, sums), got.score, signature);
    assert_near(got.brevity_penalty, json_number_value(json_array_get(want, 1)), signature);
    assert_int_equal(got.hyp_words, json_number_value(json_array_get(want, 2)));
    assert_int_equal(got.ref_words, json_number_value(json_array_get(want, 3)));
    assert_signature(&metric, corpus, signature);
}

static void scores_are_golden(void **state)
{
    (void)state;
    assert_int_equal(mt_scores_each("tests/golden/mt_scores.jsonl", "BLEU|", assert_bleu), 48 * 25);
    const char *more = data_file_found("metrics/corpus_scores.jsonl");
    assert_true(!more || mt_scores_each(more, "BLEU|", assert_bleu) >= 1200);
}

static void assert_tokens(const char *text, int64_t bytes, const char *tokenizer, const char *want)
{
    Err err;
    Symbols codes = {0};
    StrBuf got = {0};
    symbols_decode(&codes, (Segment){text, bytes});
    if (strncmp(tokenizer, "ter", 3) == 0) {
        TercomOptions options = {.normalize = strstr(tokenizer, "norm") != NULL,
                                 .no_punctuation = strstr(tokenizer, "nopunct") != NULL,
                                 .asian = strstr(tokenizer, "asian") != NULL,
                                 .case_sensitive = strstr(tokenizer, "cs") != NULL};
        tercom_tokenize(&options, &codes);
    } else {
        MtTokenizer kind;
        ASSERT_OK(mt_tokenizer_parse(tokenizer, &kind, &err));
        mt_tokenize(kind, &codes);
    }
    symbols_encode(&codes, &got);
    strbuf_puts(&got, "");
    if (strcmp(got.data, want) != 0)
        fail_msg("%s of '%s': '%s' instead of '%s'", tokenizer, text, got.data, want);
    symbols_clear(&codes);
    strbuf_clear(&got);
}

static int assert_all_tokens(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    json_t *line, *want;
    const char *tokenizer;
    int count = 0;
    while ((line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
        const json_t *text = json_object_get(line, "in");
        json_object_foreach(json_object_get(line, "out"), tokenizer, want)
        {
            assert_tokens(json_string_value(text), (int64_t)json_string_length(text), tokenizer,
                          json_string_value(want));
            count++;
        }
        json_decref(line);
    }
    fclose(file);
    return count;
}

static void tokens_are_golden(void **state)
{
    (void)state;
    assert_int_equal(assert_all_tokens("tests/golden/mt_tokens.jsonl"), 60 * 8);
    const char *more = data_file_found("metrics/tokenizers.jsonl");
    assert_true(!more || assert_all_tokens(more) == 24 * 8);
}

static Segment of(const char *text)
{
    return (Segment){text, (int64_t)strlen(text)};
}

static double bleu_of(const BleuOptions *options, const char *hyp, const char *ref)
{
    double stats[BLEU_STATS];
    Segment reference = of(ref);
    bleu_count(options, of(hyp), &reference, 1, stats);
    return bleu_score(options, stats).score;
}

/* By hand: 5 words, all of them found; 3 of 4 pairs, 1 of 3 triples, none of 2. */
static void a_score_by_hand(void **state)
{
    (void)state;
    BleuOptions options = {.tokenizer = MT_TOKENIZER_13A, .smoothing = BLEU_SMOOTHING_NONE};
    const char *hyp = "c d a b c", *ref = "a b c d x";
    double stats[BLEU_STATS];
    Segment reference = of(ref);
    bleu_count(&options, of(hyp), &reference, 1, stats);
    /* c d | a b | b c are shared; c occurs twice, but once in the reference. */
    const double want[BLEU_STATS] = {5, 5, 4, 3, 1, 0, 5, 4, 3, 2};
    for (int i = 0; i < BLEU_STATS; i++)
        assert_int_equal(stats[i], want[i]);
    assert_int_equal(bleu_of(&options, hyp, ref), 0);
    options.smoothing = BLEU_SMOOTHING_EXP;
    double score = 100 * pow(4.0 / 5 * 3 / 4 * 1 / 3 * 1 / 4, 0.25);
    assert_near(bleu_of(&options, hyp, ref), score, "exp");
}

static void equal_texts_score_100(void **state)
{
    (void)state;
    BleuOptions options = {.tokenizer = MT_TOKENIZER_INTL};
    assert_near(bleu_of(&options, "a b c d e", "a b c d e"), 100, "equal");
    assert_int_equal(bleu_of(&options, "a b c d e", "f g h i j"), 0);
    assert_int_equal(bleu_of(&options, "", "a"), 0);
    assert_int_equal(bleu_of(&options, "a", ""), 0);
    assert_int_equal(bleu_of(&options, "A B C D", "a b c d"), 0);
    options.lowercase = true;
    assert_near(bleu_of(&options, "A B C D", "a b c d"), 100, "lower case");
    /* A text that is too short for pairs. */
    assert_int_equal(bleu_of(&options, "a", "a"), 0);
    options.effective_order = true;
    assert_near(bleu_of(&options, "a", "a"), 100, "effective order");
}

static void wrong_names_are_refused(void **state)
{
    (void)state;
    Err err;
    MtTokenizer tokenizer;
    BleuSmoothing smoothing;
    CorpusMetric metric;
    assert_int_equal(mt_tokenizer_parse("13b", &tokenizer, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "'13b'"));
    assert_int_equal(bleu_smoothing_parse("ceil", &smoothing, &err), STATUS_FAIL);
    assert_int_equal(corpus_metric_parse("blue", &metric, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "chrf++"));
}

static void bytes_that_are_no_text_are_counted(void **state)
{
    (void)state;
    BleuOptions options = {.tokenizer = MT_TOKENIZER_CHAR};
    assert_near(bleu_of(&options, "\xff\xfe\x80zz", "\xff\xfe\x80zz"), 100, "not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_golden),
        cmocka_unit_test(tokens_are_golden),
        cmocka_unit_test(a_score_by_hand),
        cmocka_unit_test(equal_texts_score_100),
        cmocka_unit_test(wrong_names_are_refused),
        cmocka_unit_test(bytes_that_are_no_text_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
