#include "core/metrics/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"

static const double z95 = 1.959963984540054; /* the normal distribution's 97.5 % point */

double stats_mean(const double *values, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += values[i];
    return sum / (double)n;
}

double stats_standard_error(const double *values, int64_t n)
{
    /* Of the differences from the mean, whose squares do not cancel. */
    double mean = stats_mean(values, n), sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += values[i] - mean;
        squares += (values[i] - mean) * (values[i] - mean);
    }
    return stats_error_of_sums(sum, squares, n);
}

double stats_error_of_sums(double sum, double squares, int64_t n)
{
    if (n < 2)
        return (double)NAN;
    double deviations = fmax(squares - sum * sum / (double)n, 0.0);
    return sqrt(deviations / (double)(n - 1) / (double)n);
}

Interval normal_interval(double mean, double standard_error)
{
    return (Interval){mean - z95 * standard_error, mean + z95 * standard_error};
}

Interval mean_interval(double mean, double standard_error, int64_t n)
{
    if (mean == 0.0 || mean == 1.0)
        return wilson_interval(mean == 0.0 ? 0 : n, n);
    Interval range = normal_interval(mean, standard_error);
    if (isnan(standard_error))
        return range;
    return (Interval){fmax(range.low, 0.0), fmin(range.high, 1.0)};
}

Interval wilson_interval(int64_t right, int64_t n)
{
    if (n <= 0)
        return (Interval){0.0, 1.0};
    double count = (double)n, p = (double)right / count, z2 = z95 * z95;
    double centre = (p + z2 / (2 * count)) / (1 + z2 / count);
    double half = z95 / (1 + z2 / count) * sqrt(p * (1 - p) / count + z2 / (4 * count * count));
    return (Interval){right == 0 ? 0.0 : centre - half, right == n ? 1.0 : centre + half};
}

double score_mean(const void *context, const double *sums, int64_t n)
{
    (void)context;
    return sums[0] / (double)n;
}

typedef struct BootstrapWork {
    const Bootstrap *bootstrap;
    const double *counts;
    int64_t n;
    int width;
    ScoreFn *score;
    const void *context;
    double *scores;
} BootstrapWork;

static void draw(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const BootstrapWork *w = context;
    double *sums = xcalloc((size_t)w->width, sizeof *sums);
    for (int64_t resample = begin; resample < end; resample++) {
        Rng rng;
        rng_init(&rng, w->bootstrap->seed, (uint64_t)resample);
        memset(sums, 0, (size_t)w->width * sizeof *sums);
        for (int64_t i = 0; i < w->n; i++) {
            const double *item = w->counts + rng_below(&rng, w->n) * w->width;
            for (int k = 0; k < w->width; k++)
                sums[k] += item[k];
        }
        w->scores[resample] = w->score(w->context, sums, w->n);
    }
    free(sums);
}

void bootstrap_scores(const Bootstrap *bootstrap, const double *counts, int64_t n, int width,
                      ScoreFn *score, const void *context, double *scores)
{
    BootstrapWork work = {bootstrap, counts, n, width, score, context, scores};
    parallel_for(bootstrap->resamples, 1, draw, &work);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

Interval bootstrap_interval(double *scores, int64_t resamples)
{
    qsort(scores, (size_t)resamples, sizeof *scores, by_value);
    int64_t outside = resamples / 40;
    return (Interval){scores[outside], scores[resamples - 1 - outside]};
}

bool bootstrap_is_blind(const double *differences, int64_t resamples)
{
    double first = differences[0], near = fabs(first) * 1e-9; /* sums in another order */
    for (int64_t i = 1; i < resamples; i++)
        if (fabs(differences[i] - first) > near)
            return false;
    return first != 0.0;
}

double bootstrap_p_value(const double *differences, int64_t resamples, double observed)
{
    int64_t as_far = 0;
    /* Sums in another order differ in their last bits; that must not decide. */
    double far = fabs(observed) * (1 - 1e-9);
    for (int64_t i = 0; i < resamples; i++)
        as_far += fabs(differences[i] - observed) >= far;
    return (double)(as_far + 1) / (double)(resamples + 1);
}

double mcnemar_exact(int64_t only_a, int64_t only_b)
{
    int64_t n = only_a + only_b, less = only_a < only_b ? only_a : only_b;
    if (2 * less == n)
        return 1.0;
    /* From the greatest term of the tail downwards: each is k / (n - k + 1) of the one before. */
    int sign;
    double term = exp(lgamma_r((double)n + 1, &sign) - lgamma_r((double)less + 1, &sign) -
                      lgamma_r((double)(n - less) + 1, &sign) - (double)n * log(2.0));
    double tail = 0.0;
    for (int64_t k = less; k >= 0 && term > tail * 1e-17; k--) {
        tail += term;
        term *= (double)k / (double)(n - k + 1);
    }
    return fmin(1.0, 2 * tail);
}
