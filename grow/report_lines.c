#include "grow/report_lines.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "grow/report_html.h"
#include "grow/report_models.h"

Line *line_chart_add(LineChart *chart, const char *name, int64_t look, int64_t points)
{
    chart->lines = mem_grow(chart->lines, &chart->capacity, chart->count + 1, sizeof *chart->lines);
    Line *line = &chart->lines[chart->count++];
    *line = (Line){name, look, xcalloc((size_t)points, sizeof *line->points), 0};
    return line;
}

void line_chart_clear(LineChart *chart)
{
    for (int64_t i = 0; i < chart->count; i++)
        free(chart->lines[i].points);
    free(chart->lines);
    *chart = (LineChart){0};
}

static double place_of(const LineChart *chart, int64_t at)
{
    return chart->doubles ? log2((double)at) : (double)at;
}

/* False: there is nothing to compare. */
static bool find_ranges(const LineChart *chart, Frame *frame)
{
    FrameRange x = {(double)NAN, (double)NAN}, y = {chart->chance, chart->chance};
    for (int64_t i = 0; i < chart->count; i++)
        for (int64_t k = 0; k < chart->lines[i].count; k++) {
            const LinePoint *point = &chart->lines[i].points[k];
            frame_include(&x, place_of(chart, point->at));
            frame_include(&y, point->value);
            frame_include(&y, point->range.low);
            frame_include(&y, point->range.high);
        }
    if (!(x.low < x.high))
        return false;
    double most = y.high;
    frame_loosen(&x);
    frame_loosen(&y);
    /* No spare room for shares below 0, or above 1 and above all that are drawn. */
    if (chart->percent)
        y = (FrameRange){fmax(y.low, 0.0), fmin(y.high, fmax(most, 1.0))};
    frame->x = x;
    frame->y = y;
    return true;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The numbers below, as many as have room. */
static void draw_places(const LineChart *chart, const Frame *frame)
{
    int64_t n = 0, count = 0;
    for (int64_t i = 0; i < chart->count; i++)
        n += chart->lines[i].count;
    int64_t *places = xcalloc((size_t)n, sizeof *places);
    for (int64_t i = 0; i < chart->count; i++)
        for (int64_t k = 0; k < chart->lines[i].count; k++)
            places[count++] = chart->lines[i].points[k].at;
    qsort(places, (size_t)n, sizeof *places, by_number);
    double last = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        double x = frame_x(frame, place_of(chart, places[i]));
        if (x - last < FRAME_LABEL)
            continue;
        strbuf_printf(frame->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%lld</text>\n",
                      x, FRAME_HEIGHT - FRAME_BOTTOM + 18, (long long)places[i]);
        last = x;
    }
    free(places);
    char *name = xasprintf("%s%s", chart->axis, chart->doubles ? ", logarithmic" : "");
    frame_axis_name(frame, name);
    free(name);
}

static void draw_point(const LineChart *chart, const Frame *frame, const LinePoint *point)
{
    double x = frame_x(frame, place_of(chart, point->at)), y = frame_y(frame, point->value);
    strbuf_puts(frame->out, "<g><title>");
    html_text(frame->out, point->name);
    strbuf_printf(frame->out, chart->percent ? ": %.1f %% at %lld " : ": %.4f at %lld ",
                  chart->percent ? 100.0 * point->value : point->value, (long long)point->at);
    html_text(frame->out, chart->axis);
    strbuf_printf(frame->out, "</title><circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" stroke=\"none\"/>",
                  x, y);
    if (!isnan(point->range.low))
        strbuf_printf(frame->out, "<path d=\"M%.1f %.1fV%.1f\"/>", x,
                      frame_y(frame, point->range.low), frame_y(frame, point->range.high));
    strbuf_puts(frame->out, "</g>\n");
}

static void draw_line(const LineChart *chart, const Frame *frame, const Line *line)
{
    int colour = report_look_colour(line->look);
    strbuf_printf(frame->out,
                  "<g stroke=\"var(--c%d)\" fill=\"var(--c%d)\"><polyline class=\"curve%s\" "
                  "points=\"",
                  colour, colour, report_look_class(line->look));
    for (int64_t k = 0; k < line->count; k++)
        strbuf_printf(frame->out, "%.1f,%.1f ", frame_x(frame, place_of(chart, line->points[k].at)),
                      frame_y(frame, line->points[k].value));
    strbuf_puts(frame->out, "\"/>\n");
    for (int64_t k = 0; k < line->count; k++)
        draw_point(chart, frame, &line->points[k]);
    strbuf_puts(frame->out, "</g>\n");
}

void line_chart_draw(const LineChart *chart, StrBuf *out)
{
    Frame frame = {.out = out};
    if (!find_ranges(chart, &frame))
        return;
    strbuf_puts(out, "<figure><figcaption><b>");
    html_text(out, chart->title);
    strbuf_puts(out, "</b> ");
    html_text(out, chart->subtitle);
    for (int64_t i = 0; i < chart->count; i++) {
        strbuf_putc(out, ' ');
        report_look_name(out, chart->lines[i].look, chart->lines[i].name);
    }
    strbuf_printf(out, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
                  FRAME_WIDTH, FRAME_HEIGHT);
    html_text(out, chart->title);
    strbuf_putc(out, ' ');
    html_text(out, chart->subtitle);
    strbuf_puts(out, "\">\n");
    frame_grid(&frame, chart->percent);
    draw_places(chart, &frame);
    if (!isnan(chart->chance))
        strbuf_printf(out, "<path class=\"mark\" stroke=\"var(--ink)\" d=\"M%d %.1fH%d\"/>\n",
                      FRAME_LEFT, frame_y(&frame, chart->chance), FRAME_WIDTH - FRAME_RIGHT);
    for (int64_t i = 0; i < chart->count; i++)
        draw_line(chart, &frame, &chart->lines[i]);
    strbuf_puts(out, "</svg></figure>\n");
}
