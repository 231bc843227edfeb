/* Runs beside each other: which differ only in the seed, and what each had reached at equal cost.
 * Numbers that do not exist are NaN. */
#ifndef CAMBIUM_GROW_REPORT_COMPARE_H
#define CAMBIUM_GROW_REPORT_COMPARE_H

#include <stddef.h>

#include "grow/report_data.h"

/* The length of NAME in NAME-seedN; 0: the run is not one of several seeds. */
size_t report_seed_stem(const char *name);

/* The first run with the same name but for the seed, or the run itself. A group is all runs with
 * the same first run. */
int64_t report_group(const Report *report, int64_t run);
int64_t report_group_size(const Report *report, int64_t first);

/* What runs are held equal in: what they have spent, or how much they train at one time. */
typedef enum ReportEqual {
    REPORT_EQUAL_TOKENS,
    REPORT_EQUAL_FLOPS,
    REPORT_EQUAL_ACTIVE,
    REPORT_EQUALS
} ReportEqual;

/* As far as every run that was validated on `text` has come: the least of their last measured
 * places, or the least of the most parameters that they train at one time. */
double report_common(const Report *report, const char *text, ReportEqual equal);

/* The curve at `x`, by straight lines between its points; NaN outside of it and without
 * one (NULL). */
double report_value_at(const ReportCurve *curve, ReportAxis axis, double x);

/* The run's bits per byte of `text` at equal cost. REPORT_EQUAL_ACTIVE: the last measured before a
 * stage that trains more than `common` parameters. */
double report_equal_value(const ReportRun *run, const char *text, ReportEqual equal, double common);

/* Mean and range of a group's values; NaN where one of them is. */
typedef struct ReportSpread {
    double low, mean, high;
} ReportSpread;
ReportSpread report_spread_at(const Report *report, int64_t first, const char *text,
                              ReportAxis axis, double x);
ReportSpread report_equal_spread(const Report *report, int64_t first, const char *text,
                                 ReportEqual equal, double common);

#endif
