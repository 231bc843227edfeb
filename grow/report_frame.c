#include "grow/report_frame.h"

#include <math.h>

#include "grow/report_html.h"

void frame_include(FrameRange *range, double value)
{
    range->low = fmin(range->low, value);
    range->high = fmax(range->high, value);
}

void frame_loosen(FrameRange *range)
{
    double spare = fmax((range->high - range->low) * 0.05, fabs(range->high) * 1e-3 + 1e-6);
    range->low -= spare;
    range->high += spare;
}

double frame_x(const Frame *frame, double value)
{
    return FRAME_LEFT + (value - frame->x.low) / (frame->x.high - frame->x.low) *
                            (FRAME_WIDTH - FRAME_LEFT - FRAME_RIGHT);
}

double frame_y(const Frame *frame, double value)
{
    return FRAME_HEIGHT - FRAME_BOTTOM -
           (value - frame->y.low) / (frame->y.high - frame->y.low) *
               (FRAME_HEIGHT - FRAME_TOP - FRAME_BOTTOM);
}

double frame_step(FrameRange range)
{
    double rough = (range.high - range.low) / 4.0, power = pow(10.0, floor(log10(rough)));
    return rough / power >= 5.0 ? 5.0 * power : rough / power >= 2.0 ? 2.0 * power : power;
}

void frame_grid(const Frame *frame, bool percent)
{
    double step = frame_step(frame->y), first = ceil(frame->y.low / step);
    for (int i = 0; (first + i) * step <= frame->y.high && i < 20; i++) {
        double value = (first + i) * step, y = frame_y(frame, value);
        strbuf_printf(frame->out,
                      "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                      "text-anchor=\"end\">%.4g%s</text>\n",
                      FRAME_LEFT, y, FRAME_WIDTH - FRAME_RIGHT, FRAME_LEFT - 8, y + 4.5,
                      percent ? 100.0 * value : value, percent ? " %" : "");
    }
}

void frame_axis_name(const Frame *frame, const char *name)
{
    strbuf_printf(frame->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">",
                  FRAME_WIDTH - FRAME_RIGHT, FRAME_HEIGHT - 6);
    html_text(frame->out, name);
    strbuf_puts(frame->out, "</text>\n");
}
