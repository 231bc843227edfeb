#include "core/metrics/edit_distance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { BEAM = 25, FAR = 1 << 29 };

typedef enum EditOp { OP_NONE, OP_KEEP, OP_REPLACE, OP_DELETE, OP_INSERT } EditOp;

/* The part of a row that is computed: [low, high). */
typedef struct Band {
    int64_t low, high;
} Band;

struct EditDistance {
    const Symbols *ref;
    int64_t hyp_count;
    double ratio; /* words of the reference per word of the hypothesis */
    int64_t beam;
    int64_t stride;   /* cells of a stored row; row i holds its band from its beginning on */
    int32_t *first;   /* (ref + 1): row 0 */
    int32_t *costs;   /* (hyp, stride): rows 1 to hyp of the text that was aligned */
    uint8_t *ops;     /* (hyp, stride) */
    int32_t *rows[2]; /* (stride): of a text that is tried */
    Symbols aligned;  /* that text's words */
    Alignment alignment;
};

/* The whole of row 0; around the diagonal in others, and to the end in the last one. */
static Band band_of(const EditDistance *d, int64_t row)
{
    int64_t end = d->ref->count + 1;
    if (row == 0)
        return (Band){0, end};
    int64_t diagonal = (int64_t)floor((double)row * d->ratio);
    int64_t low = diagonal - d->beam, high = diagonal + d->beam;
    return (Band){low > 0 ? low : 0, row == d->hyp_count || high > end ? end : high};
}

EditDistance *edit_distance_new(const Symbols *ref, int64_t hyp_count)
{
    EditDistance *d = xcalloc(1, sizeof *d);
    int64_t R = ref->count, H = hyp_count;
    d->ref = ref;
    d->hyp_count = H;
    d->ratio = H > 0 ? (double)R / (double)H : 1.0;
    /* Texts of very different length: the bands of neighbouring rows must overlap. */
    d->beam = BEAM < d->ratio / 2 ? (int64_t)ceil(d->ratio / 2 + BEAM) : BEAM;
    for (int64_t row = 1; row <= H; row++) {
        Band band = band_of(d, row);
        if (band.high - band.low > d->stride)
            d->stride = band.high - band.low;
    }
    d->first = xcalloc((size_t)R + 1, sizeof *d->first);
    for (int64_t j = 0; j <= R; j++)
        d->first[j] = (int32_t)j;
    d->costs = xcalloc((size_t)H * (size_t)d->stride, sizeof *d->costs);
    d->ops = xcalloc((size_t)H * (size_t)d->stride, sizeof *d->ops);
    for (int i = 0; i < 2; i++)
        d->rows[i] = xcalloc((size_t)d->stride, sizeof *d->rows[i]);
    d->alignment = (Alignment){.of_ref = xcalloc((size_t)R, sizeof *d->alignment.of_ref),
                               .ref_wrong = xcalloc((size_t)R, sizeof *d->alignment.ref_wrong),
                               .hyp_wrong = xcalloc((size_t)H, sizeof *d->alignment.hyp_wrong)};
    return d;
}

void edit_distance_free(EditDistance *d)
{
    if (!d)
        return;
    free(d->first);
    free(d->costs);
    free(d->ops);
    free(d->rows[0]);
    free(d->rows[1]);
    symbols_clear(&d->aligned);
    free(d->alignment.of_ref);
    free(d->alignment.ref_wrong);
    free(d->alignment.hyp_wrong);
    free(d);
}

/* One row from the one above it. Equal costs: keep or replace, then delete, then insert. `ops` may
 * be NULL. */
static void fill_row(const EditDistance *d, int64_t row, uint32_t word, const int32_t *above,
                     int32_t *costs, uint8_t *ops)
{
    Band band = band_of(d, row), up = band_of(d, row - 1);
    int32_t left = FAR;
    for (int64_t j = band.low; j < band.high; j++) {
        int32_t cost = FAR;
        EditOp op = OP_NONE;
        bool same = j > 0 && word == d->ref->items[j - 1];
        if (j > up.low && j <= up.high) {
            cost = above[j - 1 - up.low] + !same;
            op = same ? OP_KEEP : OP_REPLACE;
        }
        if (j >= up.low && j < up.high && above[j - up.low] + 1 < cost) {
            cost = above[j - up.low] + 1;
            op = OP_DELETE;
        }
        if (left + 1 < cost) {
            cost = left + 1;
            op = OP_INSERT;
        }
        costs[j - band.low] = left = cost;
        if (ops)
            ops[j - band.low] = (uint8_t)op;
    }
}

static const int32_t *aligned_row(const EditDistance *d, int64_t row)
{
    return row == 0 ? d->first : d->costs + (row - 1) * d->stride;
}

/* The cost in the last cell of the last row. */
static int64_t last_cost(const EditDistance *d, const int32_t *last_row)
{
    return last_row[d->ref->count - band_of(d, d->hyp_count).low];
}

/* Walks back from the last cell. */
static void trace_back(EditDistance *d)
{
    Alignment *out = &d->alignment;
    memset(out->ref_wrong, 0, (size_t)d->ref->count * sizeof *out->ref_wrong);
    memset(out->hyp_wrong, 0, (size_t)d->hyp_count * sizeof *out->hyp_wrong);
    int64_t i = d->hyp_count, j = d->ref->count;
    while (i > 0 || j > 0) {
        EditOp op = i == 0 ? OP_INSERT : d->ops[(i - 1) * d->stride + j - band_of(d, i).low];
        CHECK(op != OP_NONE, "no way through the band at %lld, %lld", (long long)i, (long long)j);
        if (op == OP_DELETE) {
            out->hyp_wrong[--i] = true;
            continue;
        }
        out->of_ref[--j] = i - 1;
        out->ref_wrong[j] = op != OP_KEEP;
        if (op != OP_INSERT)
            out->hyp_wrong[--i] = op == OP_REPLACE;
    }
}

int64_t edit_distance_align(EditDistance *d, const Symbols *hyp, const Alignment **out)
{
    CHECK(hyp->count == d->hyp_count, "another number of words");
    d->aligned.count = 0;
    for (int64_t i = 0; i < hyp->count; i++) {
        symbols_add(&d->aligned, hyp->items[i]);
        fill_row(d, i + 1, hyp->items[i], aligned_row(d, i), d->costs + i * d->stride,
                 d->ops + i * d->stride);
    }
    trace_back(d);
    *out = &d->alignment;
    return last_cost(d, aligned_row(d, d->hyp_count));
}

/* Whether every cell of a row is the aligned text's plus one number, which goes to `*more`. */
static bool differs_by_one_number(const EditDistance *d, int64_t row, const int32_t *costs,
                                  int32_t *more)
{
    const int32_t *aligned = aligned_row(d, row);
    Band band = band_of(d, row);
    *more = costs[0] - aligned[0];
    for (int64_t i = 1; i < band.high - band.low; i++)
        if (costs[i] - aligned[i] != *more)
            return false;
    return true;
}

int64_t edit_distance_try(EditDistance *d, const Symbols *hyp)
{
    CHECK(hyp->count == d->aligned.count, "another number of words");
    int64_t row = 0, last = hyp->count; /* what differs: words [row, last) */
    while (row < last && hyp->items[row] == d->aligned.items[row])
        row++;
    while (last > row && hyp->items[last - 1] == d->aligned.items[last - 1])
        last--;
    const int32_t *above = aligned_row(d, row);
    for (; row < hyp->count; row++) {
        /* Behind it the rows follow from each other as before, so the difference stays. */
        int32_t more;
        if (row >= last && differs_by_one_number(d, row, above, &more))
            return last_cost(d, aligned_row(d, d->hyp_count)) + more;
        int32_t *costs = d->rows[row % 2];
        fill_row(d, row + 1, hyp->items[row], above, costs, NULL);
        above = costs;
    }
    return last_cost(d, above);
}
