#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/text/token_index.h"
#include "embed/glyph_table.h"
#include "embed/recipe_bvv241.h"
#include "embed/recipe_cambium.h"
#include "tests/support/data_file.h"
#include "tests/support/spec_builder.h"

static const char sample[] =
    "The cat sat on the mat; the cat was fat. The rat sat on the cat.\n"
    "\xD0\x9A\xD0\xBE\xD1\x82 \xD1\x81\xD0\xB8\xD0\xB4\xD0\xB5\xD0\xBB \xD0\xBD\xD0\xB0 "
    "\xD0\xBA\xD0\xBE\xD0\xB2\xD1\x80\xD0\xB5, \xD0\xBA\xD0\xBE\xD1\x82 "
    "\xD1\x81\xD0\xB8\xD0\xB4\xD0\xB5\xD0\xBB.\n"
    "\xE7\x8C\xAB\xE5\x9D\x90\xE5\x9C\xA8\xE5\x9E\xAB\xE5\xAD\x90\xE4\xB8\x8A\xE3\x80\x82"
    "\xE7\x8C\xAB\xE5\x9D\x90\xE5\x9C\xA8\xE5\xA4\x96\xE9\x9D\xA2\xE3\x80\x82 \xF0\x9F\x98\x80\n";

static bool open_fonts(FontFiles *fonts)
{
    Err err;
    if (font_files_open(fonts, &(StringList){0}, &err) == STATUS_OK)
        return true;
    print_message("SKIP: %s\n", err.text);
    return false;
}

static CambiumStats build(const FontFiles *fonts, const CambiumOptions *options, const char *text,
                          TokenizerSpec *spec)
{
    Err err;
    Font *font;
    CambiumStats stats;
    BpeWords *words = bpe_words_new(cambium_pattern, &err);
    assert_non_null(words);
    bpe_words_add_text(words, text, (int64_t)strlen(text));
    assert_int_equal(font_open(&font, fonts, 16, &err), STATUS_OK);
    if (cambium_build(options, words, font, spec, &stats, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    font_close(font);
    bpe_words_free(words);
    return stats;
}

static int32_t find(const TokenizerSpec *spec, const char *text)
{
    TokenIndex index;
    token_index_init(&index, spec);
    int32_t id = token_index_find(&index, spec, text, (int64_t)strlen(text));
    token_index_clear(&index);
    return id;
}

static void vocabulary_of_a_text(void **state)
{
    (void)state;
    FontFiles fonts;
    if (!open_fonts(&fonts))
        skip();
    TokenizerSpec spec;
    CambiumOptions options = {600, 1.0, false, 2, 24};
    CambiumStats stats = build(&fonts, &options, sample, &spec);
    assert_int_equal(spec.n_tokens, 600); /* the font fills what the text leaves over */
    assert_true(stats.n_merged > 10 && stats.n_filled > 100);
    assert_true(stats.covered == 1.0);
    assert_int_equal(find(&spec, "<pad>"), spec.pad);
    assert_true(find(&spec, " cat") >= 0);
    assert_true(find(&spec, " sat") >= 0);
    assert_true(find(&spec, "\xE7\x8C\xAB\xE5\x9D\x90\xE5\x9C\xA8") >= 0);
    assert_true(find(&spec, "\xE5\x9C\xA8\xE3\x80\x82") < 0); /* a sign stays apart from words */
    assert_true(find(&spec, "\xF0\x9F\x98\x80") >= 0);        /* beyond the BMP */
    for (int64_t id = 0; id < spec.n_tokens; id++)
        assert_int_not_equal(spec.types[id], TOKEN_UNUSED);
    tokenizer_spec_clear(&spec);

    /* Half of the places at most go to single characters. */
    options.n_tokens = CAMBIUM_MIN_TOKENS + 20;
    stats = build(&fonts, &options, sample, &spec);
    assert_int_equal(stats.n_code_points, 10);
    assert_true(stats.covered < 1.0);
    tokenizer_spec_clear(&spec);

    /* Without a text: the code points of the font. */
    options.n_tokens = 2000;
    options.all_bmp = true;
    stats = build(&fonts, &options, "", &spec);
    assert_int_equal(spec.n_tokens, 2000);
    assert_int_equal(stats.n_code_points, 2000 - CAMBIUM_MIN_TOKENS);
    assert_true(find(&spec, "\xD0\x96") >= 0);
    tokenizer_spec_clear(&spec);

    Err err;
    options.n_tokens = 5;
    assert_int_equal(cambium_build(&options, NULL, NULL, &spec, &stats, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "--vocab-size"));
    font_files_close(&fonts);
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    FontFiles fonts;
    if (!open_fonts(&fonts))
        skip();
    TokenizerSpec spec;
    Err err;
    build(&fonts, &(CambiumOptions){400, 0.99, false, 2, 24}, sample, &spec);
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);
    Rng rng;
    rng_init(&rng, 7, 0);
    for (int round = 0; round < 200; round++) {
        char text[300];
        int64_t bytes = rng_below(&rng, sizeof text);
        for (int64_t i = 0; i < bytes; i++) /* pieces of the sample among noise */
            text[i] = round % 2 ? (char)rng_below(&rng, 256)
                                : sample[(round + i) % (int64_t)(sizeof sample - 1)];
        IdList ids = {0};
        StrBuf back = {0};
        tokenizer_encode(tokenizer, text, bytes, &ids);
        tokenizer_decode(tokenizer, ids.items, ids.count, false, &back);
        assert_int_equal(back.size, bytes);
        if (bytes > 0)
            assert_memory_equal(back.data, text, (size_t)bytes);
        for (int64_t i = 0; i < ids.count; i++)
            assert_int_not_equal(ids.items[i], tokenizer_spec(tokenizer)->unk);
        id_list_clear(&ids);
        strbuf_clear(&back);
    }
    tokenizer_free(tokenizer);
    font_files_close(&fonts);
}

static double cosine(const float *a, const float *b, int64_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static void make_table(GlyphTable *table, const GlyphTableOptions *options, const FontFiles *fonts,
                       const TokenizerSpec *spec)
{
    Err err;
    if (glyph_table_draw(table, &options->render, fonts, spec, &err) != STATUS_OK ||
        glyph_table_project(table, options, spec, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static int64_t rows_shared(const GlyphTable *table, int64_t rows, int64_t dim)
{
    RowGroups groups;
    row_groups_find(&groups, table->values, rows, dim * (int64_t)sizeof(float));
    int64_t shared = groups.starts[groups.n_groups];
    row_groups_clear(&groups);
    return shared;
}

/* Latin, Greek and Cyrillic capital A, and two blanks, share pictures but no rows. */
static void homoglyphs_have_their_own_rows(void **state)
{
    (void)state;
    FontFiles fonts;
    if (!open_fonts(&fonts))
        skip();
    TokenizerSpec spec;
    build(&fonts, &(CambiumOptions){2000, 1.0, true, 2, 24}, sample, &spec);
    GlyphTable table;
    GlyphTableOptions options = {{.style = RENDER_LINE, .side = 32}, 64, 16};
    make_table(&table, &options, &fonts, &spec);
    int32_t latin = find(&spec, "A"), greek = find(&spec, "\xCE\x91"),
            cyrillic = find(&spec, "\xD0\x90");
    const uint8_t *pixels = table.pixels;
    assert_memory_equal(pixels + latin * 1024, pixels + greek * 1024, 1024);
    assert_memory_equal(pixels + latin * 1024, pixels + cyrillic * 1024, 1024);
    assert_true(table.alike.n_groups > 10);
    for (int64_t g = 0; g < table.alike.n_groups; g++)
        assert_true(table.alike.starts[g + 1] - table.alike.starts[g] >= 2);
    double near = cosine(table.values + latin * 64, table.values + cyrillic * 64, 64);
    assert_true(near > 0.85 && near < 0.9999);
    assert_int_equal(rows_shared(&table, spec.n_tokens, 64), 0);
    glyph_table_clear(&table);

    options.identity = 0;
    make_table(&table, &options, &fonts, &spec);
    assert_int_equal(rows_shared(&table, spec.n_tokens, 64),
                     table.alike.starts[table.alike.n_groups]);
    Err err;
    free(table.values);
    table.values = NULL;
    options.identity = 33;
    assert_int_equal(glyph_table_project(&table, &options, &spec, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "--identity-code"));
    glyph_table_clear(&table);
    tokenizer_spec_clear(&spec);
    font_files_close(&fonts);
}

static void groups_and_codes_of_small_rows(void **state)
{
    (void)state;
    static const uint8_t rows[][2] = {{1, 2}, {3, 4}, {1, 2}, {5, 6}, {3, 4}, {1, 2}};
    static const int64_t expected[] = {0, 2, 5, 1, 4};
    RowGroups groups;
    row_groups_find(&groups, rows, 6, 2);
    assert_int_equal(groups.n_groups, 2);
    assert_int_equal(groups.starts[1], 3);
    assert_int_equal(groups.starts[2], 5);
    assert_memory_equal(groups.rows, expected, sizeof expected);
    TokenizerSpec spec;
    spec_start(&spec);
    for (const char *letter = "abcdef"; *letter; letter++)
        spec_token(&spec, letter, 1, TOKEN_TEXT);
    float codes[6 * 2];
    Err err;
    assert_int_equal(identity_codes(&groups, &spec, 2, codes, &err), STATUS_OK);
    assert_true(codes[3 * 2] == 0 && codes[3 * 2 + 1] == 0);
    for (int i = 0; i < 5; i++)
        assert_true(fabs(fabs((double)codes[expected[i] * 2]) - IDENTITY_NORM / sqrt(2.0)) < 1e-6);
    assert_memory_not_equal(codes, codes + 4, 8);
    assert_memory_not_equal(codes, codes + 10, 8);
    /* Three tokens cannot have different codes of one bit. */
    assert_int_equal(identity_codes(&groups, &spec, 1, codes, &err), STATUS_FAIL);
    tokenizer_spec_clear(&spec);
    row_groups_clear(&groups);
    row_groups_find(&groups, rows, 0, 2);
    assert_int_equal(groups.n_groups, 0);
    row_groups_clear(&groups);
}

/* The published table is an orthogonal image of the centred bitmaps, so cosines must agree. */
static void golden_cosines(void **state)
{
    (void)state;
    const char *ngram_path = data_file("bvv241/_n-gramms-2-3.txt");
    const char *gram_path = data_file("bvv241/golden-gram-2-3.csv");
    FontFiles fonts;
    if (!ngram_path || !gram_path || !open_fonts(&fonts))
        skip();
    Err err;
    NgramList ngrams = {0};
    TokenizerSpec spec;
    Bvv241Stats stats;
    const Bvv241Recipe *recipe = bvv241_find("bvv241-2-3");
    assert_int_equal(ngrams_read(&ngrams, ngram_path, &err), STATUS_OK);
    assert_int_equal(bvv241_build(recipe, &ngrams, &spec, &stats, &err), STATUS_OK);
    GlyphTable table;
    GlyphTableOptions options = {recipe->render, 1024, 0};
    make_table(&table, &options, &fonts, &spec);
    StrBuf text = {0};
    assert_int_equal(file_read(gram_path, 0, &text, &err), STATUS_OK);
    int64_t ids[200], n = 0;
    char *at = text.data;
    while (*at && *at != '\n' && n < 200) {
        ids[n++] = strtol(at, &at, 10);
        at += *at == ',';
    }
    assert_int_equal(n, 200);
    double sum = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            at++; /* a comma or the end of a line */
            double golden = strtod(at, &at);
            double own = cosine(table.values + ids[i] * 1024, table.values + ids[j] * 1024, 1024);
            sum += fabs(own - golden);
            largest = fmax(largest, fabs(own - golden));
        }
    }
    print_message("cosines differ by %.2g on average, %.2g at most\n", sum / (double)(n * n),
                  largest);
    assert_true(sum / (double)(n * n) < 0.01);
    strbuf_clear(&text);
    glyph_table_clear(&table);
    tokenizer_spec_clear(&spec);
    ngrams_clear(&ngrams);
    font_files_close(&fonts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabulary_of_a_text),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(homoglyphs_have_their_own_rows),
        cmocka_unit_test(groups_and_codes_of_small_rows),
        cmocka_unit_test(golden_cosines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
