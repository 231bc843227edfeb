/* Pictures of all tokens of a vocabulary, in parallel. Two styles:
 *
 * RENDER_CELLS, the published one: every character in a cell of its own, text in Latin, Greek,
 * Cyrillic and Armenian slightly turned, shifted and blurred, all sprinkled with ink, thresholded,
 * and the columns of longer tokens dropped. Pixels are 0 or 1.
 *
 * RENDER_LINE, our own: the token as a line of shaped text on its baseline, squeezed to a square by
 * averaging columns, so nothing is dropped. Pixels are grey, 0 to 255. Tokens that are no text
 * (specials, bytes, unused) show a pattern drawn from a hash of their name instead. */
#ifndef CAMBIUM_EMBED_RENDER_H
#define CAMBIUM_EMBED_RENDER_H

#include <stdint.h>

#include "core/base/err.h"
#include "core/text/tokenizer.h"
#include "embed/font.h"

typedef enum RenderStyle { RENDER_CELLS, RENDER_LINE } RenderStyle;

typedef struct RenderOptions {
    RenderStyle style;
    int side;            /* of the picture in pixels */
    double max_rotation; /* RENDER_CELLS: degrees, of the "easy" scripts */
    int max_shift;       /* pixels, likewise */
    double easy_noise;   /* probability of ink per pixel, likewise */
} RenderOptions;

/* RENDER_CELLS: what the seed 42 makes of the bounds above. */
typedef struct RenderTurn {
    double degrees;
    int right, down;
} RenderTurn;
RenderTurn render_turn(const RenderOptions *options);

/* Token i of `tokens` becomes row i of `out` (n_tokens, side * side), row-major pixels. The result
 * does not depend on the number of threads. Fails on a damaged font, STATUS_STOPPED on a wish to
 * stop. */
Status render_tokens(const RenderOptions *options, const FontFiles *fonts,
                     const TokenizerSpec *tokens, uint8_t *out, Err *err);

#endif
