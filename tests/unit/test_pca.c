/* Principal components of bitmaps: exact products, the laws of projection, and one hash. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/hash.h"
#include "core/base/isa.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"
#include "embed/pca.h"
#include "embed/pca_parts.h"

static const PcaKernels *const kernels_of[ISA_COUNT] = {
    &pca_kernels_generic, &pca_kernels_avx2, &pca_kernels_avx512, &pca_kernels_avx512bf16};

/* Strokes rather than noise: pixels agree with their left neighbour most of the time. */
static uint8_t *make_bitmaps(int64_t rows, int64_t dim, bool grey, uint64_t seed)
{
    uint8_t *x = xmalloc((size_t)(rows * dim));
    Rng rng;
    rng_init(&rng, seed, 0);
    for (int64_t i = 0; i < rows * dim; i++) {
        bool keep = i % dim > 0 && rng_below(&rng, 3) > 0;
        uint8_t fresh = rng_below(&rng, 4) ? 0 : (uint8_t)(grey ? 1 + rng_below(&rng, 255) : 1);
        x[i] = keep ? x[i - 1] : fresh;
    }
    return x;
}

static float *project(const PcaInput *in, PcaStats *stats)
{
    float *out = xmalloc((size_t)(in->rows * in->d_out) * sizeof *out);
    Err err;
    if (pca_project(in, out, stats, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return out;
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void products_are_exact(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 2, 63, 64, 65, 200, 2049}, dims[] = {1, 3, 17, 65, 130};
    for (int variant = 0; variant < 35 * 2; variant++) {
        bool grey = variant >= 35;
        int64_t n = rows[variant % 35 / 5], dim = dims[variant % 5], ld = dim + 1;
        uint8_t *x = make_bitmaps(n, dim, grey, 5);
        if (grey)
            memset(x, 255, (size_t)n);
        int64_t *expected = xcalloc((size_t)(ld * ld), sizeof *expected);
        int64_t *sums = xmalloc((size_t)(ld * ld) * sizeof *sums);
        for (int64_t r = 0; r < n; r++)
            for (int64_t i = 0; i < ld; i++)
                for (int64_t j = i; j < ld; j++)
                    expected[i * ld + j] +=
                        (i < dim ? x[r * dim + i] : 1) * (j < dim ? x[r * dim + j] : 1);
        for (int isa = 0; isa <= (int)isa_best(); isa++) {
            PcaInput in = {.pixels = x, .rows = n, .dim = dim, .d_out = dim};
            Err err;
            assert_int_equal(pca_products(&in, kernels_of[isa], sums, &err), STATUS_OK);
            assert_memory_equal(sums, expected, (size_t)(ld * ld) * sizeof *sums);
        }
        free(x);
        free(expected);
        free(sums);
    }
}

/* More rows than a chunk of bits holds, so that chunks are added up. */
static void products_of_many_rows_are_exact(void **state)
{
    (void)state;
    enum { ROWS = 40001, DIM = 3 };
    uint8_t *x = make_bitmaps(ROWS, DIM, false, 6);
    int64_t sums[16], expected[16] = {0};
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t i = 0; i < 4; i++)
            for (int64_t j = i; j < 4; j++)
                expected[i * 4 + j] +=
                    (i < DIM ? x[r * DIM + i] : 1) * (j < DIM ? x[r * DIM + j] : 1);
    PcaInput in = {.pixels = x, .rows = ROWS, .dim = DIM, .d_out = DIM};
    Err err;
    assert_int_equal(pca_products(&in, kernels_of[cpu_isa()], sums, &err), STATUS_OK);
    assert_memory_equal(sums, expected, sizeof sums);
    free(x);
}

/* Full-dimensional components only turn the centred rows: the angles between them stay. */
static double largest_cosine_error(const PcaInput *in, const float *out, int64_t sample)
{
    int64_t dim = in->dim;
    double *mean = xcalloc((size_t)dim, sizeof *mean), worst = 0;
    for (int64_t i = 0; i < in->rows * dim; i++)
        mean[i % dim] += in->pixels[i] / (double)in->rows;
    for (int64_t a = 0; a < sample; a++)
        for (int64_t b = a; b < sample; b++) {
            double ab = 0, aa = 0, bb = 0;
            for (int64_t i = 0; i < dim; i++) {
                double x = in->pixels[a * dim + i] - mean[i], y = in->pixels[b * dim + i] - mean[i];
                ab += x * y;
                aa += x * x;
                bb += y * y;
            }
            double cosine = dot(out + a * in->d_out, out + b * in->d_out, in->d_out);
            worst = fmax(worst, fabs(cosine - ab / sqrt(aa * bb)));
        }
    free(mean);
    return worst;
}

static void angles_are_kept(void **state)
{
    (void)state;
    for (int grey = 0; grey < 2; grey++) {
        uint8_t *x = make_bitmaps(150, 70, grey, 7);
        PcaInput in = {.pixels = x, .rows = 150, .dim = 70, .d_out = 70};
        PcaStats stats;
        float *out = project(&in, &stats);
        assert_true(largest_cosine_error(&in, out, 150) < 1e-6);
        assert_int_equal(stats.rank, 70);
        assert_int_equal(stats.zero_rows, 0);
        assert_true(stats.explained == 1);
        free(out);
        free(x);
        pca_stats_clear(&stats);
    }
}

static void angles_of_the_published_bitmaps_are_kept(void **state)
{
    (void)state;
    enum { ROWS = 2016, DIM = 1024 };
    const char *folder = getenv("TEST_DATA");
    char *path = xasprintf("%s/bvv241/golden-bitmaps-2-3.tsv", folder ? folder : "");
    FILE *file = fopen(path, "r");
    free(path);
    if (!file) {
        print_message("SKIP: no golden bitmaps under TEST_DATA\n");
        skip();
    }
    uint8_t *x = xmalloc(ROWS * DIM);
    for (int64_t r = 0; r < ROWS; r++) {
        char hex[DIM / 4 + 1];
        assert_int_equal(fscanf(file, "%*d %256s", hex), 1);
        for (int64_t i = 0; i < DIM; i++) {
            int digit = hex[i / 4] <= '9' ? hex[i / 4] - '0' : hex[i / 4] - 'a' + 10;
            x[r * DIM + i] = digit >> (3 - i % 4) & 1;
        }
    }
    fclose(file);
    PcaInput in = {.pixels = x, .rows = ROWS, .dim = DIM, .d_out = DIM};
    PcaStats stats;
    float *out = project(&in, &stats);
    double worst = largest_cosine_error(&in, out, 200);
    print_message("rank %lld, largest error of a cosine %.1e\n", (long long)stats.rank, worst);
    assert_true(worst < 1e-5);
    assert_int_equal(stats.rank, 748); /* as NumPy finds for the centred bitmaps */
    free(out);
    free(x);
    pca_stats_clear(&stats);
}

/* Cyclic Jacobi: slow, simple and unlike the solver under test. Rows of v are eigenvectors. */
static void jacobi(double *a, double *v, int64_t n)
{
    for (int64_t i = 0; i < n * n; i++)
        v[i] = i / n == i % n;
    for (int round = 0; round < 30; round++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                if (fabs(a[p * n + q]) < 1e-300)
                    continue;
                double angle = 0.5 * atan2(2 * a[p * n + q], a[p * n + p] - a[q * n + q]);
                double c = cos(angle), s = sin(angle);
                for (int64_t i = 0; i < n; i++) {
                    double ip = a[i * n + p], iq = a[i * n + q];
                    a[i * n + p] = c * ip + s * iq;
                    a[i * n + q] = c * iq - s * ip;
                }
                for (int64_t i = 0; i < n; i++) {
                    double pi = a[p * n + i], qi = a[q * n + i];
                    a[p * n + i] = c * pi + s * qi;
                    a[q * n + i] = c * qi - s * pi;
                    double vp = v[p * n + i], vq = v[q * n + i];
                    v[p * n + i] = c * vp + s * vq;
                    v[q * n + i] = c * vq - s * vp;
                }
            }
}

static void components_are_those_of_another_method(void **state)
{
    (void)state;
    enum { ROWS = 90, DIM = 12, KEPT = 5 };
    uint8_t *x = make_bitmaps(ROWS, DIM, true, 8);
    PcaInput in = {.pixels = x, .rows = ROWS, .dim = DIM, .d_out = KEPT};
    PcaStats stats;
    float *out = project(&in, &stats);
    double mean[DIM] = {0}, a[DIM * DIM] = {0}, v[DIM * DIM], total = 0, explained = 0;
    for (int64_t i = 0; i < ROWS * DIM; i++)
        mean[i % DIM] += x[i] / (double)ROWS;
    for (int64_t i = 0; i < DIM * DIM; i++)
        for (int64_t r = 0; r < ROWS; r++)
            a[i] += (x[r * DIM + i / DIM] - mean[i / DIM]) *
                    (x[r * DIM + i % DIM] - mean[i % DIM]) / ROWS;
    jacobi(a, v, DIM);
    int64_t order[DIM];
    for (int64_t k = 0; k < DIM; k++) {
        int64_t place = k;
        for (; place > 0 && a[order[place - 1] * (DIM + 1)] < a[k * (DIM + 1)]; place--)
            order[place] = order[place - 1];
        order[place] = k;
    }
    for (int64_t k = 0; k < DIM; k++) {
        double variance = a[order[k] * (DIM + 1)];
        assert_true(fabs(stats.variance[k] - variance) < 1e-9 * stats.variance[0]);
        total += variance;
        explained += k < KEPT ? variance : 0;
    }
    assert_true(fabs(stats.total / total - 1) < 1e-12);
    assert_true(fabs(stats.explained - explained / total) < 1e-12);
    for (int64_t r = 0; r < ROWS; r++) {
        double y[KEPT] = {0}, square = 0;
        for (int64_t k = 0; k < KEPT; k++) {
            const double *component = v + order[k] * DIM;
            int64_t top = 0;
            for (int64_t i = 0; i < DIM; i++) {
                y[k] += (x[r * DIM + i] - mean[i]) * component[i];
                top = fabs(component[i]) > fabs(component[top]) ? i : top;
            }
            y[k] *= component[top] < 0 ? -1 : 1;
            square += y[k] * y[k];
        }
        for (int64_t k = 0; k < KEPT; k++)
            assert_true(fabs(y[k] / sqrt(square) - (double)out[r * KEPT + k]) < 1e-6);
    }
    free(out);
    free(x);
    pca_stats_clear(&stats);
}

static Sha256 table_hash(const PcaInput *in)
{
    float *out = project(in, NULL);
    Sha256 hash = hash_of(out, (size_t)(in->rows * in->d_out) * sizeof *out);
    free(out);
    return hash;
}

static void one_hash_everywhere(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        /* Binary and grey; fewer rows than pixels; narrower than the bitmaps, with codes. */
        int64_t rows = variant < 2 ? 500 : 90, dim = 144;
        uint8_t *x = make_bitmaps(rows, dim, variant & 1, 9);
        float extra[90 * 2];
        for (int i = 0; i < 180; i++)
            extra[i] = (float)(i % 7) * 0.01F;
        PcaInput in = {.pixels = x, .rows = rows, .dim = dim, .d_out = variant < 2 ? dim : 50};
        if (variant >= 2) {
            in.extra = extra;
            in.n_extra = 2;
        }
        isa_set(ISA_GENERIC);
        parallel_set_width(1);
        Sha256 expected = table_hash(&in);
        for (int isa = 0; isa <= (int)isa_best(); isa++)
            for (int width = 1; width <= 3; width++) {
                isa_set((Isa)isa);
                parallel_set_width(width);
                Sha256 hash = table_hash(&in);
                if (memcmp(&hash, &expected, sizeof hash) != 0)
                    fail_msg("variant %d: %s with %d threads gives another table", variant,
                             isa_name((Isa)isa), width);
            }
        free(x);
    }
    isa_set(isa_best());
}

static void canonical_basis_forgets_the_one_it_came_from(void **state)
{
    (void)state;
    enum { DIM = 20, SPACE = 6 };
    double values[DIM], first[DIM * DIM], second[DIM * DIM];
    Rng rng;
    rng_init(&rng, 10, 0);
    for (int64_t k = 0; k < DIM; k++) {
        values[k] = k < SPACE ? 100 : 50 - (double)k;
        double *row = first + k * DIM;
        for (int64_t i = 0; i < DIM; i++)
            row[i] = rng_normal(&rng);
        for (int twice = 0; twice < 2; twice++)
            for (int64_t j = 0; j < k; j++) {
                double along = 0;
                for (int64_t i = 0; i < DIM; i++)
                    along += row[i] * first[j * DIM + i];
                for (int64_t i = 0; i < DIM; i++)
                    row[i] -= along * first[j * DIM + i];
            }
        double square = 0;
        for (int64_t i = 0; i < DIM; i++)
            square += row[i] * row[i];
        for (int64_t i = 0; i < DIM; i++)
            row[i] /= sqrt(square);
    }
    /* Turn the basis of the first space, and the sign of every other vector. */
    memcpy(second, first, sizeof second);
    for (int64_t k = 0; k + 1 < SPACE; k++)
        for (int64_t i = 0; i < DIM; i++) {
            double a = second[k * DIM + i], b = second[(k + 1) * DIM + i];
            second[k * DIM + i] = 0.6 * a + 0.8 * b;
            second[(k + 1) * DIM + i] = 0.8 * a - 0.6 * b;
        }
    for (int64_t i = SPACE * DIM; i < DIM * DIM; i++)
        second[i] = -second[i];
    pca_canonical(values, DIM, DIM, first);
    pca_canonical(values, DIM, DIM, second);
    for (int64_t i = 0; i < DIM * DIM; i++)
        assert_true(fabs(first[i] - second[i]) < 1e-13);
    /* Still orthonormal, and a single vector's largest component is positive. */
    for (int64_t k = 0; k < DIM; k++) {
        double top = 0;
        for (int64_t j = 0; j < DIM; j++) {
            double product = 0;
            for (int64_t i = 0; i < DIM; i++)
                product += first[k * DIM + i] * first[j * DIM + i];
            assert_true(fabs(product - (j == k)) < 1e-13);
            top = fabs(first[k * DIM + j]) > fabs(top) ? first[k * DIM + j] : top;
        }
        assert_true(k < SPACE || top > 0);
    }
}

/* One-hot rows: all variances but one are equal, the last is zero. */
static void equal_variances(void **state)
{
    (void)state;
    enum { DIM = 40 };
    uint8_t x[DIM * DIM] = {0};
    for (int64_t i = 0; i < DIM; i++)
        x[i * DIM + i] = 1;
    PcaInput in = {.pixels = x, .rows = DIM, .dim = DIM, .d_out = DIM};
    PcaStats stats;
    float *out = project(&in, &stats);
    assert_int_equal(stats.rank, DIM - 1);
    assert_true(largest_cosine_error(&in, out, DIM) < 1e-6);
    for (int64_t r = 0; r < DIM; r++)
        assert_true(out[r * DIM + DIM - 1] == 0);
    free(out);
    pca_stats_clear(&stats);
}

static void wider_than_the_bitmaps(void **state)
{
    (void)state;
    uint8_t *x = make_bitmaps(30, 8, false, 13);
    PcaInput in = {.pixels = x, .rows = 30, .dim = 8, .d_out = 20};
    PcaStats stats;
    float *out = project(&in, &stats);
    assert_int_equal(stats.kept, stats.rank);
    for (int64_t r = 0; r < 30; r++) {
        for (int64_t k = stats.kept; k < 20; k++)
            assert_true(out[r * 20 + k] == 0);
        double square = dot(out + r * 20, out + r * 20, 20);
        assert_true(fabs(square - 1) < 1e-6 || square == 0);
    }
    free(out);
    free(x);
    pca_stats_clear(&stats);
}

static void rows_equal_to_the_mean_stay_zero(void **state)
{
    (void)state;
    uint8_t x[3 * 2] = {0, 2, 1, 2, 2, 2};
    PcaInput in = {.pixels = x, .rows = 3, .dim = 2, .d_out = 2};
    PcaStats stats;
    float *out = project(&in, &stats);
    static const float expected[6] = {-1, 0, 0, 0, 1, 0};
    assert_memory_equal(out, expected, sizeof expected);
    assert_int_equal(stats.zero_rows, 1);
    assert_int_equal(stats.rank, 1);
    free(out);
    pca_stats_clear(&stats);

    memset(x, 7, sizeof x);
    out = project(&in, &stats);
    assert_int_equal(stats.zero_rows, 3);
    assert_int_equal(stats.rank, 0);
    for (int i = 0; i < 6; i++)
        assert_true(out[i] == 0);
    free(out);
    pca_stats_clear(&stats);
}

static void codes_tell_equal_bitmaps_apart(void **state)
{
    (void)state;
    enum { ROWS = 40, DIM = 30, WIDTH = 12 };
    uint8_t *x = make_bitmaps(ROWS, DIM, false, 14);
    memcpy(x + DIM, x, DIM);
    float extra[ROWS * 2] = {0.1F, 0, 0, 0.1F};
    PcaInput in = {
        .pixels = x, .rows = ROWS, .dim = DIM, .d_out = WIDTH, .extra = extra, .n_extra = 2};
    float *out = project(&in, NULL);
    assert_true(fabs(dot(out, out + WIDTH, WIDTH) - 1 / 1.01) < 1e-6);
    assert_true(fabs((double)out[WIDTH - 2] - 0.1 / sqrt(1.01)) < 1e-7);
    for (int64_t r = 0; r < ROWS; r++)
        assert_true(fabs(dot(out + r * WIDTH, out + r * WIDTH, WIDTH) - 1) < 1e-6);
    free(out);
    free(x);
}

static void bad_sizes_are_refused(void **state)
{
    (void)state;
    uint8_t x[4] = {0, 1, 1, 0};
    float out[16], extra[8] = {0};
    Err err;
    PcaInput good = {.pixels = x, .rows = 2, .dim = 2, .d_out = 2}, in = good;
    in.dim = 0;
    assert_int_equal(pca_project(&in, out, NULL, &err), STATUS_FAIL);
    in.dim = 1 << 20;
    assert_int_equal(pca_project(&in, out, NULL, &err), STATUS_FAIL);
    in = good;
    in.rows = 0;
    assert_int_equal(pca_project(&in, out, NULL, &err), STATUS_FAIL);
    in = good;
    in.extra = extra;
    in.n_extra = 2;
    assert_int_equal(pca_project(&in, out, NULL, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "width"));
    stop_request();
    assert_int_equal(pca_project(&good, out, NULL, &err), STATUS_STOPPED);
    stop_reset();
    assert_int_equal(pca_project(&good, out, NULL, &err), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_exact),
        cmocka_unit_test(products_of_many_rows_are_exact),
        cmocka_unit_test(angles_are_kept),
        cmocka_unit_test(angles_of_the_published_bitmaps_are_kept),
        cmocka_unit_test(components_are_those_of_another_method),
        cmocka_unit_test(one_hash_everywhere),
        cmocka_unit_test(canonical_basis_forgets_the_one_it_came_from),
        cmocka_unit_test(equal_variances),
        cmocka_unit_test(wider_than_the_bitmaps),
        cmocka_unit_test(rows_equal_to_the_mean_stay_zero),
        cmocka_unit_test(codes_tell_equal_bitmaps_apart),
        cmocka_unit_test(bad_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
