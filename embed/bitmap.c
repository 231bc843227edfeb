#include "embed/bitmap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/mem.h"

enum {
    BLOCK = 32,  /* pixels that the blur computes at a time: a fixed count, so that it vectorises */
    WINDOW = 17, /* the widest box, with the two pixels just outside */
    PASSES = 3,
};

void bitmap_reset(Bitmap *bitmap, int width, int height)
{
    int64_t bytes = (int64_t)width * height;
    if (bytes > bitmap->capacity) {
        bitmap->pixels = xrealloc(bitmap->pixels, (size_t)bytes + BLOCK);
        bitmap->scratch = xrealloc(bitmap->scratch, (size_t)bytes + BLOCK);
        bitmap->capacity = bytes;
    }
    bitmap->width = width;
    bitmap->height = height;
    memset(bitmap->pixels, BITMAP_PAPER, (size_t)bytes);
}

void bitmap_clear(Bitmap *bitmap)
{
    free(bitmap->pixels);
    free(bitmap->scratch);
    *bitmap = (Bitmap){0};
}

static void swap_scratch(Bitmap *bitmap)
{
    uint8_t *result = bitmap->scratch;
    bitmap->scratch = bitmap->pixels;
    bitmap->pixels = result;
}

static int32_t to_fixed(double value) /* 16.16 */
{
    return (int32_t)floor(value * 65536.0 + 0.5);
}

static double round_15(double value) /* Python's round(value, 15) */
{
    return round(value * 1e15) / 1e15;
}

/* The inverse map (a b c; d e f) takes a destination pixel's centre to its source. Pillow rounds
 * sine and cosine to 15 digits and walks in 16.16 fixed point. */
void bitmap_rotate(Bitmap *bitmap, double degrees)
{
    int width = bitmap->width, height = bitmap->height;
    double angle = -(degrees * (M_PI / 180.0)), cx = width / 2.0, cy = height / 2.0;
    double a = round_15(cos(angle)), b = round_15(sin(angle));
    double d = round_15(-sin(angle)), e = round_15(cos(angle));
    double c = a * -cx + b * -cy + cx, f = d * -cx + e * -cy + cy;
    int32_t step_x = to_fixed(a), step_y = to_fixed(d);
    int32_t row_x = to_fixed(c + a * 0.5 + b * 0.5), row_y = to_fixed(f + d * 0.5 + e * 0.5);
    for (int y = 0; y < height; y++) {
        int32_t x_in = row_x, y_in = row_y;
        for (int x = 0; x < width; x++) {
            int sx = x_in >> 16, sy = y_in >> 16;
            bool inside = sx >= 0 && sx < width && sy >= 0 && sy < height;
            bitmap->scratch[y * width + x] =
                inside ? bitmap->pixels[sy * width + sx] : BITMAP_PAPER;
            x_in += step_x;
            y_in += step_y;
        }
        row_x += to_fixed(b);
        row_y += to_fixed(e);
    }
    swap_scratch(bitmap);
}

void bitmap_shift(Bitmap *bitmap, int right, int down)
{
    int width = bitmap->width, height = bitmap->height;
    int kept = width - abs(right);
    memset(bitmap->scratch, BITMAP_PAPER, (size_t)width * (size_t)height);
    for (int y = down > 0 ? down : 0; kept > 0 && y < height && y - down < height; y++)
        memcpy(bitmap->scratch + y * width + (right > 0 ? right : 0),
               bitmap->pixels + (y - down) * width + (right < 0 ? -right : 0), (size_t)kept);
    swap_scratch(bitmap);
}

void bitmap_add_noise(Bitmap *bitmap, const int32_t *places, int64_t count)
{
    int32_t end = bitmap->width * bitmap->height;
    for (int64_t i = 0; i < count && places[i] < end; i++)
        bitmap->pixels[places[i]] = BITMAP_INK;
}

typedef struct Box {
    int whole;          /* pixels on each side that count fully */
    uint32_t near, far; /* weights of those and of the two just outside; 8.24 fixed point */
} Box;

/* Gwosdek, Grewenig, Bruhn and Weickert (2011): `passes` extended box blurs have the variance of
 * the Gaussian when the box's radius is l + a. Single precision, as in Pillow. */
static Box box_of(float radius)
{
    CHECK(radius >= 0 && radius < 8, "blur radius %g", (double)radius);
    float variance = radius * radius / PASSES;
    float length = (float)sqrt(12.0 * (double)variance + 1.0);
    float l = (float)floor(((double)length - 1.0) / 2.0);
    float a = (2 * l + 1) * (l * (l + 1) - 3 * variance);
    a /= 6 * (variance - (l + 1) * (l + 1));
    Box box = {.whole = (int)(l + a)};
    box.near = (uint32_t)((float)(1 << 24) / ((l + a) * 2 + 1));
    box.far = ((1u << 24) - (uint32_t)(box.whole * 2 + 1) * box.near) / 2;
    return box;
}

/* One pass: pixel x of `out` is the weighted mean of pixel x of the lines, which are the picture
 * moved by one pixel each. Writes whole blocks, so up to BLOCK - 1 bytes behind the line. */
static void blur_line(Box box, const uint8_t *const lines[WINDOW], int width, uint8_t *out)
{
    int last = 2 * box.whole + 2;
    for (int begin = 0; begin < width; begin += BLOCK) {
        uint32_t sum[BLOCK];
        for (int i = 0; i < BLOCK; i++)
            sum[i] =
                (1u << 23) + (lines[0][begin + i] + (uint32_t)lines[last][begin + i]) * box.far;
        for (int k = 1; k < last; k++)
            for (int i = 0; i < BLOCK; i++)
                sum[i] += lines[k][begin + i] * box.near;
        for (int i = 0; i < BLOCK; i++)
            out[begin + i] = (uint8_t)(sum[i] >> 24);
    }
}

void bitmap_blur_across(Bitmap *bitmap, float radius)
{
    Box box = box_of(radius);
    int width = bitmap->width, margin = box.whole + 1;
    uint8_t *padded = xcalloc((size_t)(width + 2 * margin + BLOCK), 1);
    const uint8_t *lines[WINDOW];
    for (int k = 0; k < 2 * margin + 1; k++)
        lines[k] = padded + k;
    for (int y = 0; y < bitmap->height; y++) {
        uint8_t *row = bitmap->scratch + y * width;
        memcpy(row, bitmap->pixels + y * width, (size_t)width);
        for (int pass = 0; pass < PASSES; pass++) {
            memset(padded, row[0], (size_t)margin);
            memcpy(padded + margin, row, (size_t)width);
            memset(padded + margin + width, row[width - 1], (size_t)margin);
            blur_line(box, lines, width, row);
        }
    }
    free(padded);
    swap_scratch(bitmap);
}

/* Rows are written in order, so that what a block writes behind its row is overwritten; the last
 * row has room behind it. */
void bitmap_blur_down(Bitmap *bitmap, float radius)
{
    Box box = box_of(radius);
    int width = bitmap->width, height = bitmap->height, margin = box.whole + 1;
    for (int pass = 0; pass < PASSES; pass++) {
        for (int y = 0; y < height; y++) {
            const uint8_t *lines[WINDOW];
            for (int k = 0; k < 2 * margin + 1; k++) {
                int row = y + k - margin;
                row = row < 0 ? 0 : row >= height ? height - 1 : row;
                lines[k] = bitmap->pixels + row * width;
            }
            blur_line(box, lines, width, bitmap->scratch + y * width);
        }
        swap_scratch(bitmap);
    }
}

/* The source of a pixel is under its centre, x + 1/2, times n. */
void bitmap_pick_columns(Bitmap *bitmap, int side)
{
    int width = bitmap->width, n = width / side;
    CHECK(n * side == width, "%d columns are not a multiple of %d", width, side);
    for (int y = 0; n > 1 && y < bitmap->height; y++)
        for (int x = 0, from = y * width + n / 2; x < side; x++, from += n)
            bitmap->pixels[y * side + x] = bitmap->pixels[from];
    bitmap->width = side;
}

void bitmap_threshold(const Bitmap *bitmap, uint8_t *out)
{
    int count = bitmap->width * bitmap->height;
    for (int i = 0; i < count; i++)
        out[i] = bitmap->pixels[i] <= 128;
}

/* Output column x covers the source from x * width to (x + 1) * width, in units of 1 / side
 * columns; integer arithmetic, so the result is exact and the same everywhere. */
void bitmap_average_columns(const Bitmap *bitmap, int side, uint8_t *out)
{
    int width = bitmap->width, height = bitmap->height;
    if (width <= side) {
        memset(out, 0, (size_t)side * (size_t)height);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                out[y * side + (side - width) / 2 + x] =
                    (uint8_t)(BITMAP_PAPER - bitmap->pixels[y * width + x]);
        return;
    }
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < side; x++) {
            int64_t begin = (int64_t)x * width, end = begin + width, ink = 0;
            for (int64_t column = begin / side; column * side < end; column++) {
                int64_t from = column * side < begin ? begin : column * side;
                int64_t to = (column + 1) * side > end ? end : (column + 1) * side;
                ink += (to - from) * (BITMAP_PAPER - bitmap->pixels[y * width + column]);
            }
            out[y * side + x] = (uint8_t)((ink + width / 2) / width);
        }
    }
}
