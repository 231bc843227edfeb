#include "grow/report_scores.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

static void score_clear(ReportScore *score)
{
    free(score->task);
    free(score->measure);
    free(score->part);
    free(score->places);
}

void report_scores_clear(ReportScores *scores)
{
    for (int64_t i = 0; i < scores->count; i++)
        score_clear(&scores->items[i]);
    free(scores->items);
    report_models_clear(&scores->models);
    *scores = (ReportScores){0};
}

bool report_scores_alike(const ReportScore *a, const ReportScore *b)
{
    return strcmp(a->task, b->task) == 0 && strcmp(a->measure, b->measure) == 0 &&
           (a->part != NULL) == (b->part != NULL) && a->shots == b->shots;
}

char *report_scores_measure(const ReportScore *score)
{
    StrBuf text = {0};
    strbuf_puts(&text, score->measure);
    if (score->less_is_better)
        strbuf_puts(&text, ", less is better");
    if (score->shots >= 0)
        strbuf_printf(&text, ", %lld shot%s", (long long)score->shots,
                      score->shots == 1 ? "" : "s");
    return strbuf_detach(&text);
}

ReportScore *report_scores_add(ReportScores *out, const ReportScore *score)
{
    out->items = mem_grow(out->items, &out->capacity, out->count + 1, sizeof *out->items);
    ReportScore *added = &out->items[out->count++];
    *added = *score;
    added->task = xstrdup(score->task);
    added->measure = xstrdup(score->measure);
    added->part = score->part ? xstrdup(score->part) : NULL;
    return added;
}
