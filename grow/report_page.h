/* A report as one HTML page that needs nothing else: no network, no script; style and drawings are
 * inside. */
#ifndef CAMBIUM_GROW_REPORT_PAGE_H
#define CAMBIUM_GROW_REPORT_PAGE_H

#include "core/base/strbuf.h"
#include "grow/report_data.h"
#include "grow/report_scores.h"

/* Appends the page (UTF-8). Every text from outside is escaped. */
void report_page(const Report *report, const ReportScores *scores, StrBuf *out);

#endif
