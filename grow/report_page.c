#include "grow/report_page.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { COLOURS = 8, MOST_POINTS = 1000, WIDTH = 640, HEIGHT = 340 };
/* The frame around the drawn area of a chart, in the units of its view box. */
enum { LEFT = 62, RIGHT = 24, TOP = 12, BOTTOM = 44 };

static const char style[] =
    ":root{color-scheme:light dark;--page:#fcfcfb;--ink:#1a1a19;--soft:#6b6a66;--line:#dddcd6;"
    "--c0:#2a78d6;--c1:#d9541e;--c2:#128a5c;--c3:#8a4fc4;--c4:#b0820a;--c5:#c7397f;--c6:#16858f;"
    "--c7:#5d6470}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#1a1a19;--ink:#f0efec;--soft:#a3a29c;"
    "--line:#3b3a37;--c0:#5ea2f2;--c1:#f5844f;--c2:#3fc08c;--c3:#b78ae8;--c4:#dcb03c;"
    "--c5:#ee76ac;--c6:#4dbdc7;--c7:#a9b0bd}}\n"
    "body{margin:0 auto;padding:1rem;max-width:84rem;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p,figcaption{color:var(--soft)}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));"
    "gap:1.5rem}\n"
    "figure{margin:0}svg{width:100%;height:auto;display:block}\n"
    "svg text{fill:var(--soft);font-size:13px}.grid{stroke:var(--line)}\n"
    ".curve{fill:none;stroke-width:2;stroke-linejoin:round}.band{opacity:.2}.mark{stroke-dasharray:"
    "3 4}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--line);"
    "white-space:nowrap}th:first-child,td:first-child,.left{text-align:left}\n"
    "th{color:var(--soft);font-weight:500}\n"
    ".key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}\n"
    "blockquote{margin:.5rem 0;padding:.2rem .8rem;border-left:3px solid var(--line);"
    "white-space:pre-wrap;overflow-wrap:anywhere}\n";

static const char *const axis_names[REPORT_AXES] = {"tokens", "FLOPs"};
static const char *const measure_names[REPORT_MEASURES] = {"Training loss (nats per token)",
                                                           "Validation (bits per byte)"};

/* ---- words and numbers ---------------------------------------------------------------------- */

static void put_text(StrBuf *out, const char *text)
{
    for (const char *c = text; *c; c++)
        switch (*c) {
        case '&':
            strbuf_puts(out, "&amp;");
            break;
        case '<':
            strbuf_puts(out, "&lt;");
            break;
        case '>':
            strbuf_puts(out, "&gt;");
            break;
        case '"':
            strbuf_puts(out, "&quot;");
            break;
        case '\'':
            strbuf_puts(out, "&#39;");
            break;
        default:
            /* HTML has no control characters besides white space. */
            strbuf_putc(out, (unsigned char)*c < ' ' && *c != '\n' && *c != '\t' ? ' ' : *c);
        }
}

/* Counts in powers of 1000: 40.96 K, 1.309 T. */
static void put_count(StrBuf *out, double value)
{
    static const char *const units[] = {"", " K", " M", " G", " T", " P", " E"};
    size_t unit = 0;
    if (isnan(value)) {
        strbuf_puts(out, "–");
        return;
    }
    for (; fabs(value) >= 999.95 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1000.0;
    strbuf_printf(out, "%.4g%s", value, units[unit]);
}

static void put_value(StrBuf *out, double value)
{
    if (isnan(value))
        strbuf_puts(out, "–");
    else
        strbuf_printf(out, "%.4f", value);
}

static void count_cell(StrBuf *out, double value)
{
    strbuf_puts(out, "<td>");
    put_count(out, value);
    strbuf_puts(out, "</td>");
}

static void value_cell(StrBuf *out, double value)
{
    strbuf_puts(out, "<td>");
    put_value(out, value);
    strbuf_puts(out, "</td>");
}

/* The length of NAME in NAME-seedN; 0: the run is not one of several seeds. */
static size_t seed_stem(const char *name)
{
    size_t end = strlen(name), digits = end;
    while (digits > 0 && isdigit((unsigned char)name[digits - 1]))
        digits--;
    static const char word[] = "-seed";
    size_t length = sizeof word - 1;
    bool seeded =
        digits < end && digits > length && memcmp(name + digits - length, word, length) == 0;
    return seeded ? digits - length : 0;
}

/* The first run with the same name but for the seed (or the run itself). They share a colour and
 * are drawn together. */
static int64_t group_of(const Report *report, int64_t run)
{
    const char *name = report->runs[run].name;
    size_t stem = seed_stem(name);
    for (int64_t i = 0; i < run && stem > 0; i++)
        if (seed_stem(report->runs[i].name) == stem &&
            memcmp(report->runs[i].name, name, stem) == 0)
            return i;
    return run;
}

static int colour_of(const Report *report, int64_t run)
{
    return (int)(group_of(report, run) % COLOURS);
}

static void put_run(StrBuf *out, const Report *report, int64_t run)
{
    strbuf_printf(out, "<span class=\"key\" style=\"background:var(--c%d)\"></span>",
                  colour_of(report, run));
    put_text(out, report->runs[run].name);
}

/* ---- charts --------------------------------------------------------------------------------- */

typedef struct Range {
    double low, high;
} Range;

typedef struct Chart {
    const Report *report;
    ReportMeasure measure;
    ReportAxis axis;
    Range x, y;
    StrBuf *out;
} Chart;

static double chart_x(const Chart *chart, double value)
{
    return LEFT + (value - chart->x.low) / (chart->x.high - chart->x.low) * (WIDTH - LEFT - RIGHT);
}

static double chart_y(const Chart *chart, double value)
{
    return HEIGHT - BOTTOM -
           (value - chart->y.low) / (chart->y.high - chart->y.low) * (HEIGHT - TOP - BOTTOM);
}

/* False: there is nothing to draw. */
static bool chart_ranges(Chart *chart)
{
    chart->x = (Range){0.0, NAN};
    chart->y = (Range){NAN, NAN};
    for (int64_t r = 0; r < chart->report->n_runs; r++) {
        const ReportCurve *curve = &chart->report->runs[r].curves[chart->measure];
        for (int64_t i = 0; i < curve->count; i++) {
            chart->x.high = fmax(chart->x.high, curve->points[i].at[chart->axis]);
            chart->y.low = fmin(chart->y.low, curve->points[i].value);
            chart->y.high = fmax(chart->y.high, curve->points[i].value);
        }
    }
    if (isnan(chart->x.high))
        return false;
    if (chart->x.high <= 0.0)
        chart->x.high = 1.0;
    double spare = fmax((chart->y.high - chart->y.low) * 0.05, fabs(chart->y.high) * 1e-3 + 1e-6);
    chart->y.low -= spare;
    chart->y.high += spare;
    return true;
}

/* A step of 1, 2 or 5 times a power of ten that divides the range into four to nine. */
static double tick_step(Range range)
{
    double rough = (range.high - range.low) / 4.0, power = pow(10.0, floor(log10(rough)));
    return rough / power >= 5.0 ? 5.0 * power : rough / power >= 2.0 ? 2.0 * power : power;
}

static void draw_ticks(const Chart *chart)
{
    double step = tick_step(chart->y);
    double first = ceil(chart->y.low / step);
    for (int i = 0; (first + i) * step <= chart->y.high && i < 20; i++) {
        double y = chart_y(chart, (first + i) * step);
        strbuf_printf(chart->out,
                      "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                      "text-anchor=\"end\">%.4g</text>\n",
                      LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4.5, (first + i) * step);
    }
    step = tick_step(chart->x);
    for (int i = 0; i * step <= chart->x.high && i < 20; i++) {
        double x = chart_x(chart, i * step);
        strbuf_printf(chart->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", x,
                      HEIGHT - BOTTOM + 18);
        put_count(chart->out, i * step);
        strbuf_puts(chart->out, "</text>\n");
    }
    strbuf_printf(chart->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                  WIDTH - RIGHT, HEIGHT - 6, axis_names[chart->axis]);
}

/* Dashed lines where the stages after the first began. */
static void draw_marks(const Chart *chart, int64_t number)
{
    const ReportRun *run = &chart->report->runs[number];
    for (int64_t i = 1; i < run->n_stages; i++) {
        double begin = run->stages[i].begin[chart->axis];
        if (begin > chart->x.high)
            continue;
        strbuf_printf(
            chart->out, "<path class=\"mark\" stroke=\"var(--c%d)\" d=\"M%.1f %dV%d\"><title>",
            colour_of(chart->report, number), chart_x(chart, begin), TOP, HEIGHT - BOTTOM);
        put_text(chart->out, run->name);
        strbuf_printf(chart->out, ": stage %lld begins</title></path>\n",
                      (long long)run->stages[i].number);
    }
}

static void draw_curve(const Chart *chart, int64_t number)
{
    const ReportRun *run = &chart->report->runs[number];
    const ReportCurve *curve = &run->curves[chart->measure];
    int64_t stride = curve->count / MOST_POINTS + 1;
    if (curve->count == 0)
        return;
    strbuf_printf(chart->out, "<g stroke=\"var(--c%d)\" fill=\"var(--c%d)\"><title>",
                  colour_of(chart->report, number), colour_of(chart->report, number));
    put_text(chart->out, run->name);
    strbuf_puts(chart->out, "</title><polyline class=\"curve\" points=\"");
    double x = 0.0, y = 0.0;
    for (int64_t i = (curve->count - 1) % stride; i < curve->count; i += stride) {
        x = chart_x(chart, curve->points[i].at[chart->axis]);
        y = chart_y(chart, curve->points[i].value);
        strbuf_printf(chart->out, "%.1f,%.1f ", x, y);
    }
    /* The dot shows a curve of a single point too. */
    strbuf_printf(chart->out, "\"/><circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/></g>\n", x, y);
}

/* What is drawn of a group of runs at one place. */
typedef enum GroupPart { GROUP_LOW, GROUP_MEAN, GROUP_HIGH } GroupPart;

/* NaN where one of the runs has no value. */
static double group_value(const Chart *chart, int64_t first, double at, GroupPart part)
{
    double low = INFINITY, high = -INFINITY, sum = 0.0;
    int64_t count = 0;
    for (int64_t run = first; run < chart->report->n_runs; run++) {
        if (group_of(chart->report, run) != first)
            continue;
        double value =
            report_value_at(&chart->report->runs[run].curves[chart->measure], chart->axis, at);
        if (isnan(value))
            return value;
        low = fmin(low, value);
        high = fmax(high, value);
        sum += value;
        count++;
    }
    return part == GROUP_LOW ? low : part == GROUP_HIGH ? high : sum / (double)count;
}

/* The group's line at the places of its first run; returns how many it has. */
static int64_t trace_group(const Chart *chart, int64_t first, GroupPart part, bool backwards)
{
    const ReportCurve *curve = &chart->report->runs[first].curves[chart->measure];
    int64_t stride = curve->count / MOST_POINTS + 1, count = 0;
    int64_t offset = curve->count > 0 ? (curve->count - 1) % stride : 0;
    for (int64_t i = offset; i < curve->count; i += stride) {
        int64_t place = backwards ? curve->count - 1 - (i - offset) : i;
        double at = curve->points[place].at[chart->axis];
        double value = group_value(chart, first, at, part);
        if (isnan(value))
            continue;
        strbuf_printf(chart->out, "%.1f,%.1f ", chart_x(chart, at), chart_y(chart, value));
        count++;
    }
    return count;
}

/* Mean and range of runs that differ in the seed. False: they have no place in common. */
static bool draw_group(const Chart *chart, int64_t first)
{
    int colour = colour_of(chart->report, first);
    const char *name = chart->report->runs[first].name;
    strbuf_printf(chart->out, "<g stroke=\"var(--c%d)\" fill=\"var(--c%d)\"><title>", colour,
                  colour);
    char *stem = xstrndup(name, seed_stem(name));
    put_text(chart->out, stem);
    free(stem);
    strbuf_puts(chart->out, ": mean and range of the seeds</title><polygon class=\"band\" "
                            "stroke=\"none\" points=\"");
    trace_group(chart, first, GROUP_HIGH, false);
    trace_group(chart, first, GROUP_LOW, true);
    strbuf_puts(chart->out, "\"/><polyline class=\"curve\" points=\"");
    int64_t count = trace_group(chart, first, GROUP_MEAN, false);
    strbuf_puts(chart->out, "\"/></g>\n");
    return count > 1;
}

/* Several seeds as one band; a run alone, and seeds without a common stretch, as curves. */
static void draw_runs(const Chart *chart)
{
    const Report *report = chart->report;
    for (int64_t first = 0; first < report->n_runs; first++) {
        if (group_of(report, first) != first)
            continue;
        int64_t members = 0;
        for (int64_t run = first; run < report->n_runs; run++)
            members += group_of(report, run) == first;
        if (members > 1 && draw_group(chart, first))
            continue;
        for (int64_t run = first; run < report->n_runs; run++)
            if (group_of(report, run) == first)
                draw_curve(chart, run);
    }
}

static void put_chart(const Report *report, ReportMeasure measure, ReportAxis axis, StrBuf *out)
{
    Chart chart = {.report = report, .measure = measure, .axis = axis, .out = out};
    if (!chart_ranges(&chart))
        return;
    strbuf_printf(out,
                  "<figure><figcaption>%s over %s</figcaption>\n<svg viewBox=\"0 0 %d %d\" "
                  "role=\"img\" aria-label=\"%s over %s\">\n",
                  measure_names[measure], axis_names[axis], WIDTH, HEIGHT, measure_names[measure],
                  axis_names[axis]);
    draw_ticks(&chart);
    for (int64_t run = 0; run < report->n_runs; run++)
        if (group_of(report, run) == run)
            draw_marks(&chart, run);
    draw_runs(&chart);
    strbuf_puts(out, "</svg></figure>\n");
}

/* ---- tables --------------------------------------------------------------------------------- */

static void put_stage(const Report *report, int64_t run, const ReportStage *stage, StrBuf *out)
{
    strbuf_puts(out, "<tr><td>");
    put_run(out, report, run);
    strbuf_printf(out, "</td><td>%lld</td><td class=\"left\">", (long long)stage->number);
    put_text(out, stage->train ? stage->train : "–");
    strbuf_puts(out, "</td>");
    count_cell(out, stage->blocks);
    count_cell(out, stage->layers);
    count_cell(out, stage->params_total);
    count_cell(out, stage->params_active);
    count_cell(out, stage->params_frozen);
    for (int axis = 0; axis < REPORT_AXES; axis++)
        count_cell(out, stage->end[axis] - stage->begin[axis]);
    value_cell(out, stage->last[REPORT_LOSS]);
    value_cell(out, stage->last[REPORT_BPB]);
    count_cell(out,
               stage->speed_count ? stage->speed_sum / (double)stage->speed_count : (double)NAN);
    strbuf_puts(out, "</tr>\n");
}

static void put_stages(const Report *report, StrBuf *out)
{
    strbuf_puts(out,
                "<h2>Stages</h2>\n<div class=\"scroll\"><table><tr><th>Run</th><th>Stage</th>"
                "<th class=\"left\">Trained</th><th>Blocks added</th><th>Layers</th>"
                "<th>Parameters</th><th>Active</th><th>Frozen</th><th>Tokens</th><th>FLOPs</th>"
                "<th>Last loss</th><th>Last bits per byte</th><th>Tokens/s</th></tr>\n");
    for (int64_t run = 0; run < report->n_runs; run++)
        for (int64_t i = 0; i < report->runs[run].n_stages; i++)
            put_stage(report, run, &report->runs[run].stages[i], out);
    strbuf_puts(out, "</table></div>\n<p>Tokens and FLOPs are those of the stage alone.</p>\n");
}

static void put_comparison(const Report *report, StrBuf *out)
{
    double common[REPORT_AXES];
    for (int axis = 0; axis < REPORT_AXES; axis++)
        common[axis] = report_common(report, (ReportAxis)axis);
    if (isnan(common[REPORT_TOKENS]))
        return;
    strbuf_puts(out, "<h2>Compared at equal cost</h2>\n<div class=\"scroll\"><table><tr>"
                     "<th>Run (bits per byte)</th>");
    for (int axis = 0; axis < REPORT_AXES; axis++) {
        strbuf_puts(out, "<th>at ");
        put_count(out, common[axis]);
        strbuf_printf(out, " %s</th>", axis_names[axis]);
    }
    strbuf_puts(out, "</tr>\n");
    for (int64_t run = 0; run < report->n_runs; run++) {
        strbuf_puts(out, "<tr><td>");
        put_run(out, report, run);
        strbuf_puts(out, "</td>");
        for (int axis = 0; axis < REPORT_AXES; axis++)
            value_cell(out, report_value_at(&report->runs[run].curves[REPORT_BPB], (ReportAxis)axis,
                                            common[axis]));
        strbuf_puts(out, "</tr>\n");
    }
    strbuf_puts(out, "</table></div>\n<p>As far as every measured run has come; between two "
                     "measurements on a straight line. A dash: the run was not measured up to "
                     "there. Runs validated on different text do not compare.</p>\n");
}

static void put_samples(const Report *report, StrBuf *out)
{
    bool first = true;
    for (int64_t run = 0; run < report->n_runs; run++)
        for (int64_t i = 0; i < report->runs[run].n_samples; i++) {
            const ReportSample *sample = &report->runs[run].samples[i];
            strbuf_puts(out, first ? "<h2>Samples</h2>\n<p>" : "<p>");
            first = false;
            put_run(out, report, run);
            strbuf_printf(out, ", stage %lld, ", (long long)sample->stage);
            put_count(out, sample->tokens);
            strbuf_puts(out, " tokens</p>\n<blockquote><b>");
            put_text(out, sample->prompt);
            strbuf_puts(out, "</b>");
            put_text(out, sample->text);
            strbuf_puts(out, "</blockquote>\n");
        }
}

/* ---- the page ------------------------------------------------------------------------------- */

void report_page(const Report *report, StrBuf *out)
{
    strbuf_puts(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                     "<title>Cambium report</title>\n<style>\n");
    strbuf_puts(out, style);
    strbuf_puts(out, "</style></head><body>\n<h1>Cambium report</h1>\n<p>");
    for (int64_t run = 0; run < report->n_runs; run++) {
        put_run(out, report, run);
        strbuf_puts(out, " &ensp; ");
    }
    strbuf_puts(out, "</p>\n<div class=\"charts\">\n");
    for (int measure = 0; measure < REPORT_MEASURES; measure++)
        for (int axis = 0; axis < REPORT_AXES; axis++)
            put_chart(report, (ReportMeasure)measure, (ReportAxis)axis, out);
    strbuf_puts(out, "</div>\n<p>Dashed lines: a stage begins. Runs named NAME-seedN: their mean, "
                     "and a band from the least to the "
                     "greatest.</p>\n");
    put_comparison(report, out);
    put_stages(report, out);
    put_samples(report, out);
    strbuf_puts(out, "</body></html>\n");
}
