#include "grow/report_bars.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grow/report_html.h"

typedef struct Span {
    int64_t least, most;
} Span;

static void widen(Span *span, int64_t value)
{
    span->least = value < span->least ? value : span->least;
    span->most = value > span->most ? value : span->most;
}

/* ", 228 WORDS", ", 100 to 228 WORDS"; nothing where all are 0. */
static void put_span(Span span, const char *one, const char *many, StrBuf *out)
{
    if (span.most == 0)
        return;
    strbuf_puts(out, ", ");
    if (span.least < span.most)
        strbuf_printf(out, "%lld to ", (long long)span.least);
    strbuf_printf(out, "%lld %s", (long long)span.most, span.most == 1 ? one : many);
}

static void put_counts(const ReportScores *scores, const ReportScore *first, StrBuf *out)
{
    Span questions = {INT64_MAX, 0}, cut = {INT64_MAX, 0};
    for (int64_t i = 0; i < scores->count; i++) {
        if (!report_scores_alike(&scores->items[i], first))
            continue;
        widen(&questions, scores->items[i].questions);
        widen(&cut, scores->items[i].cut);
    }
    put_span(questions, "question", "questions", out);
    put_span(cut, "prompt longer than the context", "prompts longer than the context", out);
}

static void put_caption(const ReportScores *scores, const ReportScore *first, StrBuf *out)
{
    char *measure = report_scores_measure(first);
    strbuf_puts(out, "<figcaption><b>");
    html_text(out, first->task);
    strbuf_puts(out, first->part ? " by category</b> " : "</b> ");
    html_text(out, measure);
    free(measure);
    put_counts(scores, first, out);
    if (first->author)
        strbuf_puts(out, "; sampled by the author's protocol, not comparable with other scores");
    strbuf_puts(out, "</figcaption>\n");
}

/* What the whole width stands for. */
static double scale_of(const ReportScores *scores, const ReportScore *first)
{
    double most = first->is_bits ? 0.0 : 1.0;
    for (int64_t i = 0; i < scores->count; i++)
        if (report_scores_alike(&scores->items[i], first))
            most = fmax(most, fmax(scores->items[i].value, scores->items[i].range.high));
    return most > 0.0 ? most : 1.0;
}

static void put_numbers(const ReportScore *score, StrBuf *out)
{
    if (score->is_bits)
        strbuf_printf(out, "%.4f", score->value);
    else
        strbuf_printf(out, "%.1f %%", 100.0 * score->value);
    if (!isnan(score->range.low))
        strbuf_printf(out, " <small>%.1f–%.1f</small>", 100.0 * score->range.low,
                      100.0 * score->range.high);
}

static void put_bar(const ReportScores *scores, const ReportScore *score, double scale, StrBuf *out)
{
    double percent = 100.0 / scale;
    strbuf_puts(out, "<tr><th>");
    html_text(out, scores->models.items[score->model].label);
    strbuf_printf(out,
                  "</th><td><div class=\"track\"><i class=\"bar%s\" "
                  "style=\"width:%.2f%%;background-color:var(--c%d)\"></i>",
                  report_look_class(score->model), percent * score->value,
                  report_look_colour(score->model));
    if (!isnan(score->range.low))
        strbuf_printf(out, "<i class=\"range\" style=\"left:%.2f%%;width:%.2f%%\"></i>",
                      percent * score->range.low, percent * (score->range.high - score->range.low));
    if (!isnan(score->chance))
        strbuf_printf(out, "<i class=\"chance\" style=\"left:%.2f%%\"></i>",
                      percent * score->chance);
    strbuf_puts(out, "</div></td><td>");
    put_numbers(score, out);
    strbuf_puts(out, "</td></tr>\n");
}

static bool same_part(const ReportScore *a, const ReportScore *b)
{
    return a->part && b->part ? strcmp(a->part, b->part) == 0 : a->part == b->part;
}

/* The bars of one category, or all where there are none. */
static void put_part(const ReportScores *scores, const ReportScore *first, StrBuf *out)
{
    double scale = scale_of(scores, first);
    strbuf_puts(out, "<tbody>\n");
    if (first->part) {
        strbuf_puts(out, "<tr><th colspan=\"3\" class=\"part\">");
        html_text(out, first->part);
        strbuf_puts(out, "</th></tr>\n");
    }
    for (const ReportScore *score = first; score < scores->items + scores->count; score++)
        if (report_scores_alike(score, first) && same_part(score, first))
            put_bar(scores, score, scale, out);
    strbuf_puts(out, "</tbody>\n");
}

/* Whether no score before has the part in the same figure. */
static bool is_new_part(const ReportScores *scores, const ReportScore *score)
{
    for (const ReportScore *before = scores->items; before < score; before++)
        if (report_scores_alike(before, score) && same_part(before, score))
            return false;
    return true;
}

void report_bars(const ReportScores *scores, const ReportScore *first, StrBuf *out)
{
    strbuf_puts(out, "<figure>");
    put_caption(scores, first, out);
    strbuf_puts(out, "<table class=\"bars\"><colgroup><col class=\"who\"><col>"
                     "<col class=\"much\"></colgroup>\n");
    for (const ReportScore *score = first; score < scores->items + scores->count; score++)
        if (report_scores_alike(score, first) && is_new_part(scores, score))
            put_part(scores, score, out);
    strbuf_puts(out, "</table></figure>\n");
}
