/* Scores as a part of a report's page. */
#ifndef CAMBIUM_GROW_REPORT_SCORES_PAGE_H
#define CAMBIUM_GROW_REPORT_SCORES_PAGE_H

#include "grow/report_scores.h"

/* Tasks and their categories as bars, then against depth; bits per byte as bars for each text, by
 * position and against depth. Nothing when there are none. */
void report_scores_page(const ReportScores *scores, StrBuf *out);

#endif
