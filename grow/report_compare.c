#include "grow/report_compare.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* ---- seeds ---------------------------------------------------------------------------------- */

size_t report_seed_stem(const char *name)
{
    size_t end = strlen(name), digits = end;
    while (digits > 0 && isdigit((unsigned char)name[digits - 1]))
        digits--;
    static const char word[] = "-seed";
    size_t length = sizeof word - 1;
    bool seeded =
        digits < end && digits > length && memcmp(name + digits - length, word, length) == 0;
    return seeded ? digits - length : 0;
}

int64_t report_group(const Report *report, int64_t run)
{
    const char *name = report->runs[run].name;
    size_t stem = report_seed_stem(name);
    for (int64_t i = 0; i < run && stem > 0; i++)
        if (report_seed_stem(report->runs[i].name) == stem &&
            memcmp(report->runs[i].name, name, stem) == 0)
            return i;
    return run;
}

int64_t report_group_size(const Report *report, int64_t first)
{
    int64_t size = 0;
    for (int64_t run = first; run < report->n_runs; run++)
        size += report_group(report, run) == first;
    return size;
}

/* ---- equal cost ----------------------------------------------------------------------------- */

static double most_active(const ReportRun *run)
{
    double most = NAN;
    for (int64_t i = 0; i < run->n_stages; i++)
        most = fmax(most, run->stages[i].params_active);
    return most;
}

double report_common(const Report *report, const char *text, ReportEqual equal)
{
    double common = NAN;
    for (int64_t i = 0; i < report->n_runs; i++) {
        const ReportRun *run = &report->runs[i];
        const ReportCurve *curve = report_curve(run, text);
        if (!curve)
            continue;
        common =
            fmin(common, equal == REPORT_EQUAL_ACTIVE ? most_active(run)
                                                      : curve->points[curve->count - 1].at[equal]);
    }
    return common;
}

double report_value_at(const ReportCurve *curve, ReportAxis axis, double x)
{
    for (int64_t i = 0; curve && i < curve->count; i++) {
        const ReportPoint *right = &curve->points[i];
        if (right->at[axis] == x)
            return right->value;
        if (right->at[axis] < x)
            continue;
        if (i == 0)
            return NAN;
        const ReportPoint *left = right - 1;
        double share = (x - left->at[axis]) / (right->at[axis] - left->at[axis]);
        return left->value + share * (right->value - left->value);
    }
    return NAN;
}

static double value_within(const ReportRun *run, const ReportCurve *curve, double active)
{
    double end = -1.0, value = NAN;
    for (int64_t i = 0; i < run->n_stages && run->stages[i].params_active <= active; i++)
        end = run->stages[i].end[REPORT_TOKENS];
    for (int64_t i = 0; i < curve->count && curve->points[i].at[REPORT_TOKENS] <= end; i++)
        value = curve->points[i].value;
    return value;
}

double report_equal_value(const ReportRun *run, const char *text, ReportEqual equal, double common)
{
    const ReportCurve *curve = report_curve(run, text);
    if (!curve || isnan(common))
        return NAN;
    return equal == REPORT_EQUAL_ACTIVE ? value_within(run, curve, common)
                                        : report_value_at(curve, (ReportAxis)equal, common);
}

/* ---- groups --------------------------------------------------------------------------------- */

/* Adds the next of `count` values. */
static void spread_add(ReportSpread *spread, double value, int64_t count)
{
    if (isnan(value) || isnan(spread->mean)) {
        *spread = (ReportSpread){NAN, NAN, NAN};
        return;
    }
    spread->low = fmin(spread->low, value);
    spread->high = fmax(spread->high, value);
    spread->mean += value / (double)count;
}

ReportSpread report_spread_at(const Report *report, int64_t first, const char *text,
                              ReportAxis axis, double x)
{
    ReportSpread spread = {INFINITY, 0.0, -INFINITY};
    int64_t size = report_group_size(report, first);
    for (int64_t run = first; run < report->n_runs; run++) {
        if (report_group(report, run) != first)
            continue;
        const ReportCurve *curve = report_curve(&report->runs[run], text);
        spread_add(&spread, report_value_at(curve, axis, x), size);
    }
    return spread;
}

ReportSpread report_equal_spread(const Report *report, int64_t first, const char *text,
                                 ReportEqual equal, double common)
{
    ReportSpread spread = {INFINITY, 0.0, -INFINITY};
    int64_t size = report_group_size(report, first);
    for (int64_t run = first; run < report->n_runs; run++)
        if (report_group(report, run) == first)
            spread_add(&spread, report_equal_value(&report->runs[run], text, equal, common), size);
    return spread;
}
