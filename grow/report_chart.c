#include "grow/report_chart.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "grow/report_frame.h"
#include "grow/report_html.h"

enum { MOST_POINTS = 1000 };

static const char *const axis_names[REPORT_AXES] = {"tokens", "FLOPs"};

typedef struct Chart {
    const Report *report;
    const char *text; /* NULL: training loss */
    ReportAxis axis;
    Frame frame;
    StrBuf *out;
} Chart;

/* Whether the run stands for its group in the chart. */
static bool is_drawn(const Chart *chart, int64_t run)
{
    return report_group(chart->report, run) == run &&
           report_curve(&chart->report->runs[run], chart->text);
}

/* False: there is nothing to draw. */
static bool chart_ranges(Chart *chart)
{
    FrameRange x = {0.0, NAN}, y = {NAN, NAN};
    for (int64_t r = 0; r < chart->report->n_runs; r++) {
        const ReportCurve *curve = report_curve(&chart->report->runs[r], chart->text);
        for (int64_t i = 0; curve && i < curve->count; i++) {
            x.high = fmax(x.high, curve->points[i].at[chart->axis]);
            frame_include(&y, curve->points[i].value);
        }
    }
    if (isnan(x.high))
        return false;
    if (x.high <= 0.0)
        x.high = 1.0;
    frame_loosen(&y);
    chart->frame = (Frame){x, y, chart->out};
    return true;
}

static void draw_ticks(const Chart *chart)
{
    frame_grid(&chart->frame, false);
    double step = frame_step(chart->frame.x);
    for (int i = 0; i * step <= chart->frame.x.high && i < 20; i++) {
        strbuf_printf(chart->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                      frame_x(&chart->frame, i * step), FRAME_HEIGHT - FRAME_BOTTOM + 18);
        html_count(chart->out, i * step);
        strbuf_puts(chart->out, "</text>\n");
    }
    frame_axis_name(&chart->frame, axis_names[chart->axis]);
}

/* Whether a mark that was drawn before stands so near that two labels would overlap. */
static bool is_crowded(const Chart *chart, int64_t number, int64_t stage)
{
    double x = frame_x(&chart->frame, chart->report->runs[number].stages[stage].begin[chart->axis]);
    for (int64_t r = 0; r <= number; r++) {
        const ReportRun *run = &chart->report->runs[r];
        int64_t stages = r == number ? stage : run->n_stages;
        for (int64_t i = 1; i < stages && is_drawn(chart, r); i++)
            if (fabs(frame_x(&chart->frame, run->stages[i].begin[chart->axis]) - x) < FRAME_LABEL)
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
        double begin = run->stages[i].begin[chart->axis], x = frame_x(&chart->frame, begin);
        long long stage = (long long)run->stages[i].number;
        if (begin > chart->frame.x.high)
            continue;
        strbuf_printf(chart->out,
                      "<path class=\"mark\" stroke=\"var(--c%d)\" stroke-dashoffset=\"%d\" "
                      "d=\"M%.1f %dV%d\"><title>",
                      html_colour(chart->report, number),
                      -4 * (html_colour(chart->report, number) % 3), x, FRAME_TOP,
                      FRAME_HEIGHT - FRAME_BOTTOM);
        html_text(chart->out, run->name);
        strbuf_printf(chart->out, ": stage %lld begins</title></path>\n", stage);
        if (!is_crowded(chart, number, i))
            strbuf_printf(chart->out,
                          "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">stage %lld</text>\n", x,
                          FRAME_TOP - 8, stage);
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
        x = frame_x(&chart->frame, curve->points[i].at[chart->axis]);
        y = frame_y(&chart->frame, curve->points[i].value);
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
        strbuf_printf(chart->out, "%.1f,%.1f ", frame_x(&chart->frame, at),
                      frame_y(&chart->frame, value));
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
                  FRAME_WIDTH, FRAME_HEIGHT);
    put_name(&chart);
    strbuf_puts(out, "\">\n");
    draw_ticks(&chart);
    for (int64_t run = 0; run < report->n_runs; run++)
        if (is_drawn(&chart, run))
            draw_marks(&chart, run);
    draw_runs(&chart);
    strbuf_puts(out, "</svg></figure>\n");
}
