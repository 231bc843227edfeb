#include "grow/report_scores_page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "grow/report_bars.h"
#include "grow/report_lines.h"

static const ReportModel *model_of(const ReportScores *scores, const ReportScore *score)
{
    return &scores->models.items[score->model];
}

/* ---- against depth --------------------------------------------------------------------------- */

/* The scores of one series in a figure, by layers. */
typedef struct Series {
    const ReportScore **items;
    int64_t count;
} Series;

static int by_layers(const void *a, const void *b)
{
    const ReportScore *x = *(const ReportScore *const *)a, *y = *(const ReportScore *const *)b;
    if (x->layers != y->layers)
        return x->layers < y->layers ? -1 : 1;
    return x < y ? -1 : x > y;
}

static bool is_point(const ReportScore *score, const ReportScore *figure)
{
    return report_scores_alike(score, figure) && score->layers > 0;
}

static Series series_new(const ReportScores *scores, const ReportScore *first)
{
    Series series = {xcalloc((size_t)scores->count, sizeof *series.items), 0};
    for (const ReportScore *score = first; score < scores->items + scores->count; score++)
        if (is_point(score, first) &&
            strcmp(model_of(scores, score)->series, model_of(scores, first)->series) == 0)
            series.items[series.count++] = score;
    qsort(series.items, (size_t)series.count, sizeof *series.items, by_layers);
    return series;
}

/* Models of one depth that differ in a number (a seed) are no stages of one growth. */
static bool has_depth_twice(const Series *series)
{
    for (int64_t i = 1; i < series->count; i++)
        if (series->items[i]->layers == series->items[i - 1]->layers)
            return true;
    return false;
}

static void add_point(const ReportScores *scores, const ReportScore *score, Line *line)
{
    line->points[line->count++] =
        (LinePoint){score->layers, score->value, score->range, model_of(scores, score)->label};
}

/* One line through a series, or its models one by one. */
static void add_series(const ReportScores *scores, const ReportScore *first, LineChart *chart)
{
    Series series = series_new(scores, first);
    const ReportModel *model = model_of(scores, first);
    if (series.count > 1 && !has_depth_twice(&series)) {
        Line *line = line_chart_add(chart, model->series, first->model, series.count);
        for (int64_t i = 0; i < series.count; i++)
            add_point(scores, series.items[i], line);
    } else {
        for (int64_t i = 0; i < series.count; i++) {
            const ReportScore *score = series.items[i];
            const char *label = model_of(scores, score)->label;
            add_point(scores, score, line_chart_add(chart, label, score->model, 1));
        }
    }
    free(series.items);
}

static bool is_first_of_series(const ReportScores *scores, const ReportScore *score)
{
    for (const ReportScore *before = scores->items; before < score; before++)
        if (is_point(before, score) &&
            strcmp(model_of(scores, before)->series, model_of(scores, score)->series) == 0)
            return false;
    return true;
}

static bool spans_far(const LineChart *chart)
{
    int64_t least = INT64_MAX, most = 0;
    for (int64_t i = 0; i < chart->count; i++)
        for (int64_t k = 0; k < chart->lines[i].count; k++) {
            int64_t at = chart->lines[i].points[k].at;
            least = at < least ? at : least;
            most = at > most ? at : most;
        }
    return least <= most / 4;
}

static void draw_depth(const ReportScores *scores, const ReportScore *first, StrBuf *out)
{
    char *title = xasprintf("%s against depth", first->task);
    char *measure = report_scores_measure(first);
    LineChart chart = {.title = title,
                       .subtitle = measure,
                       .axis = "layers",
                       .percent = !first->is_bits,
                       .chance = first->chance};
    for (const ReportScore *score = first; score < scores->items + scores->count; score++)
        if (is_point(score, first) && is_first_of_series(scores, score))
            add_series(scores, score, &chart);
    /* A tall model beside the stages of a small one must not push them together. */
    chart.doubles = spans_far(&chart);
    line_chart_draw(&chart, out);
    line_chart_clear(&chart);
    free(measure);
    free(title);
}

/* ---- by position ----------------------------------------------------------------------------- */

static void draw_places(const ReportScores *scores, const ReportScore *first, StrBuf *out)
{
    char *title = xasprintf("%s by position", first->task);
    LineChart chart = {.title = title,
                       .subtitle =
                           "bits per byte after so many tokens of context, to twice as many",
                       .axis = "tokens before",
                       .doubles = true,
                       .chance = (double)NAN};
    for (const ReportScore *score = first; score < scores->items + scores->count; score++) {
        if (!report_scores_alike(score, first) || score->n_places == 0)
            continue;
        const char *label = model_of(scores, score)->label;
        Line *line = line_chart_add(&chart, label, score->model, score->n_places);
        for (int64_t i = 0; i < score->n_places; i++)
            line->points[line->count++] = (LinePoint){.at = score->places[i].from,
                                                      .value = score->places[i].bits,
                                                      .range = {(double)NAN, (double)NAN},
                                                      .name = label};
    }
    line_chart_draw(&chart, out);
    line_chart_clear(&chart);
    free(title);
}

/* ---- the page -------------------------------------------------------------------------------- */

static bool is_first_of_figure(const ReportScores *scores, const ReportScore *score)
{
    for (const ReportScore *before = scores->items; before < score; before++)
        if (report_scores_alike(before, score))
            return false;
    return true;
}

/* All figures of shares, or of bits per byte; false when there are none. */
static bool draw_figures(const ReportScores *scores, bool bits, const char *head, StrBuf *out)
{
    bool any = false;
    for (const ReportScore *score = scores->items; score < scores->items + scores->count; score++) {
        if (score->is_bits != bits || !is_first_of_figure(scores, score))
            continue;
        if (!any)
            strbuf_printf(out, "<h2>%s</h2>\n<div class=\"flow\">\n", head);
        any = true;
        report_bars(scores, score, out);
        if (!score->part)
            draw_depth(scores, score, out);
        draw_places(scores, score, out);
    }
    if (any)
        strbuf_puts(out, "</div>\n");
    return any;
}

void report_scores_page(const ReportScores *scores, StrBuf *out)
{
    if (draw_figures(scores, false, "Scores", out))
        strbuf_puts(out,
                    "<p>With 95 % intervals over questions: of right and wrong answers Wilson's, "
                    "of translations (BLEU, chrF, TER) the bootstrap's, "
                    "of other scores (F1, the author's protocol) the mean and 1.96 standard "
                    "errors on both sides. Bars end at 100 %, or at the highest TER above it. "
                    "Dashed: chance. Models whose names differ in their "
                    "last number, and that differ in depth, are one line.</p>\n");
    if (draw_figures(scores, true, "Bits per byte", out))
        strbuf_puts(
            out, "<p>Less is better. The bars of each text have their own scale, from 0 on.</p>\n");
}
