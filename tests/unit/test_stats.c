/* Intervals and tests against values worked out elsewhere, and laws that must hold. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"
#include "core/metrics/stats.h"
#include "tests/support/mt_scores.h"

enum { ITEMS = 400, RESAMPLES = 2000 };

static void means_and_their_errors(void **state)
{
    (void)state;
    const double values[] = {1, 0, 1, 1};
    assert_near(stats_mean(values, 4), 0.75, "mean");
    assert_near(stats_standard_error(values, 4), 0.25, "standard error");
    assert_near(stats_error_of_sums(3, 3, 4), 0.25, "of sums");
    assert_true(isnan(stats_standard_error(values, 1)) && isnan(stats_error_of_sums(1, 1, 1)));
    const double thirds[] = {0.1, 0.1, 0.1}, grades[] = {2, 4, 4, 4, 5, 5, 7, 9};
    assert_true(stats_standard_error(thirds, 3) < 1e-16);
    assert_near(stats_standard_error(grades, 8), sqrt(32.0 / 7 / 8), "grades");
    assert_near(stats_error_of_sums(40, 232, 8), sqrt(32.0 / 7 / 8), "sums of grades");
    Interval interval = normal_interval(0.75, 0.25);
    assert_near(interval.low, 0.75 - 0.25 * 1.959963984540054, "low");
    assert_near(interval.high, 0.75 + 0.25 * 1.959963984540054, "high");
}

/* Known values: 81 of 263 is Newcombe's example (1998, table I), 0 of 20 and 1 of 29 are, too. */
static void wilson_is_as_published(void **state)
{
    (void)state;
    static const struct {
        int64_t right, n;
        double low, high;
    } cases[] = {{81, 263, 0.2553, 0.3662},
                 {15, 148, 0.0624, 0.1605},
                 {0, 20, 0, 0.1611},
                 {1, 29, 0.0061, 0.1718}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Interval got = wilson_interval(cases[i].right, cases[i].n);
        assert_true(fabs(got.low - cases[i].low) < 5e-5);
        assert_true(fabs(got.high - cases[i].high) < 5e-5);
    }
}

static void means_of_scores_stay_between_0_and_1(void **state)
{
    (void)state;
    Interval inside = mean_interval(0.5, 0.1, 7), wide = mean_interval(0.05, 0.1, 7);
    assert_near(inside.low, normal_interval(0.5, 0.1).low, "inside");
    assert_near(inside.high, normal_interval(0.5, 0.1).high, "inside");
    assert_true(wide.low == 0.0 && wide.high == normal_interval(0.05, 0.1).high);
    assert_true(mean_interval(0.99, 0.1, 7).high == 1.0);
    /* No deviation is no certainty. */
    assert_near(mean_interval(0, 0, 20).high, wilson_interval(0, 20).high, "all 0");
    assert_near(mean_interval(1, 0, 20).low, wilson_interval(20, 20).low, "all 1");
    Interval one = mean_interval(0.4, (double)NAN, 1);
    assert_true(isnan(one.low) && isnan(one.high));
}

/* Wilson's interval is where (p - share)^2 = z^2 p (1 - p) / n. */
static void wilson_solves_its_equation(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 300; n += 13) {
        for (int64_t right = 0; right <= n; right++) {
            Interval interval = wilson_interval(right, n);
            double share = (double)right / (double)n, ends[] = {interval.low, interval.high};
            assert_true(interval.low <= share && share <= interval.high);
            for (int i = 0; i < 2; i++) {
                double p = ends[i], z2 = 1.959963984540054 * 1.959963984540054;
                assert_near((p - share) * (p - share), z2 * p * (1 - p) / (double)n, "Wilson");
            }
        }
    }
    assert_true(wilson_interval(0, 0).low == 0 && wilson_interval(0, 0).high == 1);
}

/* Pascal's triangle, in whole numbers. */
static double binomial_two_sided(int less, int n)
{
    double row[64] = {1};
    for (int i = 1; i <= n; i++)
        for (int k = i; k > 0; k--)
            row[k] += row[k - 1];
    double tail = 0;
    for (int k = 0; k <= less; k++)
        tail += row[k];
    return fmin(1, 2 * tail / pow(2, n));
}

static void mcnemar_is_the_binomial_test(void **state)
{
    (void)state;
    for (int a = 0; a < 25; a++)
        for (int b = 0; b < 25; b++) {
            double want = a == b ? 1 : binomial_two_sided(a < b ? a : b, a + b);
            assert_near(mcnemar_exact(a, b), want, "McNemar");
        }
    assert_near(mcnemar_exact(0, 0), 1, "no difference");
    /* For many questions the normal distribution with continuity correction comes near. */
    double z = (7000 - 6800 - 1) / sqrt(7000 + 6800);
    assert_true(fabs(mcnemar_exact(6800, 7000) - erfc(z / sqrt(2))) < 1e-4);
    double tiny = mcnemar_exact(0, 5000);
    assert_true(tiny >= 0 && tiny < 1e-300);
}

static void fill(double *values, double share, uint64_t seed)
{
    Rng rng;
    rng_init(&rng, seed, 0);
    for (int64_t i = 0; i < ITEMS; i++)
        values[i] = rng_uniform(&rng) < share;
}

static void draws_are_the_same_for_any_number_of_threads(void **state)
{
    (void)state;
    double items[ITEMS];
    double *one = xcalloc(RESAMPLES, sizeof *one), *four = xcalloc(RESAMPLES, sizeof *four);
    Bootstrap bootstrap = {RESAMPLES, 5};
    fill(items, 0.5, 1);
    int width = parallel_width();
    parallel_set_width(1);
    bootstrap_scores(&bootstrap, items, ITEMS, 1, score_mean, NULL, one);
    parallel_set_width(4);
    bootstrap_scores(&bootstrap, items, ITEMS, 1, score_mean, NULL, four);
    parallel_set_width(width);
    assert_memory_equal(one, four, RESAMPLES * sizeof *one);
    bootstrap.seed = 6;
    bootstrap_scores(&bootstrap, items, ITEMS, 1, score_mean, NULL, four);
    assert_memory_not_equal(one, four, RESAMPLES * sizeof *one);
    free(one);
    free(four);
}

static void the_interval_is_that_of_the_mean(void **state)
{
    (void)state;
    double items[ITEMS];
    double *scores = xcalloc(RESAMPLES, sizeof *scores);
    Bootstrap bootstrap = {RESAMPLES, 5};
    fill(items, 0.3, 2);
    bootstrap_scores(&bootstrap, items, ITEMS, 1, score_mean, NULL, scores);
    Interval drawn = bootstrap_interval(scores, RESAMPLES);
    Interval normal = normal_interval(stats_mean(items, ITEMS), stats_standard_error(items, ITEMS));
    assert_true(fabs(drawn.low - normal.low) < 0.006 && fabs(drawn.high - normal.high) < 0.006);
    for (int i = 1; i < RESAMPLES; i++)
        assert_true(scores[i - 1] <= scores[i]);
    free(scores);
}

/* The p value of two systems that answered the same items. */
static double p_value_of(const double *a, const double *b)
{
    Bootstrap bootstrap = {RESAMPLES, 9};
    double *scores[2];
    for (int i = 0; i < 2; i++) {
        scores[i] = xcalloc(RESAMPLES, sizeof *scores[i]);
        bootstrap_scores(&bootstrap, i == 0 ? a : b, ITEMS, 1, score_mean, NULL, scores[i]);
    }
    for (int i = 0; i < RESAMPLES; i++)
        scores[0][i] -= scores[1][i];
    double p = bootstrap_p_value(scores[0], RESAMPLES, stats_mean(a, ITEMS) - stats_mean(b, ITEMS));
    free(scores[0]);
    free(scores[1]);
    return p;
}

static void p_values_tell_chance_from_difference(void **state)
{
    (void)state;
    double a[ITEMS], b[ITEMS];
    fill(a, 0.5, 3);
    assert_near(p_value_of(a, a), 1, "the same system");
    fill(b, 0.7, 4);
    assert_true(p_value_of(a, b) < 0.001);
    /* Among systems that are equally good, one in twenty seems to differ: here 200 pairs. */
    int seen = 0;
    for (uint64_t pair = 0; pair < 200; pair++) {
        fill(a, 0.5, 100 + 2 * pair);
        fill(b, 0.5, 101 + 2 * pair);
        seen += p_value_of(a, b) < 0.05;
    }
    assert_in_range(seen, 2, 22);
}

static void draws_without_deviation_tell_nothing(void **state)
{
    (void)state;
    double same[] = {0.3, 0.1 + 0.2, 0.3}, none[] = {0, 0, 0}, other[] = {0.3, 0.3, 0.2};
    assert_true(bootstrap_is_blind(same, 3)); /* 0.1 + 0.2 is 0.3 in another order */
    assert_true(bootstrap_is_blind(same, 1));
    assert_false(bootstrap_is_blind(none, 3)); /* answers that are all equal do tell */
    assert_false(bootstrap_is_blind(other, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_and_their_errors),
        cmocka_unit_test(wilson_is_as_published),
        cmocka_unit_test(means_of_scores_stay_between_0_and_1),
        cmocka_unit_test(wilson_solves_its_equation),
        cmocka_unit_test(mcnemar_is_the_binomial_test),
        cmocka_unit_test(draws_are_the_same_for_any_number_of_threads),
        cmocka_unit_test(the_interval_is_that_of_the_mean),
        cmocka_unit_test(p_values_tell_chance_from_difference),
        cmocka_unit_test(draws_without_deviation_tell_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
