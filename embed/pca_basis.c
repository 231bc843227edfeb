/* One choice among the bases of an eigenspace. */
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "embed/pca_parts.h"

/* Two eigenvalues this near, in parts of the largest and per dimension, are one: the solver's
 * rounding could have mixed their vectors. */
static const double same_value = 0x1p-50;

/* Coordinates whose lengths differ by less than this (squared, relative) count as equal, and the
 * lower one wins: rounding must not decide. */
static const double same_length = 1e-6;

typedef struct Space {
    int64_t begin, end; /* rows of `vectors` */
} Space;

typedef struct Spaces {
    const Space *items;
    int64_t dim;
    double *vectors;
} Spaces;

static double inner(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The coordinate whose projection onto the space is longest. */
static int64_t longest(const double *rest, int64_t dim, int64_t width)
{
    double top = 0;
    for (int64_t i = 0; i < dim; i++)
        top = fmax(top, inner(rest + i * width, rest + i * width, width));
    int64_t i = 0;
    while (inner(rest + i * width, rest + i * width, width) < top * (1 - same_length))
        i++;
    return i;
}

/* Projects the coordinate vectors onto the space, takes the longest projection as the first basis
 * vector, removes its direction from all, and so on (Cholesky decomposition of the projector with
 * complete pivoting). What is taken does not depend on the basis that came in, and each vector's
 * component at its own coordinate is positive, which settles signs too. */
static void canonical_space(const Spaces *spaces, const Space *space)
{
    int64_t dim = spaces->dim, width = space->end - space->begin;
    double *vectors = spaces->vectors + space->begin * dim;
    double *basis = xmalloc((size_t)(dim * width) * sizeof *basis); /* row i: coordinate i in the */
    double *rest = xmalloc((size_t)(dim * width) * sizeof *rest);   /* space; what is left of it */
    double *pivot = xmalloc((size_t)width * sizeof *pivot);
    for (int64_t i = 0; i < dim; i++)
        for (int64_t k = 0; k < width; k++)
            basis[i * width + k] = rest[i * width + k] = vectors[k * dim + i];
    for (int64_t k = 0; k < width; k++) {
        const double *row = rest + longest(rest, dim, width) * width;
        double length = sqrt(inner(row, row, width));
        for (int64_t j = 0; j < width; j++)
            pivot[j] = row[j] / length;
        for (int64_t i = 0; i < dim; i++) {
            vectors[k * dim + i] = inner(basis + i * width, pivot, width);
            double along = inner(rest + i * width, pivot, width);
            for (int64_t j = 0; j < width; j++)
                rest[i * width + j] -= along * pivot[j];
        }
    }
    free(basis);
    free(rest);
    free(pivot);
}

static void canonical_spaces(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Spaces *spaces = context;
    for (int64_t i = begin; i < end; i++)
        canonical_space(spaces, &spaces->items[i]);
}

void pca_canonical(const double *values, int64_t dim, int64_t rank, double *vectors)
{
    Space *items = xmalloc((size_t)(rank + 1) * sizeof *items);
    int64_t count = 0;
    for (int64_t begin = 0, end; begin < rank; begin = end) {
        end = begin + 1;
        while (end < rank && values[end - 1] - values[end] <= values[0] * same_value * (double)dim)
            end++;
        items[count++] = (Space){begin, end};
    }
    parallel_dynamic(count, 4, canonical_spaces, &(Spaces){items, dim, vectors});
    free(items);
}
