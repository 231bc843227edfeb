/* How sure a measured score is: standard errors, intervals, and tests between two systems that
 * answered the same questions. */
#ifndef CAMBIUM_CORE_METRICS_STATS_H
#define CAMBIUM_CORE_METRICS_STATS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Interval {
    double low, high;
} Interval;

double stats_mean(const double *values, int64_t n); /* of at least one */

/* The standard error of the mean over questions: the sample's deviation (n - 1) / sqrt(n), as
 * lm-evaluation-harness has it. NaN for a single value, which says nothing of it. */
double stats_standard_error(const double *values, int64_t n);
/* The same from the sum of the values and of their squares. */
double stats_error_of_sums(double sum, double squares, int64_t n);

/* mean +- 1.96 standard errors. */
Interval normal_interval(double mean, double standard_error);

/* 95 % for the mean of `n` scores between 0 and 1 that are more than right and wrong: the normal
 * interval inside 0 and 1. Scores that are all 0 or all 1 have no deviation, and yet the mean is
 * not certain: then Wilson's. NaN to NaN for a single score in between. */
Interval mean_interval(double mean, double standard_error, int64_t n);

/* 95 % for a share of right answers (Wilson, 1927): right also near 0 and 1 and for few questions,
 * where mean +- 1.96 standard errors is not. */
Interval wilson_interval(int64_t right, int64_t n);

/* The score of sums of what was counted in `n` items. */
typedef double ScoreFn(const void *context, const double *sums, int64_t n);

/* The mean of the first number: the ScoreFn of items that are scores themselves. */
double score_mean(const void *context, const double *sums, int64_t n);

/* Bootstrap: draws `n` of the items again and again, and scores each draw. `counts` is (n, width).
 * The same seed draws the same items, for any number of threads: two systems scored with it are
 * compared on the same draws (Koehn, 2004). */
typedef struct Bootstrap {
    int64_t resamples;
    uint64_t seed;
} Bootstrap;

/* scores (resamples): caller's memory. */
void bootstrap_scores(const Bootstrap *bootstrap, const double *counts, int64_t n, int width,
                      ScoreFn *score, const void *context, double *scores);

/* The middle 95 % of the scores; sorts them. */
Interval bootstrap_interval(double *scores, int64_t resamples);

/* Whether all draws of a difference are the same and not 0: then the items are too few or too much
 * alike for the bootstrap, whose interval would have no width and whose p would be the least. */
bool bootstrap_is_blind(const double *differences, int64_t resamples);

/* Two-sided: how often draws, centred on the observed difference of the systems, lie as far from 0
 * as it (Efron and Tibshirani, 1993, chapter 16), the observation itself counted. */
double bootstrap_p_value(const double *differences, int64_t resamples, double observed);

/* McNemar's test, exact: two-sided binomial probability of a split of the questions that just one
 * of two systems answered correctly, were both equally good. */
double mcnemar_exact(int64_t only_a, int64_t only_b);

#endif
