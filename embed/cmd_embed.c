/* `cambium embed`: vocabulary, tokenizer and frozen table in one file. */
#include "embed/cmd_embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/corpus_list.h"
#include "core/io/table.h"
#include "embed/preview.h"
#include "embed/report.h"
#include "embed/vocabulary.h"

enum { MEASURE_BYTES = 4 << 20, GROUPS_SHOWN = 30 };

#define FIELD(name) offsetof(EmbedSettings, name)

static const Option embed_options[] = {
    {"recipe", OPTION_CHOICE, FIELD(recipe), "NAME", "cambium", "how the table is made",
     "cambium|bvv241-2-3|bvv241-max|bvv241-abs|codes", 0, NULL},
    {"output", OPTION_OUTPUT, FIELD(output), "FILE.h5", NULL, "write the table and its tokenizer",
     NULL, 'o', NULL},
    {"dim", OPTION_INT, FIELD(dim), "N", "0",
     "columns of the table; 0: 1024, and for bvv241-abs 4096 as published", NULL, 0, NULL},
    {"identity-code", OPTION_INT, FIELD(identity), "N", "-1",
     "of these, columns that tell tokens of one picture apart; 0: none, -1: 16 for cambium and 0 "
     "for the published recipes",
     "-1..", 0, NULL},
    {"font", OPTION_INPUTS, FIELD(fonts), "FILE", NULL,
     "draw with this font; several: the first that has a character (default: GNU Unifont); "
     "FILE:2 is the third face of a collection, FILE:0.5 the fifth instance of a variable font",
     NULL, 0, "Pictures"},
    {"side", OPTION_INT, FIELD(side), "N", "32", "pixels of a picture's side (recipe cambium)",
     NULL, 0, NULL},
    {"ngrams", OPTION_INPUTS, FIELD(ngrams), "FILE", NULL, "a list of n-grams, as published", NULL,
     0, "Vocabulary"},
    {"corpus", OPTION_INPUTS, FIELD(corpora), "PATH", NULL,
     "learn from this text file, .jsonl, packed file or folder of them (recipe cambium)", NULL, 0,
     NULL},
    CORPUS_OPTIONS(EmbedSettings, corpus),
    {"corpus-bytes", OPTION_INT, FIELD(corpus_bytes), "N", "0",
     "read at most N bytes of each corpus file; 0: all", "0..", 0, NULL},
    {"vocab-size", OPTION_INT, FIELD(vocab_size), "N", "65536", "tokens (recipe cambium)", "1..", 0,
     NULL},
    {"code-points", OPTION_CHOICE, FIELD(code_points), "WHICH", "auto",
     "single characters: the frequent ones of the corpora, or also the whole Basic Multilingual "
     "Plane of the font; auto: font when there is no corpus",
     "auto|corpus|font", 0, NULL},
    {"coverage", OPTION_REAL, FIELD(coverage), "X", "0.9995",
     "share of the corpora's characters that get tokens, the rest is spelt in bytes", NULL, 0,
     NULL},
    {"min-count", OPTION_INT, FIELD(min_count), "N", "2", "do not join rarer pairs", NULL, 0, NULL},
    {"max-chars", OPTION_INT, FIELD(max_chars), "N", "24", "longest token in characters", NULL, 0,
     NULL},
    {"tokenizer", OPTION_INPUT, FIELD(tokenizer), "FILE", NULL,
     "take the vocabulary of this table, checkpoint or tokenizer.json instead", NULL, 0, NULL},
    {"vocabulary", OPTION_CHOICE, FIELD(vocabulary), "NAME", "cambium",
     "the recipe whose vocabulary the codes are for", "cambium|bvv241-2-3|bvv241-max", 0, "Codes"},
    {"bits", OPTION_INT, FIELD(bits), "N", "0",
     "N random bits a token; up to 16: the bits of the token's id", NULL, 0, NULL},
    {"float", OPTION_INT, FIELD(floats), "N", "0", "N random numbers a token, of unit length", NULL,
     0, NULL},
    {"affine", OPTION_FLAG, FIELD(affine), NULL, NULL,
     "the bits of the id through a random affine map (--bits N of them, or 16)", NULL, 0, NULL},
    {"seed", OPTION_INT, FIELD(seed), "N", "42", "of the random codes", NULL, 0, NULL},
    {"preview", OPTION_OUTPUT, FIELD(preview), "FILE.png", NULL, "write a sheet of pictures", NULL,
     0, "Looking"},
    {"neighbours", OPTION_TEXT, FIELD(neighbours), "TOKENS", NULL,
     "show the nearest tokens of each of these (separated by spaces; _the is the token with a "
     "space "
     "before it)",
     NULL, 0, NULL},
    {"collisions", OPTION_FLAG, FIELD(collisions), NULL, NULL,
     "list the tokens that share a picture", NULL, 0, NULL},
    {"measure", OPTION_INPUTS, FIELD(measure), "PATH", NULL,
     "count characters per token on these texts (the first 4 MiB of each file)", NULL, 0, NULL},
    {"dry-run", OPTION_FLAG, FIELD(dry_run), NULL, NULL, "print the plan and stop", NULL, 0, NULL},
    {"json", OPTION_FLAG, FIELD(json), NULL, NULL, "print the results as JSON", NULL, 0, NULL},
    {0},
};

static bool has_standard_input(const StringList *list)
{
    for (int64_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], "-") == 0)
            return true;
    return false;
}

/* How the tokenizer does on the given texts; the corpora are measured too, they are at hand. But
 * what standard input had is gone once a vocabulary was made of it. */
static Status measure_files(const EmbedSettings *settings, EmbedTable *table, Err *err)
{
    CorpusSkips skips = {0}; /* those of the corpora are told already */
    CorpusOptions reading = corpus_options(&settings->corpus, &skips);
    StringList files = {0};
    Status status = STATUS_OK;
    table->files = json_array();
    for (int64_t i = 0; i < table->corpora.count; i++)
        if (settings->tokenizer || strcmp(table->corpora.items[i], "-") != 0)
            string_list_add(&files, table->corpora.items[i]);
    TRY_GOTO(corpus_list(&settings->measure, &files, err));
    for (int64_t i = 0; i < files.count; i++) {
        json_t *file;
        TRY_GOTO(
            report_file(table->tokenizer, files.items[i], &reading, MEASURE_BYTES, &file, err));
        json_array_append_new(table->files, file);
    }
done:
    string_list_clear(&files);
    return status;
}

static json_t *statistics_json(const EmbedTable *table)
{
    const RowGroups *alike = &table->glyphs.alike;
    json_t *statistics = json_pack("{s:I, s:O?, s:O?}", "same_rows", (json_int_t)table->same_rows,
                                   "vocabulary", table->vocabulary_facts, "files", table->files);
    if (table->glyphs.pixels)
        json_object_set_new(statistics, "alike",
                            json_pack("{s:I, s:I}", "groups", (json_int_t)alike->n_groups, "tokens",
                                      (json_int_t)alike->starts[alike->n_groups]));
    const PcaStats *pca = &table->glyphs.pca;
    if (pca->variance)
        json_object_set_new(statistics, "pca",
                            json_pack("{s:I, s:I, s:I, s:f}", "rank", (json_int_t)pca->rank, "kept",
                                      (json_int_t)pca->kept, "zero_rows",
                                      (json_int_t)pca->zero_rows, "explained", pca->explained));
    return statistics;
}

/* Bits are stored as bytes: their file is a quarter of the size and the hash is the same. */
static Status write_table(const EmbedSettings *settings, const EmbedTable *table, Err *err)
{
    const json_t *codes = json_object_get(table->recipe, "codes");
    const char *kind = json_string_value(json_object_get(codes, "kind"));
    int64_t count = tensor_count(&table->shape);
    uint8_t *bits = NULL;
    const PcaStats *pca = &table->glyphs.pca;
    PictureBasis pictures = {.side = table->render.side,
                             .kept = pca->kept,
                             .rows = table->tokens->n_tokens,
                             .mean = pca->mean,
                             .components = pca->components,
                             .lengths = pca->lengths};
    TableSave save = {.path = settings->output,
                      .tokenizer = table->tokens,
                      .shape = table->shape,
                      .values = table->values,
                      .recipe = table->recipe,
                      .pictures = pca->components ? &pictures : NULL};
    if (kind && strcmp(kind, "floats") != 0) {
        bits = xmalloc((size_t)count);
        for (int64_t i = 0; i < count; i++)
            bits[i] = table->values[i] != 0;
        save.shape.dtype = DTYPE_U8;
        save.values = bits;
    }
    json_t *statistics = statistics_json(table);
    save.statistics = statistics;
    Status status = table_save(&save, err);
    json_decref(statistics);
    free(bits);
    return status;
}

static void print_report(const EmbedSettings *settings, const EmbedTable *table, const char *hash,
                         double seconds_written)
{
    const GlyphTable *glyphs = &table->glyphs;
    const char *name = json_string_value(json_object_get(table->recipe, "name"));
    printf("recipe      %s\n", name ? name : "unknown");
    printf("vocabulary  %lld tokens, %lld merges", (long long)table->tokens->n_tokens,
           (long long)table->tokens->n_merges);
    const char *key;
    json_t *value;
    json_object_foreach(table->vocabulary_facts, key, value)
    {
        if (json_is_real(value))
            printf(", %s %.4f", key, json_real_value(value));
        else if (json_is_integer(value) && strcmp(key, "merges") != 0)
            printf(", %s %lld", key, (long long)json_integer_value(value));
    }
    printf("\n");
    if (glyphs->pixels)
        printf("pictures    %d x %d pixels; %lld tokens in %lld groups look alike\n",
               table->render.side, table->render.side,
               (long long)glyphs->alike.starts[glyphs->alike.n_groups],
               (long long)glyphs->alike.n_groups);
    printf("table       %lld x %lld", (long long)table->shape.shape[0],
           (long long)table->shape.shape[1]);
    if (glyphs->pca.variance)
        printf(", rank %lld, %.2f %% of the variance kept", (long long)glyphs->pca.rank,
               100 * glyphs->pca.explained);
    printf("; %lld tokens share a row\n", (long long)table->same_rows);
    printf("sha256      %s\n", hash);
    if (settings->output)
        printf("written     %s\n", settings->output);
    if (glyphs->pca.variance)
        printf("seconds     vocabulary %.2f, pictures %.2f, projection %.2f, writing %.2f\n",
               table->seconds_vocabulary, glyphs->seconds_render, glyphs->seconds_project,
               seconds_written);
    if (json_array_size(table->files) > 0)
        report_files_print(table->files);
    if (settings->collisions && glyphs->pixels)
        report_alike_print(&glyphs->alike, table->tokens, GROUPS_SHOWN);
}

/* Pictures and numbers after the table is there; `json` is NULL for people. */
static Status look(const EmbedSettings *settings, const EmbedTable *table, json_t *json, Err *err)
{
    Pictures pictures = {.tokens = table->tokens,
                         .pixels = table->glyphs.pixels,
                         .side = table->render.side,
                         .ink = table->render.style == RENDER_CELLS ? 1 : 255,
                         .values = table->values,
                         .dim = table->shape.shape[1]};
    if (settings->preview)
        TRY(preview_sheet(&pictures, settings->preview, err));
    if (!settings->neighbours)
        return STATUS_OK;
    json_t *list = json ? json_array() : NULL;
    if (json)
        json_object_set_new(json, "neighbours", list);
    return preview_neighbours(&pictures, settings->neighbours, list, err);
}

static Status show(const EmbedSettings *settings, const EmbedTable *table, double seconds_written,
                   Err *err)
{
    int64_t count = tensor_count(&table->shape);
    Sha256 hash = table_hash(table->values, DTYPE_F32, count);
    char digits[SHA256_TEXT];
    hash_text(&hash, digits);
    if (!settings->json) {
        print_report(settings, table, digits, seconds_written);
        return look(settings, table, NULL, err);
    }
    json_t *json = statistics_json(table);
    json_object_set(json, "recipe", table->recipe);
    json_object_set_new(json, "sha256", json_string(digits));
    json_object_set_new(json, "tokens", json_integer(table->shape.shape[0]));
    json_object_set_new(json, "dim", json_integer(table->shape.shape[1]));
    if (settings->collisions && table->glyphs.pixels)
        json_object_set_new(json, "collisions", report_alike_json(&table->glyphs.alike));
    Status status = look(settings, table, json, err);
    if (status == STATUS_OK) {
        json_dumpf(json, stdout, JSON_COMPACT);
        printf("\n");
    }
    json_decref(json);
    return status;
}

static Status embed_run(const void *any, const StringList *positionals, Err *err)
{
    const EmbedSettings *settings = any;
    const char *input = positionals->count > 0 ? positionals->items[0] : NULL;
    if (settings->dry_run && !input)
        return embed_plan(settings, err);
    if (input && settings->output)
        return err_usage(err,
                         "%s is only looked at: leave out --output, or take its vocabulary with "
                         "--tokenizer %s",
                         input, input);
    if (settings->output)
        TRY(file_check_target(settings->output, err));
    if (settings->preview)
        TRY(file_check_target(settings->preview, err));
    if (has_standard_input(&settings->corpora) && has_standard_input(&settings->measure))
        return err_usage(err, "--corpus - and --measure -: standard input can be read once; name a "
                              "file in one of them");
    EmbedTable table = {0};
    Status status = STATUS_OK;
    double seconds_written = 0;
    TRY_GOTO(corpus_list(&settings->corpora, &table.corpora, err));
    if (settings->output)
        TRY_GOTO(file_check_target(settings->output, err)); /* a folder has told its files */
    TRY_GOTO(input ? embed_read(settings, input, &table, err) : embed_build(settings, &table, err));
    corpus_skips_tell(&table.skips);
    TRY_GOTO(measure_files(settings, &table, err));
    if (settings->output) {
        double start = clock_seconds();
        TRY_GOTO(write_table(settings, &table, err));
        seconds_written = clock_seconds() - start;
    }
    TRY_GOTO(show(settings, &table, seconds_written, err));
done:
    embed_table_clear(&table);
    return status;
}

const Verb verb_embed = {
    .name = "embed",
    .summary = "render a vocabulary into the frozen table that models share",
    .positionals = "[TABLE.h5]",
    .positionals_max = 1,
    .details = "Builds a vocabulary, its tokenizer and the frozen table, or looks at TABLE.h5.",
    .examples =
        {
            "embed --corpus ru.txt --corpus zh.txt --vocab-size 8192 --dim 384 -o table.h5",
            "embed --recipe bvv241-2-3 --ngrams _n-gramms-2-3.txt -o table.h5",
            "embed table.h5 --preview table.png --neighbours 'ж 中 _the'",
        },
    .options = embed_options,
    .settings_size = sizeof(EmbedSettings),
    .run = embed_run,
};
