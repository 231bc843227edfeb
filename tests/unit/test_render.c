#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"
#include "embed/mersenne.h"
#include "embed/recipe_bvv241.h"
#include "embed/render.h"
#include "tests/support/data_file.h"
#include "tests/support/spec_builder.h"

static const char unifont_hash[] =
    "db1960227adcb14640063e7384fdcd2867aaf819d9ca4866bca289d4db9a9f67"; /* 15.0.01, OpenType */

static bool open_default(FontFiles *fonts)
{
    Err err;
    if (font_files_open(fonts, &(StringList){0}, &err) == STATUS_OK)
        return true;
    print_message("SKIP: %s\n", err.text);
    return false;
}

static void render(const RenderOptions *options, const FontFiles *fonts, const TokenizerSpec *spec,
                   uint8_t *out)
{
    Err err;
    if (render_tokens(options, fonts, spec, out, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

/* The first numbers that Python and NumPy print after seed 42, and the published constants. */
static void mersenne_is_pythons_and_numpys(void **state)
{
    (void)state;
    Mersenne mt;
    mersenne_seed_python(&mt, 42);
    assert_true(mersenne_unit(&mt) == 0.6394267984578837);
    mersenne_seed_numpy(&mt, 42);
    assert_true(mersenne_unit(&mt) == 0.3745401188473625);

    RenderTurn turn = render_turn(&bvv241_find("bvv241-2-3")->render);
    assert_true(turn.degrees == 1.11541438766307);
    assert_int_equal(turn.right, -2);
    assert_int_equal(turn.down, 0);
    turn = render_turn(&bvv241_find("bvv241-max")->render);
    assert_true(turn.degrees == 1.9519751784103718);
    assert_int_equal(turn.right, -3);
    assert_int_equal(turn.down, 2);
}

static void bitmap_steps_on_small_pictures(void **state)
{
    (void)state;
    Bitmap bitmap = {0};
    uint8_t out[64 * 3];
    bitmap_reset(&bitmap, 6, 3);
    bitmap.pixels[1 * 6 + 2] = 0;
    bitmap_shift(&bitmap, 3, 1);
    for (int i = 0; i < 18; i++)
        assert_int_equal(bitmap.pixels[i], i == 2 * 6 + 5 ? 0 : 255);
    bitmap_shift(&bitmap, 0, 1);
    bitmap_shift(&bitmap, -9, 0);
    for (int i = 0; i < 18; i++)
        assert_int_equal(bitmap.pixels[i], 255);

    /* A flat picture stays flat; a turn by 180 degrees mirrors both ways. */
    memset(bitmap.pixels, 100, 18);
    bitmap_blur_across(&bitmap, 2.5f);
    bitmap_blur_down(&bitmap, 0.5f);
    for (int i = 0; i < 18; i++)
        assert_int_equal(bitmap.pixels[i], 100);
    for (int i = 0; i < 18; i++)
        bitmap.pixels[i] = (uint8_t)i;
    bitmap_rotate(&bitmap, 180);
    for (int i = 0; i < 18; i++)
        assert_int_equal(bitmap.pixels[i], 17 - i);

    /* Columns 1 and 4 of 0..5 are under the centres when every third is kept. */
    bitmap_pick_columns(&bitmap, 2);
    assert_int_equal(bitmap.width, 2);
    assert_int_equal(bitmap.pixels[0], 16);
    assert_int_equal(bitmap.pixels[1], 13);
    bitmap_threshold(&bitmap, out);
    assert_int_equal(out[0], 1);

    /* Averaging keeps the mean ink: 5 columns of 200 become 4 of 200; 3 columns are centred. */
    bitmap_reset(&bitmap, 5, 1);
    memset(bitmap.pixels, 55, 5);
    bitmap_average_columns(&bitmap, 4, out);
    for (int i = 0; i < 4; i++)
        assert_int_equal(out[i], 200);
    bitmap.pixels[0] = 255;
    bitmap_average_columns(&bitmap, 4, out);
    assert_int_equal(out[0], 40); /* 4 of its 5 parts are blank */
    assert_int_equal(out[1], 200);
    bitmap_reset(&bitmap, 3, 1);
    bitmap.pixels[0] = 0;
    bitmap_average_columns(&bitmap, 5, out);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 255);
    bitmap_clear(&bitmap);
}

static void bad_fonts_are_refused(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char *empty = xasprintf("%s/cambium-empty-font-%d", folder, (int)getpid());
    char *junk = xasprintf("%s/cambium-junk-font-%d", folder, (int)getpid());
    Err err;
    assert_int_equal(file_write(empty, "", 0, &err), STATUS_OK);
    assert_int_equal(file_write(junk, "OTTO\0\1 no font at all", 21, &err), STATUS_OK);
    const char *paths[] = {empty, junk, "/nonexistent/font.otf", "/"};
    for (int i = 0; i < 4; i++) {
        FontFiles fonts;
        StringList list = {0};
        string_list_add(&list, paths[i]);
        err.text[0] = 0;
        assert_int_equal(font_files_open(&fonts, &list, &err), STATUS_FAIL);
        assert_non_null(strstr(err.text, paths[i]));
        string_list_clear(&list);
    }
    remove(empty);
    remove(junk);
    free(empty);
    free(junk);
}

/* Whatever is done to a font file, drawing with it ends with pictures or with a sentence. */
static void damaged_fonts_do_no_harm(void **state)
{
    (void)state;
    FontFiles fonts;
    if (!open_default(&fonts))
        skip();
    TokenizerSpec spec;
    spec_start(&spec);
    for (const char *letter = "abcdefgh"; *letter; letter++)
        spec_token(&spec, letter, 1, TOKEN_TEXT);
    spec_text(&spec, "\xD8\xA8\xD8\xA8 \xE4\xB8\xAD\xCC\x81");
    RenderOptions options = {.style = RENDER_LINE, .side = 32};
    uint8_t *out = xmalloc((size_t)spec.n_tokens * 1024);
    int64_t whole = fonts.maps[0].bytes;
    uint8_t *copy = xmalloc((size_t)whole);
    FileMap map = {copy, 0};
    FontFiles damaged = {&map, {fonts.paths.items, 1, 1}};
    Rng rng;
    rng_init(&rng, 11, 0);
    int refused = 0;
    for (int round = 0; round < 40; round++) {
        Err err = {.text = ""};
        memcpy(copy, fonts.maps[0].data, (size_t)whole);
        map.bytes = round % 2 ? whole : rng_below(&rng, round % 4 ? whole : 4096);
        for (int64_t flips = round % 2 ? 1 + rng_below(&rng, 3000) : 0; flips > 0; flips--)
            copy[rng_below(&rng, round % 4 == 1 ? 8192 : whole)] ^=
                (uint8_t)(1 + rng_below(&rng, 255));
        Status status = render_tokens(&options, &damaged, &spec, out, &err);
        assert_true((status == STATUS_OK) == (err.text[0] == '\0'));
        refused += status != STATUS_OK;
    }
    assert_true(refused > 5);
    free(copy);
    free(out);
    tokenizer_spec_clear(&spec);
    font_files_close(&fonts);
}

static void lines_keep_what_tells_tokens_apart(void **state)
{
    (void)state;
    FontFiles fonts;
    if (!open_default(&fonts))
        skip();
    static const char *const texts[] = {"a",
                                        " a",
                                        ",",
                                        "'",
                                        "_",
                                        "-",
                                        "ab",
                                        "ba",
                                        "\xF0\x9F\x98\x80",
                                        "\xE4\xB8\xAD",
                                        "internationalisation",
                                        "internationalization"};
    enum { TEXTS = sizeof texts / sizeof *texts, SIDE = 32, DIM = SIDE * SIDE };
    TokenizerSpec spec;
    spec_start(&spec);
    for (int i = 0; i < TEXTS; i++)
        spec_text(&spec, texts[i]);
    spec_token(&spec, "<pad>", 5, TOKEN_SPECIAL);
    spec_token(&spec, "<s>", 3, TOKEN_SPECIAL);
    spec_token(&spec, "a", 1, TOKEN_BYTE);
    spec_token(&spec, "b", 1, TOKEN_BYTE);
    uint8_t *out = xmalloc((size_t)spec.n_tokens * DIM);
    RenderOptions options = {.style = RENDER_LINE, .side = SIDE};
    render(&options, &fonts, &spec, out);
    for (int64_t i = 0; i < spec.n_tokens; i++) {
        int64_t ink = 0;
        for (int k = 0; k < DIM; k++)
            ink += out[i * DIM + k];
        assert_true(ink > 0 && ink < DIM * 255);
        for (int64_t j = 0; j < i; j++)
            assert_memory_not_equal(out + i * DIM, out + j * DIM, DIM);
    }
    free(out);
    tokenizer_spec_clear(&spec);
    font_files_close(&fonts);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    FontFiles fonts;
    if (!open_default(&fonts))
        skip();
    enum { TOKENS = 2000, DIM = 1024 };
    TokenizerSpec spec;
    spec_start(&spec);
    for (int i = 0; i < TOKENS; i++) {
        char text[16];
        int bytes = snprintf(text, sizeof text, "t%d", i * 7);
        spec_token(&spec, text, bytes, TOKEN_TEXT);
    }
    uint8_t *one = xmalloc(TOKENS * DIM), *three = xmalloc(TOKENS * DIM);
    const RenderOptions options[] = {bvv241_find("bvv241-2-3")->render,
                                     {.style = RENDER_LINE, .side = 32}};
    int before = parallel_width();
    for (int i = 0; i < 2; i++) {
        parallel_set_width(1);
        render(&options[i], &fonts, &spec, one);
        parallel_set_width(3);
        render(&options[i], &fonts, &spec, three);
        assert_memory_equal(one, three, TOKENS * DIM);
    }
    parallel_set_width(before);
    free(one);
    free(three);
    tokenizer_spec_clear(&spec);
    font_files_close(&fonts);
}

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Rows "id TAB 256 hexadecimal digits", from Pillow 9.4 with Unifont 15.0.01. */
static void golden_bitmaps_to_the_bit(void **state)
{
    (void)state;
    FontFiles fonts;
    const char *golden_path = data_file("bvv241/golden-bitmaps-2-3.tsv");
    const char *ngram_path = data_file("bvv241/_n-gramms-2-3.txt");
    if (!golden_path || !ngram_path)
        skip();
    if (!open_default(&fonts))
        skip();
    Err err;
    StringList plain = {0};
    string_list_add(&plain, fonts.paths.items[0]);
    font_files_close(&fonts);
    assert_int_equal(font_files_open(&fonts, &plain, &err), STATUS_OK);
    string_list_clear(&plain);
    Sha256 hash = font_files_hash(&fonts);
    char hash_digits[SHA256_TEXT];
    hash_text(&hash, hash_digits);
    if (strcmp(hash_digits, unifont_hash) != 0) {
        print_message("SKIP: the golden bitmaps were made with Unifont 15.0.01\n");
        font_files_close(&fonts);
        skip();
    }
    const Bvv241Recipe *recipe = bvv241_find("bvv241-2-3");
    NgramList ngrams = {0};
    TokenizerSpec spec;
    Bvv241Stats stats;
    assert_int_equal(ngrams_read(&ngrams, ngram_path, &err), STATUS_OK);
    assert_int_equal(bvv241_build(recipe, &ngrams, &spec, &stats, &err), STATUS_OK);
    uint8_t *out = xmalloc((size_t)spec.n_tokens * 1024);
    render(&recipe->render, &fonts, &spec, out);

    StrBuf golden = {0};
    assert_int_equal(file_read(golden_path, 0, &golden, &err), STATUS_OK);
    int64_t rows = 0, different = 0;
    for (char *line = golden.data; *line; rows++) {
        char *digits;
        long id = strtol(line, &digits, 10);
        assert_true(*digits++ == '\t');
        bool same = true;
        for (int i = 0; i < 1024; i++)
            same = same && ((hex_digit(digits[i / 4]) >> (3 - i % 4)) & 1) == out[id * 1024 + i];
        different += !same;
        line = strchr(digits, '\n') + 1;
    }
    assert_int_equal(rows, 2016);
    assert_int_equal(different, 0);
    strbuf_clear(&golden);
    free(out);
    tokenizer_spec_clear(&spec);
    ngrams_clear(&ngrams);
    font_files_close(&fonts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mersenne_is_pythons_and_numpys),
        cmocka_unit_test(bitmap_steps_on_small_pictures),
        cmocka_unit_test(bad_fonts_are_refused),
        cmocka_unit_test(damaged_fonts_do_no_harm),
        cmocka_unit_test(lines_keep_what_tells_tokens_apart),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(golden_bitmaps_to_the_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
