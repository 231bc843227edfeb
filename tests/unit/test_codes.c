/* Code tables: distinct rows, the law of each kind, the same table for one seed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "embed/codes.h"

static float *make(CodeKind kind, int64_t rows, int64_t width, uint64_t seed)
{
    CodeSpec spec = {kind, rows, width, seed};
    float *out = xmalloc((size_t)(rows * width) * sizeof *out);
    Err err;
    if (codes_make(&spec, out, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return out;
}

static size_t row_bytes;

static int compare_rows(const void *left, const void *right)
{
    return memcmp(*(const float *const *)left, *(const float *const *)right, row_bytes);
}

static void assert_distinct(const float *table, int64_t rows, int64_t width)
{
    const float **sorted = xmalloc((size_t)rows * sizeof(float *));
    for (int64_t r = 0; r < rows; r++)
        sorted[r] = table + r * width;
    row_bytes = (size_t)width * sizeof(float);
    qsort(sorted, (size_t)rows, sizeof *sorted, compare_rows);
    for (int64_t r = 1; r < rows; r++)
        assert_true(compare_rows(&sorted[r - 1], &sorted[r]) != 0);
    free(sorted);
}

static void rows_are_distinct(void **state)
{
    (void)state;
    static const CodeSpec specs[] = {
        {CODE_ID, 65536, 16, 0},     {CODE_ID, 1000, 64, 0},       {CODE_BITS, 65536, 16, 1},
        {CODE_BITS, 65536, 17, 1},   {CODE_BITS, 65536, 18, 1},    {CODE_BITS, 40000, 16, 1},
        {CODE_BITS, 65536, 64, 1},   {CODE_BITS, 8192, 256, 1},    {CODE_BITS, 2000, 1024, 1},
        {CODE_BITS, 1, 1, 1},        {CODE_BITS, 2, 1, 1},         {CODE_FLOATS, 2, 1, 1},
        {CODE_FLOATS, 65536, 2, 1},  {CODE_FLOATS, 65536, 16, 1},  {CODE_FLOATS, 2000, 1024, 1},
        {CODE_AFFINE, 65536, 16, 1}, {CODE_AFFINE, 65536, 64, 1},  {CODE_AFFINE, 131072, 17, 1},
        {CODE_AFFINE, 8, 3, 1},      {CODE_AFFINE, 1000, 1024, 1},
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        float *table = make(specs[i].kind, specs[i].rows, specs[i].width, specs[i].seed);
        assert_distinct(table, specs[i].rows, specs[i].width);
        for (int64_t k = 0; specs[i].kind != CODE_FLOATS && k < specs[i].rows * specs[i].width; k++)
            assert_true(table[k] == 0 || table[k] == 1);
        free(table);
    }
}

static void bits_of_the_id_lowest_first(void **state)
{
    (void)state;
    float *table = make(CODE_ID, 65536, 20, 0);
    for (int64_t id = 0; id < 65536; id++) {
        int64_t back = 0;
        for (int64_t j = 0; j < 20; j++)
            back += (int64_t)table[id * 20 + j] << j;
        assert_int_equal(back, id);
    }
    free(table);
}

/* c(i) xor c(j) xor c(i xor j) is b for all i and j exactly when c is affine. */
static void affine_codes_are_affine(void **state)
{
    (void)state;
    enum { ROWS = 4096, WIDTH = 16 };
    float *table = make(CODE_AFFINE, ROWS, WIDTH, 3);
    bool differs = false, offset = false;
    for (int64_t i = 0; i < ROWS; i += 7)
        for (int64_t j = 0; j < ROWS; j += 11)
            for (int64_t k = 0; k < WIDTH; k++) {
                int sum = (table[i * WIDTH + k] != 0) ^ (table[j * WIDTH + k] != 0) ^
                          (table[(i ^ j) * WIDTH + k] != 0);
                assert_int_equal(sum, table[k] != 0);
                differs |= table[i * WIDTH + k] != (float)(i >> k & 1);
            }
    for (int64_t k = 0; k < WIDTH; k++)
        offset |= table[k] != 0;
    assert_true(differs && offset);
    free(table);
}

static void random_codes_are_spread_evenly(void **state)
{
    (void)state;
    enum { ROWS = 4000, WIDTH = 64 };
    float *bits = make(CODE_BITS, ROWS, WIDTH, 4), *floats = make(CODE_FLOATS, ROWS, WIDTH, 4);
    for (int64_t k = 0; k < WIDTH; k++) {
        double share = 0, mean = 0, square = 0;
        for (int64_t r = 0; r < ROWS; r++) {
            double x = (double)floats[r * WIDTH + k];
            share += (double)bits[r * WIDTH + k] / ROWS;
            mean += x / ROWS;
            square += x * x / ROWS;
        }
        /* Five standard deviations. */
        assert_true(fabs(share - 0.5) < 5 * 0.5 / sqrt(ROWS));
        assert_true(fabs(mean) < 5 / sqrt((double)WIDTH * ROWS));
        assert_true(fabs(square * WIDTH - 1) < 5 * sqrt(2.0 / ROWS));
    }
    for (int64_t r = 0; r < ROWS; r++) {
        double square = 0;
        for (int64_t k = 0; k < WIDTH; k++)
            square += (double)floats[r * WIDTH + k] * (double)floats[r * WIDTH + k];
        assert_true(fabs(square - 1) < 1e-6);
    }
    free(bits);
    free(floats);
}

static void one_seed_one_table(void **state)
{
    (void)state;
    for (CodeKind kind = CODE_BITS; kind <= CODE_AFFINE; kind++) {
        float *a = make(kind, 500, 32, 5), *b = make(kind, 500, 32, 5), *c = make(kind, 500, 32, 6);
        assert_memory_equal(a, b, 500 * 32 * sizeof *a);
        assert_true(memcmp(a, c, 500 * 32 * sizeof *a) != 0);
        free(a);
        free(b);
        free(c);
    }
}

/* Tables are shared by their hash: the same seed must give the same table tomorrow. */
static void tables_stay_what_they_were(void **state)
{
    (void)state;
    static const struct {
        CodeKind kind;
        const char *hash;
    } known[] = {{CODE_ID, "36472baae8d2c8eee9a8eeb89169b55c0b2c14da1aaaf158f4a33de32c7d69a2"},
                 {CODE_BITS, "71ed8059346ba37086f50c5e8c718107291bea1d49499a0f5182f48889afbbca"},
                 {CODE_FLOATS, "726cab412d80dc7eca0d2cd1c0be80ea01581809b975136e3bc75d43ae018df3"},
                 {CODE_AFFINE, "2fa64d79528f40d8ca98f7faf2119a423b389e871055df4e3002539f460cf40f"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        float *table = make(known[i].kind, 1000, 64, 1);
        Sha256 hash = hash_of(table, 1000 * 64 * sizeof *table);
        char text[SHA256_TEXT];
        hash_text(&hash, text);
        assert_string_equal(text, known[i].hash);
        free(table);
    }
}

static void impossible_tables_are_refused(void **state)
{
    (void)state;
    static const CodeSpec specs[] = {
        {CODE_ID, 65537, 16, 0},     {CODE_BITS, 65537, 16, 0},
        {CODE_AFFINE, 65537, 16, 0}, {CODE_FLOATS, 3, 1, 0},
        {CODE_BITS, 0, 16, 0},       {CODE_BITS, 10, 0, 0},
        {CODE_BITS, 10, 1 << 20, 0}, {CODE_BITS, (int64_t)1 << 40, 64, 0},
    };
    float out[64];
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        Err err;
        assert_int_equal(codes_make(&specs[i], out, &err), STATUS_FAIL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_distinct),
        cmocka_unit_test(bits_of_the_id_lowest_first),
        cmocka_unit_test(affine_codes_are_affine),
        cmocka_unit_test(random_codes_are_spread_evenly),
        cmocka_unit_test(one_seed_one_table),
        cmocka_unit_test(tables_stay_what_they_were),
        cmocka_unit_test(impossible_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
