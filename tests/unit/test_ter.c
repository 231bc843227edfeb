/* TER is sacrebleu's, edit for edit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/metrics/edit_distance.h"
#include "core/metrics/ter.h"
#include "tests/support/data_file.h"
#include "tests/support/mt_scores.h"

static bool says_yes(const char *signature, const char *field)
{
    return strcmp(mt_field(signature, field), "yes") == 0;
}

static void assert_ter(const Corpus *corpus, const char *signature, const json_t *want)
{
    CorpusMetric metric = {
        .kind = METRIC_TER,
        .ter = {.normalize = says_yes(signature, "norm"),
                .no_punctuation = !says_yes(signature, "punct"),
                .asian = says_yes(signature, "asian"),
                .case_sensitive = strcmp(mt_field(signature, "case"), "mixed") == 0}};
    double sums[TER_STATS];
    mt_sums(&metric, corpus, sums);
    assert_near(sums[0], json_number_value(json_array_get(want, 1)), signature);
    assert_near(sums[1], json_number_value(json_array_get(want, 2)), signature);
    assert_near(corpus_metric_score(&metric, sums), json_number_value(json_array_get(want, 0)),
                signature);
    assert_signature(&metric, corpus, signature);
}

static void scores_are_golden(void **state)
{
    (void)state;
    assert_int_equal(mt_scores_each("tests/golden/mt_scores.jsonl", "TER|", assert_ter), 48 * 8);
    const char *more = data_file_found("metrics/corpus_scores.jsonl");
    assert_true(!more || mt_scores_each(more, "TER|", assert_ter) == 60 * 4);
}

static int64_t edits(const char *hyp, const char *ref)
{
    double stats[TER_STATS];
    TercomOptions options = {0};
    Segment reference = {ref, (int64_t)strlen(ref)};
    ter_count(&options, (Segment){hyp, (int64_t)strlen(hyp)}, &reference, 1, stats);
    return (int64_t)stats[0];
}

static void edits_by_hand(void **state)
{
    (void)state;
    assert_int_equal(edits("a b c", "a b c"), 0);
    assert_int_equal(edits("a b", "a b c"), 1);
    assert_int_equal(edits("a b c d", "a b c"), 1);
    assert_int_equal(edits("a x c", "a b c"), 1);
    assert_int_equal(edits("d e a b c", "a b c d e"), 1); /* one shift of two words */
    assert_int_equal(edits("d e x b c", "a b c d e"), 2);
    assert_int_equal(edits("", "a b"), 2);
    assert_int_equal(edits("a b", ""), 2);
    assert_int_equal(edits("", ""), 0);
    assert_int_equal(edits("A", "a"), 0);
}

/* The plain table, without a band. */
static int64_t plain_distance(const Symbols *a, const Symbols *b)
{
    int64_t row[64];
    for (int64_t j = 0; j <= b->count; j++)
        row[j] = j;
    for (int64_t i = 1; i <= a->count; i++) {
        int64_t diagonal = row[0];
        row[0] = i;
        for (int64_t j = 1; j <= b->count; j++) {
            int64_t best = diagonal + (a->items[i - 1] != b->items[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b->count];
}

static void fill(Symbols *out, Rng *rng, int64_t count)
{
    out->count = 0;
    for (int64_t i = 0; i < count; i++)
        symbols_add(out, (uint32_t)rng_below(rng, 4));
}

static void distances_of_random_texts(void **state)
{
    (void)state;
    Rng rng;
    rng_init(&rng, 3, 0);
    Symbols hyp = {0}, ref = {0}, other = {0};
    for (int round = 0; round < 2000; round++) {
        int64_t count = rng_below(&rng, 20);
        fill(&hyp, &rng, count);
        fill(&ref, &rng, rng_below(&rng, 20));
        EditDistance *distance = edit_distance_new(&ref, count);
        const Alignment *align;
        assert_int_equal(edit_distance_align(distance, &hyp, &align), plain_distance(&hyp, &ref));
        int64_t wrong = 0, kept = 0;
        for (int64_t i = 0; i < hyp.count; i++)
            wrong += align->hyp_wrong[i];
        for (int64_t j = 0; j < ref.count; j++) {
            kept += !align->ref_wrong[j];
            if (!align->ref_wrong[j])
                assert_int_equal(hyp.items[align->of_ref[j]], ref.items[j]);
        }
        assert_int_equal(wrong + kept, hyp.count);
        for (int other_round = 0; other_round < 5; other_round++) {
            fill(&other, &rng, count);
            int64_t first = rng_below(&rng, count + 1), last = rng_below(&rng, count + 1);
            for (int64_t i = 0; i < count; i++)
                if (i < first || i >= last)
                    other.items[i] = hyp.items[i];
            assert_int_equal(edit_distance_try(distance, &other), plain_distance(&other, &ref));
        }
        edit_distance_free(distance);
    }
    symbols_clear(&hyp);
    symbols_clear(&ref);
    symbols_clear(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_golden),
        cmocka_unit_test(edits_by_hand),
        cmocka_unit_test(distances_of_random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
