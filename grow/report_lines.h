/* A chart of lines over whole numbers, in a report: scores over layers, bits per byte over the
 * tokens that stand before. */
#ifndef CAMBIUM_GROW_REPORT_LINES_H
#define CAMBIUM_GROW_REPORT_LINES_H

#include "core/metrics/stats.h"
#include "grow/report_frame.h"

typedef struct LinePoint {
    int64_t at;
    double value;
    Interval range;   /* NaN: none */
    const char *name; /* shown where the pointer rests */
} LinePoint;

/* Texts are borrowed; the points (count), by `at`, are owned. */
typedef struct Line {
    const char *name;
    int64_t look; /* report_models.h */
    LinePoint *points;
    int64_t count;
} Line;

typedef struct LineChart {
    const char *title, *subtitle; /* borrowed */
    const char *axis;             /* what `at` counts */
    bool doubles;                 /* `at` is drawn by its logarithm */
    bool percent;                 /* values are shares, of TER also above 1 */
    double chance;                /* NaN: none */
    Line *lines;
    int64_t count, capacity;
} LineChart;

/* Room for `points` of them, count 0. The result is valid until the next line. */
Line *line_chart_add(LineChart *chart, const char *name, int64_t look, int64_t points);
void line_chart_clear(LineChart *chart);

/* Appends the figure; nothing when all points stand at one place. */
void line_chart_draw(const LineChart *chart, StrBuf *out);

#endif
