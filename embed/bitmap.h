/* Grey pictures of tokens and the steps of the published pipeline on them. Paper is 255 and ink is
 * 0, as in that pipeline, whose roundings are not symmetric. Each step does the arithmetic that
 * Pillow 9.4 does, so that the result is the same to the bit. A Bitmap belongs to one thread. */
#ifndef CAMBIUM_EMBED_BITMAP_H
#define CAMBIUM_EMBED_BITMAP_H

#include <stdint.h>

enum { BITMAP_PAPER = 255, BITMAP_INK = 0 };

typedef struct Bitmap {
    uint8_t *pixels;  /* (height, width), row-major */
    uint8_t *scratch; /* as large: steps that cannot work in place write here, then swap */
    int width, height;
    int64_t capacity; /* bytes of each of the two */
} Bitmap;

/* Blank paper of the given size; a zeroed Bitmap may be reset, memory is reused. */
void bitmap_reset(Bitmap *bitmap, int width, int height);
void bitmap_clear(Bitmap *bitmap);

/* Rotation by `degrees` about the centre, counter-clockwise, nearest neighbour; what turns in from
 * outside is paper. */
void bitmap_rotate(Bitmap *bitmap, double degrees);
void bitmap_shift(Bitmap *bitmap, int right, int down);

/* Ink at the given places (row * width + column, rising); those beyond the end are ignored. */
void bitmap_add_noise(Bitmap *bitmap, const int32_t *places, int64_t count);

/* Pillow's GaussianBlur, three passes of an extended box blur, in one direction at a time: only the
 * columns that are kept need the second. 0 <= radius < 8. */
void bitmap_blur_across(Bitmap *bitmap, float radius);
void bitmap_blur_down(Bitmap *bitmap, float radius);

/* Keeps every n-th column so that (height, n * side) becomes (height, side): what resizing a
 * two-colour image comes to. */
void bitmap_pick_columns(Bitmap *bitmap, int side);

/* `out` (height, width) is 1 where a pixel is at most 128, and 0 elsewhere. */
void bitmap_threshold(const Bitmap *bitmap, uint8_t *out);

/* Averages columns by area so that the width becomes `side`; narrower pictures are centred.
 * `out`: (height, side), 255 for full ink, 0 for paper. */
void bitmap_average_columns(const Bitmap *bitmap, int side, uint8_t *out);

#endif
