/* Results of `cambium eval -o` as scores. */
#ifndef CAMBIUM_GROW_REPORT_SCORES_READ_H
#define CAMBIUM_GROW_REPORT_SCORES_READ_H

#include "core/base/file.h"
#include "grow/report_scores.h"

/* Reads every file. Errors name the file and the row. Clear `out` also when this fails. */
Status report_scores_read(ReportScores *out, const StringList *paths, Err *err);

#endif
