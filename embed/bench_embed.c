/* The frozen table from the vocabulary to the values: drawing, principal components, memory. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/bench.h"
#include "core/io/tokenizer_io.h"
#include "embed/glyph_table.h"
#include "embed/recipe_bvv241.h"
#include "embed/sample_text.h"

enum { VOCABULARY = 65536, SIDE = 32, DIM = 1024, IDENTITY = 16 };

typedef struct EmbedTimes {
    BenchTimes draw, covariance, eigen, projection, whole;
} EmbedTimes;

/* A published vocabulary is drawn as published, any other as the recipe cambium draws. */
static GlyphTableOptions options_for(const TokenizerSpec *tokens)
{
    const Bvv241Recipe *published = bvv241_find(tokens->name ? tokens->name : "");
    if (published)
        return (GlyphTableOptions){.render = published->render,
                                   .dim = published->render.side * published->render.side};
    return (GlyphTableOptions){{.style = RENDER_LINE, .side = SIDE}, DIM, IDENTITY};
}

static Status once(const TokenizerSpec *tokens, const FontFiles *fonts, EmbedTimes *times, Err *err)
{
    GlyphTableOptions options = options_for(tokens);
    GlyphTable table = {0};
    double start = clock_seconds();
    Status status = glyph_table_draw(&table, &options.render, fonts, tokens, err);
    if (status == STATUS_OK)
        status = glyph_table_project(&table, &options, tokens, err);
    bench_time_add(&times->whole, clock_seconds() - start);
    bench_time_add(&times->draw, table.seconds_render);
    bench_time_add(&times->covariance, table.pca.seconds_covariance);
    bench_time_add(&times->eigen, table.pca.seconds_eigen);
    bench_time_add(&times->projection, table.pca.seconds_projection);
    glyph_table_clear(&table);
    return status;
}

static Status measure(const BenchRun *how, const FontFiles *fonts, EmbedTimes *times,
                      BenchResult *result, Err *err)
{
    Tokenizer *tokenizer;
    if (how->path) {
        TokenizerSpec spec;
        TRY(tokenizer_spec_load(how->path, &spec, err));
        tokenizer = tokenizer_new(&spec, err);
        if (!tokenizer)
            return err_wrap(err, "%s", how->path);
    } else {
        TRY(sample_tokenizer(&tokenizer, fonts, VOCABULARY, err));
    }
    const TokenizerSpec *tokens = tokenizer_spec(tokenizer);
    Status status = STATUS_OK;
    bench_reset_peak();
    double end = clock_seconds() + how->seconds;
    while (status == STATUS_OK && (times->whole.count < 3 || clock_seconds() < end))
        status = once(tokens, fonts, times, err);
    if (status == STATUS_OK) {
        double n = (double)tokens->n_tokens;
        bench_put(result, "tokens", n, "");
        bench_put(result, "drawn_per_second", n / bench_median(&times->draw), "tokens/s");
        bench_put(result, "covariance_seconds", bench_median(&times->covariance), "s");
        bench_put(result, "eigen_seconds", bench_median(&times->eigen), "s");
        bench_put(result, "projection_seconds", bench_median(&times->projection), "s");
        bench_put(result, "whole_seconds", bench_median(&times->whole), "s");
        bench_put(result, "peak_gb", bench_peak_bytes() * 1e-9, "GB");
    }
    tokenizer_free(tokenizer);
    return status;
}

static Status embed(const BenchRun *how, BenchResult *result, Err *err)
{
    FontFiles fonts = {0};
    StringList standard = {0};
    TRY(font_files_open(&fonts, &standard, err));
    EmbedTimes *times = xcalloc(1, sizeof *times);
    Status status = measure(how, &fonts, times, result, err);
    free(times);
    font_files_close(&fonts);
    return status;
}

const Bench bench_embed[] = {
    {"embed", "the frozen table of 65,536 tokens, or of those of --model", embed},
    {0},
};
