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
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "embed/font.h"
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
    int64_t face = 0;
    FontFiles damaged = {&map, {fonts.paths.items, 1, 1}, &face};
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

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* A collection of the two fonts: a header, then each with its tables' offsets moved. */
static void write_collection(const char *path, const FileMap *maps)
{
    enum { HEADER = 20 };
    Err err;
    int64_t bytes = HEADER + (maps[0].bytes + 3) / 4 * 4 + maps[1].bytes, at = HEADER;
    uint8_t *out = xcalloc(1, (size_t)bytes);
    memcpy(out, "ttcf\0\1\0\0\0\0\0\2", 12);
    for (int i = 0; i < 2; i++) {
        uint8_t *font = out + at;
        memcpy(font, maps[i].data, (size_t)maps[i].bytes);
        put32(out + 12 + 4 * i, (uint32_t)at);
        for (int table = 0; table < (font[4] << 8 | font[5]); table++)
            put32(font + 12 + 16 * table + 8, get32(font + 12 + 16 * table + 8) + (uint32_t)at);
        at += (maps[i].bytes + 3) / 4 * 4;
    }
    ASSERT_OK(file_write(path, out, (size_t)bytes, &err));
    free(out);
}

/* Whether a font, given as --font gives it, has a character; -1 with an error when it fails. */
static int font_has(const char *given, uint32_t code, Err *err)
{
    FontFiles files;
    StringList list = {0};
    string_list_add(&list, given);
    int has = -1;
    Font *font = NULL;
    if (font_files_open(&files, &list, err) == STATUS_OK) {
        assert_int_equal(font_open(&font, &files, 16, err), STATUS_OK);
        has = font_covers(font, code);
        font_close(font);
        font_files_close(&files);
    }
    string_list_clear(&list);
    return has;
}

static void faces_of_a_collection_are_chosen(void **state)
{
    (void)state;
    FontFiles fonts;
    if (!open_default(&fonts) || fonts.paths.count < 2)
        skip();
    Err err;
    char *path = xasprintf("%s", folder_path("two.ttc")), given[600];
    write_collection(path, fonts.maps);
    assert_int_equal(font_has(path, 'a', &err), 1);
    static const struct {
        const char *face;
        int plain, astral;
    } cases[] = {{":0", 1, 0}, {":1", 0, 1}};
    for (int i = 0; i < 2; i++) {
        snprintf(given, sizeof given, "%s%s", path, cases[i].face);
        assert_int_equal(font_has(given, 0x4e2d, &err), cases[i].plain);
        assert_int_equal(font_has(given, 0x1f600, &err), cases[i].astral);
    }
    snprintf(given, sizeof given, "%s:2", path);
    assert_int_equal(font_has(given, 'a', &err), -1);
    assert_non_null(strstr(err.text, "two.ttc:2: the font has the faces 0 to 1"));
    assert_true(err.usage);
    snprintf(given, sizeof given, "%s:1.3", path);
    assert_int_equal(font_has(given, 'a', &err), -1);
    assert_non_null(strstr(err.text, "two.ttc:1.3: the font has 0 named instances"));
    snprintf(given, sizeof given, "%s:1x", path);
    assert_int_equal(font_has(given, 'a', &err), -1);
    assert_non_null(strstr(err.text, "cannot open"));
    free(path);
    font_files_close(&fonts);
}

/* One character of 8 x 8 dots. */
static const char bitmap_font[] =
    "STARTFONT 2.1\nFONT -x-x-medium-r-normal--8-80-75-75-c-80-iso10646-1\nSIZE 8 75 75\n"
    "FONTBOUNDINGBOX 8 8 0 0\nSTARTPROPERTIES 2\nFONT_ASCENT 8\nFONT_DESCENT 0\nENDPROPERTIES\n"
    "CHARS 1\nSTARTCHAR A\nENCODING 65\nSWIDTH 500 0\nDWIDTH 8 0\nBBX 8 8 0 0\nBITMAP\n"
    "FF\n81\n81\n81\n81\n81\n81\nFF\nENDCHAR\nENDFONT\n";

static void fonts_without_outlines_are_left_out(void **state)
{
    (void)state;
    FontFiles fonts, both;
    if (!open_default(&fonts))
        skip();
    Err err;
    const char *bitmaps = folder_put("b.bdf", bitmap_font, -1);
    assert_int_equal(font_has(bitmaps, 'A', &err), -1);
    assert_non_null(strstr(err.text, "b.bdf has bitmaps of fixed sizes only"));
    StringList list = {0};
    string_list_add(&list, bitmaps);
    string_list_add(&list, fonts.paths.items[0]);
    TokenizerSpec spec;
    spec_start(&spec);
    spec_token(&spec, "A", 1, TOKEN_TEXT);
    RenderOptions options = {.style = RENDER_LINE, .side = 32};
    uint8_t wanted[1024], got[1024];
    ASSERT_OK(font_files_open(&both, &list, &err));
    ASSERT_OK(render_tokens(&options, &fonts, &spec, wanted, &err));
    ASSERT_OK(render_tokens(&options, &both, &spec, got, &err));
    assert_memory_equal(wanted, got, sizeof got);
    tokenizer_spec_clear(&spec);
    string_list_clear(&list);
    font_files_close(&both);
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
        cmocka_unit_test_setup_teardown(faces_of_a_collection_are_chosen, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(fonts_without_outlines_are_left_out, folder_set_up,
                                        folder_tear_down),
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
