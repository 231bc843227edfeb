#include "grow/report_scores_translation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/json_get.h"
#include "grow/report_row.h"

/* In percent: a thousand words written for each that is wanted. */
enum { MOST_TER = 100000 };

/* How a corpus is scored: in percent in the file, at most `most`. */
typedef struct Metric {
    const char *key;
    double most;
    bool less_is_better;
} Metric;

static const Metric metrics[] = {
    {"bleu", 100.0, false}, {"chrf", 100.0, false}, {"ter", MOST_TER, true}};
enum { METRICS = sizeof metrics / sizeof *metrics };

bool report_is_translation(const json_t *row)
{
    for (int i = 0; i < METRICS; i++)
        if (json_object_get(row, metrics[i].key))
            return true;
    return false;
}

/* [low, high] in percent; of a single line [null, null], and NaN. */
static Status get_interval(const json_t *figure, double most, const char *where, Interval *out,
                           Err *err)
{
    json_t *list;
    TRY(json_get_array(figure, "interval", where, &list, err));
    if (json_unpack(list, "[n, n!]") == 0) {
        *out = (Interval){(double)NAN, (double)NAN};
        return STATUS_OK;
    }
    if (json_unpack(list, "[F, F!]", &out->low, &out->high) != 0 ||
        !(0.0 <= out->low && out->low <= out->high && out->high <= most))
        return err_set(err, "%s: 'interval' is [low, high], both between 0 and %g", where, most);
    *out = (Interval){out->low / 100.0, out->high / 100.0};
    return STATUS_OK;
}

static Status add_metric(ReportScores *out, ReportScore score, const json_t *figure,
                         const Metric *metric, const char *where, Err *err)
{
    const char *signature;
    double percent;
    TRY(report_row_number(figure, "score", false, metric->most, where, &percent, err));
    TRY(get_interval(figure, metric->most, where, &score.range, err));
    TRY(json_get_text(figure, "signature", where, &signature, err));
    size_t name = strcspn(signature, "|");
    if (name == 0)
        return err_set(err, "%s: 'signature' begins with the metric's name", where);
    score.value = percent / 100.0;
    score.less_is_better = metric->less_is_better;
    score.measure = xstrndup(signature, name);
    report_scores_add(out, &score);
    free(score.measure);
    return STATUS_OK;
}

Status report_add_translation(ReportScores *out, ReportScore score, const json_t *row,
                              const char *where, Err *err)
{
    Status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < METRICS; i++) {
        const json_t *figure = json_object_get(row, metrics[i].key);
        if (!figure)
            continue;
        char *place = xasprintf("%s: %s", where, metrics[i].key);
        status = add_metric(out, score, figure, &metrics[i], place, err);
        free(place);
    }
    return status;
}
