/* Scores as bars in a report: tables with a bar in each row, so that names of any length fit and
 * every number can be read. */
#ifndef CAMBIUM_GROW_REPORT_BARS_H
#define CAMBIUM_GROW_REPORT_BARS_H

#include "grow/report_scores.h"

/* Appends the figure of all scores that stand in one with `first`. Shares on a scale from 0 to
 * 100 %, or as far as a TER goes, with their intervals and what chance gives; bits per byte on
 * their own, from 0 on. */
void report_bars(const ReportScores *scores, const ReportScore *first, StrBuf *out);

#endif
