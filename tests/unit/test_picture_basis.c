/* A table's rows become the pictures that they were made of, through the file; files whose pictures
 * do not belong to their table are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/io/table.h"
#include "embed/pca.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE, EXTRA = 6 };

/* Saves a table of the bitmaps, `dim` components beside a code in every other row. */
static void save_bitmaps(const uint8_t *x, const TokenizerSpec *spec, int64_t dim, DType dtype)
{
    Err err;
    int64_t rows = spec->n_tokens, cols = dim + EXTRA;
    float *code = xcalloc((size_t)(rows * EXTRA), sizeof *code);
    float *values = xmalloc((size_t)(rows * cols) * sizeof *values);
    uint16_t *half = xmalloc((size_t)(rows * cols) * sizeof *half);
    for (int64_t r = 0; r < rows; r += 2)
        code[r * EXTRA + r % EXTRA] = 0.25F;
    PcaInput in = {x, rows, PIXELS, cols, code, EXTRA};
    PcaStats stats;
    ASSERT_OK(pca_project(&in, values, &stats, &err));
    for (int64_t i = 0; i < rows * cols; i++)
        half[i] = f32_to_bf16(values[i]);
    PictureBasis basis = {SIDE, stats.kept, rows, stats.mean, stats.components, stats.lengths};
    json_t *recipe = json_pack("{s:s}", "name", "sample");
    TableSave save = {.path = folder_path("t.h5"),
                      .tokenizer = spec,
                      .shape = tensor_2d(NULL, dtype, rows, cols),
                      .values = dtype == DTYPE_F32 ? (void *)values : half,
                      .recipe = recipe,
                      .pictures = &basis};
    ASSERT_OK(table_save(&save, &err));
    json_decref(recipe);
    pca_stats_clear(&stats);
    free(half);
    free(values);
    free(code);
}

static uint8_t *make_bitmaps(int64_t rows, bool grey)
{
    uint8_t *x = xmalloc((size_t)(rows * PIXELS));
    Rng rng;
    rng_init(&rng, 11, 0);
    for (int64_t i = 0; i < rows * PIXELS; i++)
        x[i] = (uint8_t)(rng_below(&rng, 3) ? 0 : grey ? 1 + rng_below(&rng, 255) : 1);
    for (int64_t i = 0; i < PIXELS; i++) /* two tokens that look alike */
        x[3 * PIXELS + i] = x[2 * PIXELS + i];
    return x;
}

/* The largest difference of a drawn pixel from the bitmap, of 255. */
static int worst_pixel(const uint8_t *x, int64_t rows, int full)
{
    Err err;
    TokenPictures *pictures;
    int worst = 0;
    ASSERT_OK(token_pictures_open(&pictures, folder_path("t.h5"), &err));
    assert_non_null(pictures);
    assert_int_equal(token_pictures_side(pictures), SIDE);
    assert_int_equal(token_pictures_rows(pictures), rows);
    for (int64_t r = 0; r < rows; r++) {
        uint8_t out[PIXELS];
        token_pictures_draw(pictures, r, out);
        for (int64_t i = 0; i < PIXELS; i++) {
            int off = abs(out[i] - x[r * PIXELS + i] * 255 / full);
            worst = off > worst ? off : worst;
        }
    }
    token_pictures_close(pictures);
    return worst;
}

static void rows_become_pictures_again(void **state)
{
    (void)state;
    TokenizerSpec spec;
    spec_start(&spec);
    spec_bytes(&spec);
    for (int grey = 0; grey < 2; grey++) {
        uint8_t *x = make_bitmaps(spec.n_tokens, grey);
        save_bitmaps(x, &spec, PIXELS, DTYPE_F32);
        assert_true(worst_pixel(x, spec.n_tokens, grey ? 255 : 1) <= 1);
        save_bitmaps(x, &spec, PIXELS, DTYPE_BF16);
        assert_true(worst_pixel(x, spec.n_tokens, grey ? 255 : 1) <= 8);
        /* Half of the components say less, and the test can tell. */
        save_bitmaps(x, &spec, PIXELS / 2, DTYPE_F32);
        assert_true(worst_pixel(x, spec.n_tokens, grey ? 255 : 1) > 8);
        free(x);
    }
    tokenizer_spec_clear(&spec);
}

static void write_parts(int64_t side, int64_t kept, int64_t rows, int64_t table_rows)
{
    Err err;
    ContainerWriter *writer;
    float *zeros = xcalloc(4096, sizeof *zeros);
    Tensor table = tensor_2d(NULL, DTYPE_F32, table_rows, 4);
    PictureBasis basis = {side, kept, rows, zeros, zeros, zeros};
    ASSERT_OK(container_create(&writer, folder_path("p.h5"), &err));
    ASSERT_OK(container_put(writer, "/embedding", &table, zeros, &err));
    ASSERT_OK(picture_basis_put(writer, &basis, &err));
    ASSERT_OK(container_commit(writer, &err));
    free(zeros);
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    Err err;
    TokenPictures *pictures;
    static const int64_t bad[][4] = {{4, 5, 9, 9}, {4, 3, 8, 9}, {4, 3, 9, 8}};
    write_parts(4, 3, 9, 9);
    ASSERT_OK(token_pictures_open(&pictures, folder_path("p.h5"), &err));
    assert_non_null(pictures);
    token_pictures_close(pictures);
    for (int i = 0; i < 3; i++) {
        write_parts(bad[i][0], bad[i][1], bad[i][2], bad[i][3]);
        assert_int_equal(token_pictures_open(&pictures, folder_path("p.h5"), &err), STATUS_FAIL);
        assert_null(pictures);
    }
}

static void a_file_without_pictures_has_none(void **state)
{
    (void)state;
    Err err;
    ContainerWriter *writer;
    TokenPictures *pictures;
    float values[4] = {0};
    Tensor table = tensor_2d(NULL, DTYPE_F32, 2, 2);
    ASSERT_OK(container_create(&writer, folder_path("n.h5"), &err));
    ASSERT_OK(container_put(writer, "/embedding", &table, values, &err));
    ASSERT_OK(container_commit(writer, &err));
    ASSERT_OK(token_pictures_open(&pictures, folder_path("n.h5"), &err));
    assert_null(pictures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_pictures_again),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(a_file_without_pictures_has_none),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
