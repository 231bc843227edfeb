/* Translation tasks in results of `cambium eval -o`: BLEU, chrF and TER of all lines. */
#ifndef CAMBIUM_GROW_REPORT_SCORES_TRANSLATION_H
#define CAMBIUM_GROW_REPORT_SCORES_TRANSLATION_H

#include <jansson.h>

#include "core/base/err.h"
#include "grow/report_scores.h"

/* Whether the row has one of them. Its accuracy is then the mean of the lines' chrF: no share of
 * right answers. */
bool report_is_translation(const json_t *row);

/* Adds a score for each that the row has, named as its signature begins, with the interval of the
 * file; `score` is what they have in common. Errors name `where` and the metric. */
Status report_add_translation(ReportScores *out, ReportScore score, const json_t *row,
                              const char *where, Err *err);

#endif
