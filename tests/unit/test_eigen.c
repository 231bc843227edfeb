/* The symmetric eigen-solver: laws, known spectra, hard cases, and the same bits everywhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/isa.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"
#include "embed/eigen.h"

typedef void Fill(double *a, int64_t n);

static void set_pair(double *a, int64_t n, int64_t i, int64_t j, double value)
{
    a[i * n + j] = a[j * n + i] = value;
}

/* Also in tests/golden/eigen.py. */
static void scattered(double *a, int64_t n)
{
    for (int64_t low = 0; low < n; low++)
        for (int64_t high = low; high < n; high++)
            set_pair(a, n, low, high,
                     (double)((low * 7919 + high * 104729 + low * high * 31) % 1009) / 1009.0 -
                         0.5);
}

static void normal(double *a, int64_t n)
{
    Rng rng;
    rng_init(&rng, 11, (uint64_t)n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++)
            set_pair(a, n, i, j, rng_normal(&rng));
}

static void zero(double *a, int64_t n)
{
    memset(a, 0, (size_t)(n * n) * sizeof *a);
}

static void identity(double *a, int64_t n)
{
    zero(a, n);
    for (int64_t i = 0; i < n; i++)
        a[i * n + i] = 1;
}

/* Eigenvalues n (once) and 0. */
static void ones(double *a, int64_t n)
{
    for (int64_t i = 0; i < n * n; i++)
        a[i] = 1;
}

/* Eigenvalues 3, 1 and -2, each about n/3 times, turned by a reflection. */
static void repeated(double *a, int64_t n)
{
    static const double spectrum[3] = {3, 1, -2};
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++) {
                double left = (i == k) - 2.0 / (double)n, right = (j == k) - 2.0 / (double)n;
                sum += left * spectrum[k % 3] * right;
            }
            set_pair(a, n, i, j, sum);
        }
}

/* A Gram matrix of (n + 2) / 3 random integer vectors. */
static void rank_deficient(double *a, int64_t n)
{
    int64_t rank = (n + 2) / 3;
    Rng rng;
    rng_init(&rng, 12, (uint64_t)n);
    double *x = xmalloc((size_t)(n * rank) * sizeof *x);
    for (int64_t i = 0; i < n * rank; i++)
        x[i] = (double)rng_below(&rng, 9) - 4;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < rank; k++)
                sum += x[i * rank + k] * x[j * rank + k];
            set_pair(a, n, i, j, sum);
        }
    free(x);
}

/* Elements from 1 down to 1e-280: their squares leave the range of float64. */
static void graded(double *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++)
            set_pair(a, n, i, j,
                     pow(10, -140.0 * (double)(i + j) / (double)n) / (1.0 + (double)(j - i)));
}

static void graded_upwards(double *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++)
            set_pair(a, n, i, j,
                     pow(10, -12.0 * (double)(2 * n - i - j) / (double)n) /
                         (1.0 + (double)(j - i)));
}

static void huge(double *a, int64_t n)
{
    scattered(a, n);
    for (int64_t i = 0; i < n * n; i++)
        a[i] *= 1e300;
}

static void tiny(double *a, int64_t n)
{
    scattered(a, n);
    for (int64_t i = 0; i < n * n; i++)
        a[i] *= 1e-290;
}

typedef struct Result {
    int64_t n;
    double *a, *values, *vectors;
} Result;

static Result solve(Fill *fill, int64_t n)
{
    Result r = {n, xmalloc((size_t)(n * n) * sizeof(double)), xmalloc((size_t)n * sizeof(double)),
                xmalloc((size_t)(n * n) * sizeof(double))};
    fill(r.a, n);
    Err err;
    if (eigen_symmetric(r.a, n, r.values, r.vectors, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return r;
}

static void release(Result *r)
{
    free(r->a);
    free(r->values);
    free(r->vectors);
}

/* Largest |A v - value v| over the matrix's norm, and largest |V V^T - I|. */
static void errors_of(const Result *r, double *residual, double *skew)
{
    int64_t n = r->n;
    double unit = 0;
    for (int64_t i = 0; i < n * n; i++)
        unit = fmax(unit, fabs(r->a[i]));
    unit = unit > 0 ? unit * (double)n : 1;
    *residual = *skew = 0;
    for (int64_t k = 0; k < n; k++) {
        const double *v = r->vectors + k * n;
        for (int64_t i = 0; i < n; i++) {
            double sum = 0, inner = 0;
            for (int64_t j = 0; j < n; j++) {
                sum += r->a[i * n + j] / unit * v[j];
                inner += r->vectors[i * n + j] * v[j];
            }
            *residual = fmax(*residual, fabs(sum - r->values[k] / unit * v[i]));
            *skew = fmax(*skew, fabs(inner - (i == k)));
        }
        if (k > 0)
            assert_true(r->values[k - 1] >= r->values[k]);
    }
}

static void laws_hold(void **state)
{
    (void)state;
    static Fill *const fills[] = {scattered,      normal, zero,           identity, ones, repeated,
                                  rank_deficient, graded, graded_upwards, huge,     tiny};
    static const int64_t sizes[] = {1, 2, 3, 4, 16, 17, 31, 32, 33, 34, 48, 63, 64, 65, 130};
    for (size_t f = 0; f < sizeof fills / sizeof *fills; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            Result r = solve(fills[f], sizes[s]);
            double residual, skew;
            errors_of(&r, &residual, &skew);
            if (!(residual <= 1e-14 && skew <= 1e-13))
                fail_msg("matrix %zu, n %lld: residual %g, not orthogonal by %g", f,
                         (long long)sizes[s], residual, skew);
            release(&r);
        }
}

static void laws_hold_for_300(void **state)
{
    (void)state;
    Result r = solve(normal, 300);
    double residual, skew;
    errors_of(&r, &residual, &skew);
    print_message("n 300: residual %.1e, not orthogonal by %.1e\n", residual, skew);
    assert_true(residual <= 1e-14 && skew <= 1e-13);
    release(&r);
}

static void eigenvalues_are_those_of_lapack(void **state)
{
    (void)state;
    FILE *file = fopen("tests/golden/eigen.txt", "r");
    assert_non_null(file);
    Result r = {0};
    long long n;
    double expected;
    int64_t k = 0, seen = 0;
    while (fscanf(file, "%lld %lf", &n, &expected) == 2) {
        if (n != r.n) {
            release(&r);
            r = solve(scattered, n);
            k = 0;
        }
        assert_true(fabs(r.values[k++] - expected) <= 1e-14 * (double)n);
        seen++;
    }
    assert_int_equal(seen, 3 + 17 + 65);
    release(&r);
    fclose(file);
}

static void known_spectra(void **state)
{
    (void)state;
    Result r = solve(ones, 63);
    assert_true(fabs(r.values[0] - 63) < 1e-12);
    for (int64_t k = 1; k < 63; k++)
        assert_true(fabs(r.values[k]) < 1e-12);
    release(&r);
    r = solve(repeated, 65);
    for (int64_t k = 0; k < 65; k++)
        assert_true(fabs(r.values[k] - (k < 22 ? 3 : k < 44 ? 1 : -2)) < 1e-12);
    release(&r);
    r = solve(rank_deficient, 65);
    for (int64_t k = 22; k < 65; k++)
        assert_true(fabs(r.values[k]) < 1e-12 * r.values[0]);
    assert_true(r.values[21] > 1e-6 * r.values[0]);
    release(&r);
}

static void same_bits(Fill *fill, int64_t n)
{
    isa_set(ISA_GENERIC);
    parallel_set_width(1);
    Result reference = solve(fill, n);
    for (int isa = 0; isa <= (int)isa_best(); isa++)
        for (int width = 1; width <= 3; width++) {
            isa_set((Isa)isa);
            parallel_set_width(width);
            Result r = solve(fill, n);
            if (memcmp(r.values, reference.values, (size_t)n * sizeof(double)) ||
                memcmp(r.vectors, reference.vectors, (size_t)(n * n) * sizeof(double)))
                fail_msg("n %lld: %s with %d threads gives other bits", (long long)n,
                         isa_name((Isa)isa), width);
            release(&r);
        }
    release(&reference);
    isa_set(isa_best());
}

static void same_bits_everywhere(void **state)
{
    (void)state;
    same_bits(normal, 65);
    same_bits(normal, 257);
    same_bits(rank_deficient, 100);
}

/* Large enough for several threads to share a column's product. */
static void same_bits_when_columns_are_shared(void **state)
{
    (void)state;
    parallel_set_width(1);
    Result one = solve(normal, 800);
    parallel_set_width(3);
    Result three = solve(normal, 800);
    assert_memory_equal(one.values, three.values, 800 * sizeof(double));
    assert_memory_equal(one.vectors, three.vectors, 800 * 800 * sizeof(double));
    release(&one);
    release(&three);
}

static void values_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    double a[4] = {1, NAN, NAN, 1}, values[2], vectors[4];
    Err err;
    assert_int_equal(eigen_symmetric(a, 2, values, vectors, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "not finite"));
    a[1] = a[2] = -INFINITY;
    assert_int_equal(eigen_symmetric(a, 2, values, vectors, &err), STATUS_FAIL);
}

static void stops_when_asked(void **state)
{
    (void)state;
    double a[4] = {1, 2, 2, 1}, values[2], vectors[4];
    Err err;
    stop_request();
    assert_int_equal(eigen_symmetric(a, 2, values, vectors, &err), STATUS_STOPPED);
    stop_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laws_hold),
        cmocka_unit_test(laws_hold_for_300),
        cmocka_unit_test(eigenvalues_are_those_of_lapack),
        cmocka_unit_test(known_spectra),
        cmocka_unit_test(same_bits_everywhere),
        cmocka_unit_test(same_bits_when_columns_are_shared),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
        cmocka_unit_test(stops_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
