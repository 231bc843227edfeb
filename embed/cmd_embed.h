/* The settings of `cambium embed`, shared by the files that carry it out. */
#ifndef CAMBIUM_EMBED_CMD_EMBED_H
#define CAMBIUM_EMBED_CMD_EMBED_H

#include <jansson.h>

#include "core/cli/corpus_options.h"
#include "core/tensor/tensor.h"
#include "core/text/tokenizer.h"
#include "embed/font.h"
#include "embed/glyph_table.h"

typedef struct EmbedSettings {
    char *recipe, *vocabulary, *tokenizer, *code_points, *output, *preview, *neighbours;
    StringList ngrams, corpora, fonts, measure;
    int64_t corpus_bytes, vocab_size, min_count, max_chars, dim, side, identity, bits, floats, seed;
    double coverage;
    CorpusSettings corpus;
    bool affine, collisions, dry_run, json;
} EmbedSettings;

/* A table that was built or read, and what is known of it. */
typedef struct EmbedTable {
    FontFiles fonts;
    Tokenizer *tokenizer;
    const TokenizerSpec *tokens; /* the tokenizer's */
    RenderOptions render;
    GlyphTable glyphs;   /* pictures; for glyph recipes the values too */
    float *own_values;   /* of codes and of tables that were read; else NULL */
    Tensor shape;        /* (tokens, dim) of what is written */
    const float *values; /* (tokens, dim) */
    json_t *recipe, *vocabulary_facts, *files;
    StringList corpora; /* files that the settings' corpora mean */
    CorpusSkips skips;  /* of them */
    double seconds_vocabulary;
    int64_t same_rows; /* tokens whose rows are not their own */
} EmbedTable;

void embed_table_clear(EmbedTable *table);

/* Makes everything up to the values. */
Status embed_build(const EmbedSettings *settings, EmbedTable *table, Err *err);
/* The same from a table file; the pictures are drawn again. */
Status embed_read(const EmbedSettings *settings, const char *path, EmbedTable *table, Err *err);
/* What would be done, on stdout. */
Status embed_plan(const EmbedSettings *settings, Err *err);

#endif
