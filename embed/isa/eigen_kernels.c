#include "embed/isa/eigen_kernels.h"

#include "core/base/isa.h"

#if defined(__AVX512F__)
enum { LANES = 8, DOT_ROWS = 4, TILE_ROWS = 8 };
#elif defined(__AVX2__)
enum { LANES = 4, DOT_ROWS = 2, TILE_ROWS = 2 };
#else
enum { LANES = 2, DOT_ROWS = 1, TILE_ROWS = 1 };
#endif

typedef double Vec __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

enum {
    STRIP_VECS = EIGEN_STRIP / LANES,
    PANEL_VECS = EIGEN_PANEL / LANES,
    CARRY_VECS = PANEL_VECS < 8 ? PANEL_VECS : 8, /* what fits in half of the registers */
    INNER_BLOCK = 64,                             /* rows of B that stay in the first cache */
};

/* The 16 lanes of a sum, added as a tree. */
static double sum_of_lanes(const Vec *lanes)
{
    const double *l = (const double *)lanes;
    double s[8];
    for (int i = 0; i < 8; i++)
        s[i] = l[i] + l[i + 8];
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

static inline __attribute__((always_inline)) void
dot_rows(const double *a, int64_t ld, const double *x, int64_t n, double *y, int rows)
{
    Vec sum[DOT_ROWS][STRIP_VECS] = {0};
    for (int64_t i = 0; i < n; i += EIGEN_STRIP)
        for (int v = 0; v < STRIP_VECS; v++) {
            Vec xv = *(const Vec *)(x + i + v * LANES);
            for (int r = 0; r < rows; r++)
                sum[r][v] += *(const Vec *)(a + r * ld + i + v * LANES) * xv;
        }
    for (int r = 0; r < rows; r++)
        y[r] = sum_of_lanes(sum[r]);
}

static void dots(const double *a, int64_t ld, const double *x, int64_t rows, int64_t n, double *y)
{
    int64_t r = 0;
    for (; r + DOT_ROWS <= rows; r += DOT_ROWS)
        dot_rows(a + r * ld, ld, x, n, y + r, DOT_ROWS);
    for (; r < rows; r++)
        dot_rows(a + r * ld, ld, x, n, y + r, 1);
}

/* A tile of `rows` x EIGEN_STRIP elements of C, kept in registers while `inner` products are
 * subtracted from it. */
static inline __attribute__((always_inline)) void
tile(const EigenProduct *t, int64_t row, int64_t col, int64_t begin, int64_t end, int rows)
{
    Vec sum[TILE_ROWS][STRIP_VECS];
    double *c = t->c + row * t->ldc + col;
    const double *a = t->a + row * t->a_row;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < STRIP_VECS; v++)
            sum[r][v] = *(const Vec *)(c + r * t->ldc + v * LANES);
    for (int64_t p = begin; p < end; p++) {
        const double *b = t->b + p * t->ldb + col;
        for (int r = 0; r < rows; r++) {
            double factor = a[r * t->a_row + p * t->a_col];
            for (int v = 0; v < STRIP_VECS; v++)
                sum[r][v] -= factor * *(const Vec *)(b + v * LANES);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < STRIP_VECS; v++)
            *(Vec *)(c + r * t->ldc + v * LANES) = sum[r][v];
}

static void product(const EigenProduct *t)
{
    for (int64_t begin = 0; begin < t->inner; begin += INNER_BLOCK) {
        int64_t end = begin + INNER_BLOCK < t->inner ? begin + INNER_BLOCK : t->inner;
        for (int64_t col = 0; col < t->cols; col += EIGEN_STRIP) {
            int64_t row = 0;
            for (; row + TILE_ROWS <= t->rows; row += TILE_ROWS)
                tile(t, row, col, begin, end, TILE_ROWS);
            for (; row < t->rows; row++)
                tile(t, row, col, begin, end, 1);
        }
    }
}

/* One sweep over CARRY_VECS vectors of each row. The row that two neighbouring rotations share
 * stays in registers between them. */
static void rotate_columns(double *z, const Sweep *sweep, const Rotation *rotation)
{
    Vec carry[CARRY_VECS];
    double *row = z + (sweep->top + 1) * EIGEN_PANEL;
    for (int v = 0; v < CARRY_VECS; v++)
        carry[v] = *(const Vec *)(row + v * LANES);
    for (int64_t i = sweep->top; i >= sweep->bottom; i--, row -= EIGEN_PANEL, rotation++) {
        double c = rotation->c, s = rotation->s;
        for (int v = 0; v < CARRY_VECS; v++) {
            Vec below = *(const Vec *)(row - EIGEN_PANEL + v * LANES);
            *(Vec *)(row + v * LANES) = s * below + c * carry[v];
            carry[v] = c * below - s * carry[v];
        }
    }
    for (int v = 0; v < CARRY_VECS; v++)
        *(Vec *)(row + v * LANES) = carry[v];
}

static void rotate(double *panel, const Sweep *sweeps, int64_t count, const Rotation *rotations)
{
    for (int64_t i = 0; i < count; i++)
        for (int v = 0; v < PANEL_VECS; v += CARRY_VECS)
            rotate_columns(panel + v * LANES, &sweeps[i], rotations + sweeps[i].first);
}

const EigenKernels ISA_SYMBOL(eigen_kernels) = {dots, product, rotate};
