/* From the settings of `cambium embed` to a table in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/json_put.h"
#include "core/io/table.h"
#include "embed/cmd_embed.h"
#include "embed/codes.h"
#include "embed/recipe_bvv241.h"
#include "embed/vocabulary.h"

enum { CAMBIUM_DIM = 1024, CAMBIUM_IDENTITY = 16, PUBLISHED_ID_BITS = 16 };

void embed_table_clear(EmbedTable *table)
{
    font_files_close(&table->fonts);
    tokenizer_free(table->tokenizer);
    glyph_table_clear(&table->glyphs);
    free(table->own_values);
    json_decref(table->recipe);
    json_decref(table->vocabulary_facts);
    json_decref(table->files);
    string_list_clear(&table->corpora);
    *table = (EmbedTable){0};
}

/* ---- choices -----------------------------------------------------------------------------------
 */

static bool is_codes(const EmbedSettings *settings)
{
    return strcmp(settings->recipe, "codes") == 0;
}

/* The recipe that the vocabulary comes from. */
static const char *vocabulary_recipe(const EmbedSettings *settings)
{
    return is_codes(settings) ? settings->vocabulary : settings->recipe;
}

static RenderOptions render_options(const char *recipe, int64_t side)
{
    const Bvv241Recipe *published = bvv241_find(recipe);
    return published ? published->render : (RenderOptions){.style = RENDER_LINE, .side = (int)side};
}

static Status check_settings(const EmbedSettings *settings, Err *err)
{
    if (settings->bits < 0 || settings->floats < 0)
        return err_usage(err, "--bits and --float are 0 or more");
    bool code_option = settings->bits > 0 || settings->floats > 0 || settings->affine;
    if (is_codes(settings) && !code_option)
        return err_usage(err, "the recipe codes needs one of --bits N, --float N and --affine");
    if (is_codes(settings) && settings->floats > 0 && (settings->bits > 0 || settings->affine))
        return err_usage(err, "--float goes neither with --bits nor with --affine: choose one");
    if (!is_codes(settings) && code_option)
        return err_usage(err, "--bits, --float and --affine belong to --recipe codes");
    if (settings->side < 8 || settings->side > 128)
        return err_usage(err, "pictures of %lld pixels: take --side from 8 to 128",
                         (long long)settings->side);
    if (settings->dim < 0 || settings->dim > 1 << 16)
        return err_usage(
            err, "a table of %lld columns: take --dim from 1 to 65536, or 0 for the usual width",
            (long long)settings->dim);
    if (!(settings->coverage >= 0 && settings->coverage <= 1))
        return err_usage(err, "a coverage of %g: take --coverage from 0 to 1", settings->coverage);
    if (settings->min_count < 1 || settings->max_chars < 1)
        return err_usage(err, "--min-count and --max-chars are at least 1");
    return STATUS_OK;
}

static CodeSpec code_spec(const EmbedSettings *settings, int64_t rows)
{
    CodeSpec spec = {CODE_BITS, rows, settings->bits, (uint64_t)settings->seed};
    if (settings->affine) {
        spec.kind = CODE_AFFINE;
        spec.width = settings->bits > 0 ? settings->bits : PUBLISHED_ID_BITS;
    } else if (settings->floats > 0) {
        spec.kind = CODE_FLOATS;
        spec.width = settings->floats;
    } else if (settings->bits <= PUBLISHED_ID_BITS) {
        spec.kind = CODE_ID;
    }
    return spec;
}

/* A published table has as many columns as its pictures have pixels. */
static int64_t table_dim(const EmbedSettings *settings)
{
    const Bvv241Recipe *published = bvv241_find(settings->recipe);
    if (settings->dim > 0)
        return settings->dim;
    return published ? published->render.side * published->render.side : CAMBIUM_DIM;
}

static int64_t identity_columns(const EmbedSettings *settings)
{
    if (settings->identity >= 0)
        return settings->identity;
    int64_t half = table_dim(settings) / 2;
    int64_t standard = half >= CAMBIUM_IDENTITY ? CAMBIUM_IDENTITY : half;
    return bvv241_find(settings->recipe) ? 0 : standard;
}

static VocabularyOptions vocabulary_options(const EmbedSettings *settings, EmbedTable *table)
{
    bool all_bmp = strcmp(settings->code_points, "font") == 0 ||
                   (strcmp(settings->code_points, "auto") == 0 && settings->corpora.count == 0);
    return (VocabularyOptions){.recipe = vocabulary_recipe(settings),
                               .ngrams = &settings->ngrams,
                               .corpora = &table->corpora,
                               .reading = corpus_options(&settings->corpus, &table->skips),
                               .corpus_bytes = settings->corpus_bytes,
                               .cambium = {.n_tokens = settings->vocab_size,
                                           .coverage = settings->coverage,
                                           .all_bmp = all_bmp,
                                           .min_count = settings->min_count,
                                           .max_chars = settings->max_chars}};
}

/* ---- the recipe as it stands in the file -------------------------------------------------------
 */

static json_t *base_names(const StringList *paths)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < paths->count; i++)
        json_array_append_new(list, json_name(file_base_name(paths->items[i])));
    return list;
}

static json_t *recipe_json(const EmbedSettings *settings, const EmbedTable *table)
{
    Sha256 font = font_files_hash(&table->fonts);
    char font_digits[SHA256_TEXT];
    hash_text(&font, font_digits);
    json_t *recipe = json_pack("{s:s, s:s}", "name", settings->recipe, "vocabulary",
                               table->tokens->name ? table->tokens->name : "");
    if (is_codes(settings)) {
        static const char *const kinds[] = {"id", "bits", "floats", "affine"};
        CodeSpec spec = code_spec(settings, table->tokens->n_tokens);
        json_object_set_new(recipe, "codes",
                            json_pack("{s:s, s:I, s:I}", "kind", kinds[spec.kind], "width",
                                      (json_int_t)spec.width, "seed", (json_int_t)spec.seed));
    } else {
        json_object_set_new(recipe, "dim", json_integer(table_dim(settings)));
        json_object_set_new(recipe, "side", json_integer(table->render.side));
        json_object_set_new(recipe, "identity_code", json_integer(identity_columns(settings)));
        json_object_set_new(recipe, "fonts", base_names(&table->fonts.paths));
        json_object_set_new(recipe, "font_sha256", json_string(font_digits));
        json_object_set_new(recipe, "drawn_by", json_string(font_engines()));
    }
    json_object_set_new(recipe, "ngrams", base_names(&settings->ngrams));
    json_object_set_new(recipe, "corpora", base_names(&settings->corpora));
    return recipe;
}

/* ---- building ----------------------------------------------------------------------------------
 */

/* Takes the content of `spec`. */
static Status take_spec(EmbedTable *table, TokenizerSpec *spec, Err *err)
{
    table->tokenizer = tokenizer_new(spec, err);
    if (!table->tokenizer)
        return STATUS_FAIL;
    table->tokens = tokenizer_spec(table->tokenizer);
    return STATUS_OK;
}

static Status take_vocabulary(const EmbedSettings *settings, EmbedTable *table, Err *err)
{
    double start = clock_seconds();
    TokenizerSpec spec;
    if (settings->tokenizer) {
        TRY(tokenizer_spec_load(settings->tokenizer, &spec, err));
        table->vocabulary_facts =
            json_pack("{s:o}", "from", json_name(file_base_name(settings->tokenizer)));
    } else {
        VocabularyOptions options = vocabulary_options(settings, table);
        TRY(vocabulary_build(&options, &table->fonts, &spec, &table->vocabulary_facts, err));
    }
    TRY(take_spec(table, &spec, err));
    table->seconds_vocabulary = clock_seconds() - start;
    return STATUS_OK;
}

static Status make_codes(const EmbedSettings *settings, EmbedTable *table, Err *err)
{
    CodeSpec spec = code_spec(settings, table->tokens->n_tokens);
    void *memory;
    TRY(mem_try(&memory, (size_t)(spec.rows * spec.width) * sizeof(float), "the codes", err));
    table->own_values = memory;
    TRY(codes_make(&spec, table->own_values, err));
    table->values = table->own_values;
    table->shape = tensor_2d(NULL, DTYPE_F32, spec.rows, spec.width);
    return STATUS_OK;
}

static Status make_glyphs(const EmbedSettings *settings, EmbedTable *table, Err *err)
{
    int64_t dim = table_dim(settings);
    GlyphTableOptions options = {table->render, dim, identity_columns(settings)};
    log_debug("drawing %lld tokens", (long long)table->tokens->n_tokens);
    TRY(glyph_table_draw(&table->glyphs, &table->render, &table->fonts, table->tokens, err));
    log_debug("projecting to %lld columns", (long long)dim);
    TRY(glyph_table_project(&table->glyphs, &options, table->tokens, err));
    table->values = table->glyphs.values;
    table->shape = tensor_2d(NULL, DTYPE_F32, table->tokens->n_tokens, dim);
    int64_t zero = dim - options.identity - table->glyphs.pca.kept;
    if (zero > 0 && table->render.style == RENDER_LINE)
        log_info(
            "%lld of %lld columns are zero: the pictures have only %lld independent components "
            "(a larger --side has more)",
            (long long)zero, (long long)dim, (long long)table->glyphs.pca.rank);
    return STATUS_OK;
}

/* Tokens whose row another token has too: none for codes and for the recipe cambium. */
static void count_same_rows(EmbedTable *table)
{
    RowGroups groups;
    row_groups_find(&groups, table->values, table->shape.shape[0],
                    table->shape.shape[1] * (int64_t)sizeof(float));
    table->same_rows = groups.starts[groups.n_groups];
    row_groups_clear(&groups);
}

Status embed_build(const EmbedSettings *settings, EmbedTable *table, Err *err)
{
    TRY(check_settings(settings, err));
    TRY(font_files_open(&table->fonts, &settings->fonts, err));
    TRY(take_vocabulary(settings, table, err));
    table->render = render_options(settings->recipe, settings->side);
    if (is_codes(settings)) {
        TRY(make_codes(settings, table, err));
        if (settings->preview || settings->neighbours)
            TRY(glyph_table_draw(&table->glyphs, &table->render, &table->fonts, table->tokens,
                                 err));
    } else {
        TRY(make_glyphs(settings, table, err));
    }
    count_same_rows(table);
    if (table->same_rows > 0 && settings->identity != 0 && !bvv241_find(settings->recipe))
        return err_set(err,
                       "%lld tokens would share their row of %lld columns with another token: take "
                       "a larger --dim",
                       (long long)table->same_rows, (long long)table->shape.shape[1]);
    table->recipe = recipe_json(settings, table);
    return STATUS_OK;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static Status read_values(const Container *container, EmbedTable *table, Err *err)
{
    TRY(container_shape(container, "/embedding", &table->shape, err));
    if (table->shape.n_dims != 2 || table->shape.shape[0] != table->tokens->n_tokens)
        return err_set(err, "%s: the table does not have a row per token; build it anew",
                       container_file(container));
    int64_t count = tensor_count(&table->shape);
    void *raw, *memory;
    TRY(mem_try(&raw, (size_t)count * dtype_bytes(table->shape.dtype), "the table", err));
    Status status = container_read(container, "/embedding", &table->shape, raw, err);
    if (status == STATUS_OK)
        status = mem_try(&memory, (size_t)count * sizeof(float), "the table", err);
    if (status == STATUS_OK) {
        table->own_values = memory;
        for (int64_t i = 0; i < count; i++)
            table->own_values[i] = table->shape.dtype == DTYPE_F32 ? ((float *)raw)[i]
                                   : table->shape.dtype == DTYPE_BF16
                                       ? bf16_to_f32(((uint16_t *)raw)[i])
                                       : (float)((uint8_t *)raw)[i];
        table->values = table->own_values;
    }
    free(raw);
    return status;
}

Status embed_read(const EmbedSettings *settings, const char *path, EmbedTable *table, Err *err)
{
    Container *container;
    json_t *meta = NULL;
    TableInfo info;
    Status status = STATUS_OK;
    TRY(container_open(&container, path, err));
    TRY_GOTO(table_info_read(container, &info, &meta, err));
    TokenizerSpec spec;
    TRY_GOTO(tokenizer_spec_read(container, &spec, err));
    TRY_GOTO(take_spec(table, &spec, err));
    TRY_GOTO(read_values(container, table, err));
    TRY_GOTO(font_files_open(&table->fonts, &settings->fonts, err));
    const char *name = json_string_value(json_object_get(info.recipe, "name"));
    json_int_t side = json_integer_value(json_object_get(info.recipe, "side"));
    table->render = render_options(name ? name : "", side >= 8 && side <= 128 ? side : 32);
    TRY_GOTO(glyph_table_draw(&table->glyphs, &table->render, &table->fonts, table->tokens, err));
    table->recipe = json_incref(info.recipe);
    count_same_rows(table);
done:
    json_decref(meta);
    container_close(container);
    return status;
}

/* ---- planning ----------------------------------------------------------------------------------
 */

Status embed_plan(const EmbedSettings *settings, Err *err)
{
    TRY(check_settings(settings, err));
    const Bvv241Recipe *published = bvv241_find(vocabulary_recipe(settings));
    int64_t rows = published ? published->n_tokens : settings->vocab_size;
    int64_t width = is_codes(settings) ? code_spec(settings, rows).width : table_dim(settings);
    RenderOptions render = render_options(settings->recipe, settings->side);
    double pixels = (double)rows * render.side * render.side,
           values = 4.0 * (double)rows * (double)width;
    double square = (double)render.side * render.side;
    printf("recipe      %s\n", settings->recipe);
    if (settings->tokenizer)
        printf("vocabulary  that of %s\n", settings->tokenizer);
    else
        printf("vocabulary  %s, %s%lld tokens\n", vocabulary_recipe(settings),
               published ? "" : "at most ", (long long)rows);
    if (!is_codes(settings))
        printf("pictures    %d x %d pixels, %.0f MB\n", render.side, render.side, pixels / 1e6);
    printf("table       %lld x %lld, %.0f MB\n", (long long)rows, (long long)width, values / 1e6);
    if (!is_codes(settings)) /* the covariance and its eigenvectors, in double precision */
        printf("memory      about %.0f MB\n", (pixels + values + 24 * square * square) / 1e6);
    printf("file        %s\n", settings->output ? settings->output : "none (no --output)");
    return STATUS_OK;
}
