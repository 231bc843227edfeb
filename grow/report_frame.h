/* The frame of a drawing in a report: where values stand, and lines with numbers across it. */
#ifndef CAMBIUM_GROW_REPORT_FRAME_H
#define CAMBIUM_GROW_REPORT_FRAME_H

#include <stdbool.h>

#include "core/base/strbuf.h"

/* In the units of the view box: its size, and what is left around the drawn area. */
enum { FRAME_WIDTH = 640, FRAME_HEIGHT = 340 };
enum { FRAME_LEFT = 62, FRAME_RIGHT = 28, FRAME_TOP = 28, FRAME_BOTTOM = 46 };
/* Labels whose middles are nearer than that would overlap. */
enum { FRAME_LABEL = 64 };

typedef struct FrameRange {
    double low, high; /* low < high; NaN both: empty */
} FrameRange;

typedef struct Frame {
    FrameRange x, y;
    StrBuf *out;
} Frame;

/* Widens the range so that the value is in it; NaN changes nothing. */
void frame_include(FrameRange *range, double value);
/* Leaves some room on both sides of values that are known to be in a range. */
void frame_loosen(FrameRange *range);

double frame_x(const Frame *frame, double value);
double frame_y(const Frame *frame, double value);

/* A step of 1, 2 or 5 times a power of ten that divides the range into four to nine. */
double frame_step(FrameRange range);

/* Lines across at round values of y, each with its number, times 100 for `percent`. */
void frame_grid(const Frame *frame, bool percent);
/* What x counts, below the right end. */
void frame_axis_name(const Frame *frame, const char *name);

#endif
