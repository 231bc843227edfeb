#include "grow/report_chart.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "grow/report_html.h"

enum { MOST_POINTS = 1000, WIDTH = 640, HEIGHT = 340 };
/* The frame around the drawn area, and the room for a label, in the units of the view box. */
enum { LEFT = 62, RIGHT = 28, TOP = 28, BOTTOM = 46, LABEL = 64 };

static const char *const axis_names[REPORT_AXES] = {"tokens", "FLOPs"};

typedef struct Range {
    double low, high;
} Range;

typedef struct Chart {
    const Report *report;
    const char *text; /* NULL: training loss */
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

/* Whether the run stands for its group in the chart. */
static bool is_drawn(const Chart *chart, int64_t run)
{
    return report_group(chart->report, run) == run &&
           report_curve(&chart->report->runs[run], chart->text);
}

/* False: there is nothing to draw. */
static bool chart_ranges(Chart *chart)
{
    chart->x = (Range){0.0, NAN};
    chart->y = (Range){NAN, NAN};
    for (int64_t r = 0; r < chart->report->n_runs; r++) {
        const ReportCurve *curve = report_curve(&chart->report->runs[r], chart->text);
        for (int64_t i = 0; curve && i < curve->count; i++) {
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
        html_count(chart->out, i * step);
        strbuf_puts(chart->out, "</text>\n");
    }
    strbuf_printf(chart->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                  WIDTH - RIGHT, HEIGHT - 6, axis_names[chart->axis]);
}

/* Whether a mark that was drawn before stands so near that two labels would overlap. */
static bool is_crowded(const Chart *chart, int64_t number, int64_t stage)
{
    double x = chart_x(chart, chart->report->runs[number].stages[stage].begin[chart->axis]);
    for (int64_t r = 0; r <= number; r++) {
        const ReportRun *run = &chart->report->runs[r];
        int64_t stages = r == number ? stage : run->n_stages;
        for (int64_t i = 1; i < stages && is_drawn(chart, r); i++)
            if (fabs(chart_x(chart, run->stages[i].begin[chart->axis]) - x) < LABEL)
                return true;
    }
    return false;
}

/* Dashed lines where the stages after the first began. The dashes of runs that grow at the same
 * place stand between each other. */
static void draw_marks(const Chart *chart, int64_t number)
{
    const ReportRun *run = &chart->report->runs[number];
    for (int64_t i = 1; i < run->n_stages; i++) {
        double begin = run->stages[i].begin[chart->axis], x = chart_x(chart, begin);
        long long stage = (long long)run->stages[i].number;
        if (begin > chart->x.high)
            continue;
        strbuf_printf(chart->out,
                      "<path class=\"mark\" stroke=\"var(--c%d)\" stroke-dashoffset=\"%d\" "
                      "d=\"M%.1f %dV%d\"><title>",
                      html_colour(chart->report, number),
                      -4 * (html_colour(chart->report, number) % 3), x, TOP, HEIGHT - BOTTOM);
        html_text(chart->out, run->name);
        strbuf_printf(chart->out, ": stage %lld begins</title></path>\n", stage);
        if (!is_crowded(chart, number, i))
            strbuf_printf(chart->out,
                          "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">stage %lld</text>\n", x,
                          TOP - 8, stage);
    }
}

static void draw_curve(const Chart *chart, int64_t number)
{
    const ReportRun *run = &chart->report->runs[number];
    const ReportCurve *curve = report_curve(run, chart->text);
    if (!curve)
        return;
    int64_t stride = curve->count / MOST_POINTS + 1;
    strbuf_printf(chart->out, "<g stroke=\"var(--c%d)\" fill=\"var(--c%d)\"><title>",
                  html_colour(chart->report, number), html_colour(chart->report, number));
    html_text(chart->out, run->name);
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

typedef enum GroupPart { GROUP_LOW, GROUP_MEAN, GROUP_HIGH } GroupPart;

/* The group's line at the places of its first run; returns how many it has. */
static int64_t trace_group(const Chart *chart, int64_t first, GroupPart part, bool backwards)
{
    const ReportCurve *curve = report_curve(&chart->report->runs[first], chart->text);
    if (!curve)
        return 0;
    int64_t stride = curve->count / MOST_POINTS + 1, count = 0;
    int64_t offset = (curve->count - 1) % stride;
    for (int64_t i = offset; i < curve->count; i += stride) {
        int64_t place = backwards ? curve->count - 1 - (i - offset) : i;
        double at = curve->points[place].at[chart->axis];
        ReportSpread spread = report_spread_at(chart->report, first, chart->text, chart->axis, at);
        double value = part == GROUP_LOW    ? spread.low
                       : part == GROUP_HIGH ? spread.high
                                            : spread.mean;
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
    int colour = html_colour(chart->report, first);
    const char *name = chart->report->runs[first].name;
    strbuf_printf(chart->out, "<g stroke=\"var(--c%d)\" fill=\"var(--c%d)\"><title>", colour,
                  colour);
    char *stem = xstrndup(name, report_seed_stem(name));
    html_text(chart->out, stem);
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
        if (report_group(report, first) != first)
            continue;
        if (report_group_size(report, first) > 1 && draw_group(chart, first))
            continue;
        for (int64_t run = first; run < report->n_runs; run++)
            if (report_group(report, run) == first)
                draw_curve(chart, run);
    }
}

static void put_name(const Chart *chart)
{
    html_measure(chart->out, chart->text);
    strbuf_printf(chart->out, " over %s", axis_names[chart->axis]);
}

void report_chart(const Report *report, const char *text, ReportAxis axis, StrBuf *out)
{
    Chart chart = {.report = report, .text = text, .axis = axis, .out = out};
    if (!chart_ranges(&chart))
        return;
    strbuf_puts(out, "<figure><figcaption>");
    put_name(&chart);
    for (int64_t run = 0; run < report->n_runs; run++)
        if (is_drawn(&chart, run)) {
            strbuf_puts(out, " <span class=\"name\">");
            html_group(out, report, run);
            strbuf_puts(out, "</span>");
        }
    strbuf_printf(out, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
                  WIDTH, HEIGHT);
    put_name(&chart);
    strbuf_puts(out, "\">\n");
    draw_ticks(&chart);
    for (int64_t run = 0; run < report->n_runs; run++)
        if (is_drawn(&chart, run))
            draw_marks(&chart, run);
    draw_runs(&chart);
    strbuf_puts(out, "</svg></figure>\n");
}
