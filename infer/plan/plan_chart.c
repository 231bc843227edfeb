#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "infer/plan/plan_report.h"

/* The view box, the frame around the drawn area, and the height of a line of text. */
enum { WIDTH = 720, HEIGHT = 480, LEFT = 76, RIGHT = 24, TOP = 56, BOTTOM = 56, LINE = 18 };

typedef struct Range {
    double low, high;
} Range;

typedef struct PlanChart {
    const PlanReport *report;
    const PlanPoint **front; /* room for all points */
    Range x, y;
    StrBuf *out;
} PlanChart;

/* Colours that stay apart for the colour-blind. */
static const char *const colours[PLAN_STRATEGIES] = {"#0072b2", "#d55e00", "#e69f00", "#009e73",
                                                     "#cc79a7"};

static double place(double value, Range range)
{
    return log(value / range.low) / log(range.high / range.low);
}

static double chart_x(const PlanChart *chart, double value)
{
    return LEFT + place(value, chart->x) * (WIDTH - LEFT - RIGHT);
}

static double chart_y(const PlanChart *chart, double value)
{
    return HEIGHT - BOTTOM - place(value, chart->y) * (HEIGHT - TOP - BOTTOM);
}

static void widen(Range *range, double value)
{
    range->low = fmin(range->low, value / 1.15);
    range->high = fmax(range->high, value * 1.15);
}

static void find_ranges(PlanChart *chart)
{
    chart->x = chart->y = (Range){INFINITY, 0.0};
    for (int s = 0; s < PLAN_STRATEGIES; s++) {
        int64_t n = plan_front(chart->report->search, 1u << s, chart->front);
        for (int64_t i = 0; i < n; i++) {
            widen(&chart->x, chart->front[i]->per_user);
            widen(&chart->y, chart->front[i]->per_rank);
        }
    }
}

/* Grid lines at 1, 2, 3, 5 and 7 times powers of ten. */
static void draw_ticks(const PlanChart *chart, bool across)
{
    Range range = across ? chart->x : chart->y;
    static const double steps[] = {1.0, 2.0, 3.0, 5.0, 7.0};
    for (double power = pow(10.0, floor(log10(range.low))); power <= range.high; power *= 10.0)
        for (int i = 0; i < 5; i++) {
            double value = steps[i] * power;
            if (value < range.low || value > range.high)
                continue;
            if (across)
                strbuf_printf(chart->out,
                              "<path class=\"grid\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" "
                              "text-anchor=\"middle\">%g</text>\n",
                              chart_x(chart, value), TOP, HEIGHT - BOTTOM, chart_x(chart, value),
                              HEIGHT - BOTTOM + LINE, value);
            else
                strbuf_printf(chart->out,
                              "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                              "text-anchor=\"end\">%g</text>\n",
                              LEFT, chart_y(chart, value), WIDTH - RIGHT, LEFT - 8,
                              chart_y(chart, value) + 4.5, value);
        }
}

static void draw_point(const PlanChart *chart, const PlanPoint *p)
{
    char text[PLAN_GRID_TEXT];
    strbuf_printf(
        chart->out,
        "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>%s, %lld ranks, %s, %lld users: "
        "%.4g ms per token</title></circle>\n",
        chart_x(chart, p->per_user), chart_y(chart, p->per_rank),
        plan_strategy_name(p->layout.strategy), (long long)plan_ranks(&p->layout),
        plan_grid_text(&p->layout.grid, text), (long long)p->batch, p->cost.total * 1e3);
}

/* A strategy's front, and its line of the legend; returns whether it has any point. */
static bool draw_strategy(const PlanChart *chart, PlanStrategy strategy, int line)
{
    int64_t n = plan_front(chart->report->search, 1u << strategy, chart->front);
    if (n == 0)
        return false;
    strbuf_printf(chart->out, "<g stroke=\"%s\" fill=\"%s\"><polyline class=\"curve\" points=\"",
                  colours[strategy], colours[strategy]);
    for (int64_t i = 0; i < n; i++)
        strbuf_printf(chart->out, "%.1f,%.1f ", chart_x(chart, chart->front[i]->per_user),
                      chart_y(chart, chart->front[i]->per_rank));
    strbuf_puts(chart->out, "\"/>\n");
    for (int64_t i = 0; i < n; i++)
        draw_point(chart, chart->front[i]);
    int y = HEIGHT - BOTTOM - 14 - line * LINE;
    strbuf_printf(chart->out, "<path class=\"curve\" d=\"M%d %dh22\"/></g>\n", LEFT + 12, y);
    strbuf_printf(chart->out, "<text x=\"%d\" y=\"%d\">%s</text>\n", LEFT + 42, y + 4,
                  plan_strategy_name(strategy));
    return true;
}

/* A ring around the chosen point, and what it is in the corner that falling curves leave free. */
static void draw_best(const PlanChart *chart, const PlanPoint *best)
{
    char text[PLAN_GRID_TEXT];
    strbuf_printf(chart->out,
                  "<circle class=\"best\" cx=\"%.1f\" cy=\"%.1f\" r=\"8\"/><text x=\"%d\" y=\"%d\" "
                  "text-anchor=\"end\">ring: %s, %lld users</text>\n",
                  chart_x(chart, best->per_user), chart_y(chart, best->per_rank), WIDTH - RIGHT - 8,
                  TOP + LINE, plan_grid_text(&best->layout.grid, text), (long long)best->batch);
}

/* XML's special characters; bytes that are no plain text become '?'. */
static void put_escaped(StrBuf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '<')
            strbuf_puts(out, "&lt;");
        else if (*c == '&')
            strbuf_puts(out, "&amp;");
        else
            strbuf_putc(out, *c >= ' ' && *c < 0x7f ? *c : '?');
    }
}

static void draw_titles(const PlanChart *chart)
{
    const PlanReport *r = chart->report;
    strbuf_printf(chart->out, "<text class=\"title\" x=\"%d\" y=\"24\">", LEFT);
    put_escaped(chart->out, r->model->name);
    strbuf_puts(chart->out, " on ");
    put_escaped(chart->out, r->hardware->name);
    strbuf_printf(
        chart->out,
        "</text>\n<text x=\"%d\" y=\"42\">%.0f tokens of context, %s weights, %s cache, up "
        "to %lld ranks</text>\n",
        LEFT, r->request->context, plan_type_name(r->request->weights),
        plan_type_name(r->request->kv), (long long)r->request->ranks);
    strbuf_printf(chart->out,
                  "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">tokens per second and user"
                  "</text>\n<text transform=\"translate(20 %d) rotate(-90)\" "
                  "text-anchor=\"middle\">tokens per second and rank</text>\n",
                  (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, (TOP + HEIGHT - BOTTOM) / 2);
}

void plan_report_svg(const PlanReport *report, StrBuf *out)
{
    PlanChart chart = {.report = report, .out = out};
    chart.front = xmalloc((size_t)report->search->count * sizeof *chart.front);
    find_ranges(&chart);
    strbuf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                  "height=\"%d\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT);
    strbuf_puts(out,
                "<style>.grid{stroke:#ddd}.curve{fill:none;stroke-width:2}.best{fill:none;"
                "stroke:#222;stroke-width:1.5}.title{font-size:16px;font-weight:bold}</style>\n"
                "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
    draw_ticks(&chart, true);
    draw_ticks(&chart, false);
    draw_titles(&chart);
    int line = 0;
    for (int s = PLAN_STRATEGIES - 1; s >= 0; s--) /* Helix on top */
        line += draw_strategy(&chart, (PlanStrategy)s, line);
    if (report->best)
        draw_best(&chart, report->best);
    strbuf_puts(out, "</svg>\n");
    free(chart.front);
}
