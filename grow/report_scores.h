/* Results of `cambium eval -o` for a report's page: tasks with 95 % intervals, MMLU's categories,
 * and scores against depth where the models have several. */
#ifndef CAMBIUM_GROW_REPORT_SCORES_H
#define CAMBIUM_GROW_REPORT_SCORES_H

#include <stdint.h>

#include "core/base/file.h"

typedef struct ReportScore {
    char *task, *model;
    char *part;          /* a category of the task; NULL: all of it */
    double share, error; /* between 0 and 1, and its standard error over questions */
    double chance;       /* NaN: none */
    int64_t layers;      /* of the model; 0: not said */
    int colour;          /* of the model, 0 to 7 */
} ReportScore;

typedef struct ReportScores {
    ReportScore *items;
    int64_t count, capacity;
    int n_models;
} ReportScores;

/* Adds the scores of a file; rows of bits per byte are no scores and are left out. Errors name the
 * file and the row. Clear `out` also when this fails. */
Status report_scores_read(ReportScores *out, const char *path, Err *err);
void report_scores_clear(ReportScores *scores);

/* Appends their part of the page; nothing when there are none. */
void report_scores_page(const ReportScores *scores, StrBuf *out);

#endif
