#include "embed/glyph_table.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

void glyph_table_clear(GlyphTable *table)
{
    free(table->pixels);
    free(table->values);
    row_groups_clear(&table->alike);
    pca_stats_clear(&table->pca);
    *table = (GlyphTable){0};
}

Status glyph_table_draw(GlyphTable *table, const RenderOptions *render, const FontFiles *fonts,
                        const TokenizerSpec *tokens, Err *err)
{
    *table = (GlyphTable){.n_pixels = (int64_t)render->side * render->side};
    double start = clock_seconds();
    void *memory;
    TRY(mem_try(&memory, (size_t)(tokens->n_tokens * table->n_pixels), "the tokens' pictures",
                err));
    table->pixels = memory;
    TRY(render_tokens(render, fonts, tokens, table->pixels, err));
    row_groups_find(&table->alike, table->pixels, tokens->n_tokens, table->n_pixels);
    table->seconds_render = clock_seconds() - start;
    return STATUS_OK;
}

Status glyph_table_project(GlyphTable *table, const GlyphTableOptions *options,
                           const TokenizerSpec *tokens, Err *err)
{
    if (options->identity < 0 || options->identity > IDENTITY_MAX ||
        options->identity > options->dim / 2)
        return err_usage(
            err,
            "%lld identity code columns in a table of %lld: take --identity-code from 0 "
            "to half of --dim, at most %d",
            (long long)options->identity, (long long)options->dim, IDENTITY_MAX);
    double start = clock_seconds();
    void *memory;
    float *codes = NULL;
    Status status = STATUS_OK;
    TRY_GOTO(mem_try(&memory, (size_t)(tokens->n_tokens * options->dim) * sizeof(float),
                     "the table", err));
    table->values = memory;
    if (options->identity > 0) {
        codes = xmalloc((size_t)(tokens->n_tokens * options->identity) * sizeof *codes);
        TRY_GOTO(identity_codes(&table->alike, tokens, options->identity, codes, err));
    }
    PcaInput in = {.pixels = table->pixels,
                   .rows = tokens->n_tokens,
                   .dim = table->n_pixels,
                   .d_out = options->dim,
                   .extra = codes,
                   .n_extra = options->identity};
    TRY_GOTO(pca_project(&in, table->values, &table->pca, err));
    table->seconds_project = clock_seconds() - start;
done:
    free(codes);
    return status;
}
