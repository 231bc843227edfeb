/* Drawing text: FreeType rasterises, HarfBuzz shapes (the published pipeline shapes too: it puts a
 * dotted circle under a lone combining mark, makes format characters invisible and takes a script's
 * own forms). Several font files act as one: a character is drawn from the first that has it.
 * A Font belongs to one thread; each worker opens its own on the same FontFiles. */
#ifndef CAMBIUM_EMBED_FONT_H
#define CAMBIUM_EMBED_FONT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "embed/bitmap.h"

/* Font files mapped into memory, shared by threads. */
typedef struct FontFiles {
    FileMap *maps;
    StringList paths; /* as they were given */
    int64_t *faces;   /* (paths) the face of each, as FreeType counts: instance << 16 | face */
} FontFiles;

/* Opens `paths`, or GNU Unifont (and its part for the astral planes) where Debian puts it when
 * `paths` is empty. FILE:2 is the third face of a collection, FILE:0.5 the fifth named instance of
 * a variable font. A font that has bitmaps of fixed sizes only is left out, with a warning. Fails
 * on a missing file, one that is no font, and where no font is left. */
Status font_files_open(FontFiles *files, const StringList *paths, Err *err);
void font_files_close(FontFiles *files);
Sha256 font_files_hash(const FontFiles *files); /* over the content of all */

/* "FreeType 2.12.1, HarfBuzz 6.0.0": other versions may draw a few pixels differently. Borrowed. */
const char *font_engines(void);

typedef struct Font Font;

/* `pixels` per em. Keeps `files` until font_close. */
Status font_open(Font **out, const FontFiles *files, int pixels, Err *err);
void font_close(Font *font);

bool font_covers(const Font *font, uint32_t code_point);
/* The height of the line in pixels: from the baseline up and (positive) down. */
void font_line(const Font *font, int *ascent, int *descent);

/* The box of shaped text in pixels around the pen's start, y upwards. It includes the pen's path
 * from 0 to the advance, so left <= 0 <= right and bottom <= 0 <= top. */
typedef struct FontBox {
    int left, right, top, bottom;
    int advance;
} FontBox;

/* Lays out `count` code points and remembers the glyphs for font_draw. */
Status font_shape(Font *font, const uint32_t *code_points, int count, FontBox *box, Err *err);

/* Draws what was shaped last with the pen starting at (x, y) of the bitmap, y downwards, clipped.
 */
Status font_draw(Font *font, Bitmap *bitmap, int x, int y, Err *err);

#endif
