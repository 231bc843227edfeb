#include "embed/codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

enum {
    ROWS_MAX = 1 << 23,
    WIDTH_MAX = 16384,
    ID_BITS_MIN = 16, /* published: every id counts as 16 bits, also in smaller vocabularies */
};

/* Bits that tell `rows` ids apart. */
static int64_t bits_needed(int64_t rows)
{
    int64_t bits = 0;
    while (((int64_t)1 << bits) < rows)
        bits++;
    return bits;
}

static Status check_spec(const CodeSpec *spec, Err *err)
{
    if (spec->rows < 1 || spec->rows > ROWS_MAX)
        return err_set(err, "codes for %lld tokens; 1 to %d are supported", (long long)spec->rows,
                       ROWS_MAX);
    if (spec->width < 1 || spec->width > WIDTH_MAX)
        return err_set(err, "codes of width %lld; 1 to %d are supported", (long long)spec->width,
                       WIDTH_MAX);
    /* One float of unit length is 1 or -1; from two on there are more than ROWS_MAX directions. */
    int64_t needed = bits_needed(spec->rows);
    if (spec->kind == CODE_FLOATS)
        needed = needed > 1 ? 2 : needed;
    if (spec->width < needed)
        return err_set(err, "%lld tokens have no distinct codes of width %lld: at least %lld",
                       (long long)spec->rows, (long long)spec->width, (long long)needed);
    return STATUS_OK;
}

static void put_bits(uint64_t bits, int64_t width, float *row)
{
    for (int64_t j = 0; j < width; j++)
        row[j] = j < 64 ? (float)(bits >> j & 1) : 0;
}

static void random_bits(Rng *rng, int64_t width, float *row)
{
    for (int64_t j = 0; j < width; j += 64)
        put_bits(rng_u64(rng), width - j < 64 ? width - j : 64, row + j);
}

/* Twelve uniform numbers add up to one that is normal near enough, and exact, unlike what log and
 * cos give on different machines. */
static int64_t nearly_normal(Rng *rng)
{
    int64_t sum = 0;
    for (int word = 0; word < 3; word++) {
        uint64_t bits = rng_u64(rng);
        for (int part = 0; part < 4; part++, bits >>= 16)
            sum += 2 * (int64_t)(bits & 0xffff) - 0xffff;
    }
    return sum;
}

static void random_direction(Rng *rng, int64_t width, float *row)
{
    int64_t square = 0, *x = xmalloc((size_t)width * sizeof *x);
    do {
        square = 0;
        for (int64_t j = 0; j < width; j++) {
            x[j] = nearly_normal(rng);
            square += x[j] * x[j]; /* below 2^40 each: exact */
        }
    } while (square == 0);
    double length = sqrt((double)square);
    for (int64_t j = 0; j < width; j++)
        row[j] = (float)((double)x[j] / length);
    free(x);
}

/* Rows seen so far: an open-addressed hash table of their numbers. */
typedef struct RowSet {
    const float *rows;
    int64_t width;
    int64_t *slots; /* -1: free */
    uint64_t mask;
} RowSet;

/* Adds a row; false when an equal one is there. */
static bool row_set_add(RowSet *set, int64_t row)
{
    const float *x = set->rows + row * set->width;
    uint64_t hash = 0;
    for (int64_t j = 0; j < set->width; j++) {
        uint32_t bits;
        memcpy(&bits, &x[j], sizeof bits);
        hash = hash_mix64(hash ^ bits);
    }
    uint64_t slot = hash & set->mask;
    for (; set->slots[slot] >= 0; slot = (slot + 1) & set->mask)
        if (memcmp(set->rows + set->slots[slot] * set->width, x, (size_t)set->width * sizeof *x) ==
            0)
            return false;
    set->slots[slot] = row;
    return true;
}

/* Draws each row until it differs from all before it. */
static void draw_distinct(const CodeSpec *spec, Rng *rng, float *out,
                          void (*draw)(Rng *rng, int64_t width, float *row))
{
    uint64_t slots = (uint64_t)2 << bits_needed(spec->rows);
    RowSet set = {out, spec->width, xmalloc(slots * sizeof(int64_t)), slots - 1};
    memset(set.slots, 0xff, slots * sizeof(int64_t));
    for (int64_t r = 0; r < spec->rows; r++)
        do
            draw(rng, spec->width, out + r * spec->width);
        while (!row_set_add(&set, r));
    free(set.slots);
}

/* The first rows of a random order of all codes: drawing until a new one comes would take long
 * when most of them are wanted. */
static void draw_shuffled(const CodeSpec *spec, Rng *rng, float *out)
{
    int64_t all = (int64_t)1 << spec->width;
    uint32_t *order = xmalloc((size_t)all * sizeof *order);
    for (int64_t i = 0; i < all; i++)
        order[i] = (uint32_t)i;
    for (int64_t r = 0; r < spec->rows; r++) {
        int64_t other = r + rng_below(rng, all - r);
        uint32_t code = order[other];
        order[other] = order[r];
        put_bits(code, spec->width, out + r * spec->width);
    }
    free(order);
}

/* Column c of A, as float zeros and ones, joins the columns before it: false when it is a sum of
 * them. `reduced` keeps the columns in echelon form, `pivot` each one's leading row. */
static bool independent(float *reduced, int64_t *pivot, int64_t c, int64_t width)
{
    float *column = reduced + c * width;
    for (int64_t k = 0; k < c; k++)
        if (column[pivot[k]] != 0)
            for (int64_t j = 0; j < width; j++)
                column[j] = column[j] != reduced[k * width + j] ? 1 : 0;
    for (pivot[c] = 0; pivot[c] < width && column[pivot[c]] == 0;)
        pivot[c]++;
    return pivot[c] < width;
}

static void affine(const CodeSpec *spec, Rng *rng, float *out)
{
    int64_t width = spec->width, columns = bits_needed(spec->rows);
    if (columns < ID_BITS_MIN)
        columns = width < ID_BITS_MIN ? width : (int64_t)ID_BITS_MIN;
    size_t bytes = (size_t)width * sizeof(float);
    float *a = xmalloc((size_t)columns * bytes), *reduced = xmalloc((size_t)columns * bytes);
    float *b = xmalloc(bytes);
    int64_t pivot[64];
    for (int64_t c = 0; c < columns; c++)
        do {
            random_bits(rng, width, a + c * width);
            memcpy(reduced + c * width, a + c * width, bytes);
        } while (!independent(reduced, pivot, c, width));
    random_bits(rng, width, b);
    for (int64_t r = 0; r < spec->rows; r++) {
        float *row = out + r * width;
        memcpy(row, b, bytes);
        for (int64_t c = 0; c < columns; c++)
            if (r >> c & 1)
                for (int64_t j = 0; j < width; j++)
                    row[j] = row[j] != a[c * width + j] ? 1 : 0;
    }
    free(a);
    free(reduced);
    free(b);
}

Status codes_make(const CodeSpec *spec, float *out, Err *err)
{
    TRY(check_spec(spec, err));
    Rng rng;
    rng_init(&rng, spec->seed, (uint64_t)spec->kind);
    switch (spec->kind) {
    case CODE_ID:
        for (int64_t r = 0; r < spec->rows; r++)
            put_bits((uint64_t)r, spec->width, out + r * spec->width);
        break;
    case CODE_BITS:
        if (spec->width <= bits_needed(spec->rows) + 1)
            draw_shuffled(spec, &rng, out);
        else
            draw_distinct(spec, &rng, out, random_bits);
        break;
    case CODE_FLOATS:
        draw_distinct(spec, &rng, out, random_direction);
        break;
    case CODE_AFFINE:
        affine(spec, &rng, out);
        break;
    }
    return STATUS_OK;
}
