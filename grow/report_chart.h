/* Curves of runs as an SVG drawing inside a report's page. */
#ifndef CAMBIUM_GROW_REPORT_CHART_H
#define CAMBIUM_GROW_REPORT_CHART_H

#include "core/base/strbuf.h"
#include "grow/report_compare.h"

/* Appends a figure: training loss (`text` is NULL) or bits per byte of a text, over tokens or
 * FLOPs; runs that differ in the seed as their mean and range. Nothing when no run has a curve. */
void report_chart(const Report *report, const char *text, ReportAxis axis, StrBuf *out);

#endif
