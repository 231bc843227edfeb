/* The frozen table of a vocabulary: pictures of all tokens, principal components, unit rows. */
#ifndef CAMBIUM_EMBED_GLYPH_TABLE_H
#define CAMBIUM_EMBED_GLYPH_TABLE_H

#include "embed/identity.h"
#include "embed/pca.h"
#include "embed/render.h"

typedef struct GlyphTableOptions {
    RenderOptions render;
    int64_t dim;      /* width of the table, code columns included */
    int64_t identity; /* columns of the identity codes; 0: none */
} GlyphTableOptions;

typedef struct GlyphTable {
    uint8_t *pixels; /* (tokens, n_pixels) */
    int64_t n_pixels;
    float *values;   /* (tokens, dim); NULL until glyph_table_project */
    RowGroups alike; /* tokens that share a picture */
    PcaStats pca;
    double seconds_render, seconds_project;
} GlyphTable;

/* Draws all tokens and finds those that look the same. The caller clears the table, also after a
 * failure. */
Status glyph_table_draw(GlyphTable *table, const RenderOptions *render, const FontFiles *fonts,
                        const TokenizerSpec *tokens, Err *err);

/* Makes the values. Fails when the codes take up more than half of the columns. */
Status glyph_table_project(GlyphTable *table, const GlyphTableOptions *options,
                           const TokenizerSpec *tokens, Err *err);

void glyph_table_clear(GlyphTable *table);

#endif
