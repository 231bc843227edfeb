#include "embed/identity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

typedef struct Row {
    uint64_t hash;
    int64_t row;
} Row;

typedef struct Table {
    const uint8_t *data;
    int64_t row_bytes;
} Table;

static bool same_row(const Table *table, int64_t a, int64_t b)
{
    return memcmp(table->data + a * table->row_bytes, table->data + b * table->row_bytes,
                  (size_t)table->row_bytes) == 0;
}

/* Equal rows come together, rising. */
static int compare_rows(const void *a, const void *b, void *context)
{
    const Row *x = a, *y = b;
    const Table *table = context;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    int order = memcmp(table->data + x->row * table->row_bytes,
                       table->data + y->row * table->row_bytes, (size_t)table->row_bytes);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static int compare_first(const void *a, const void *b, void *context)
{
    const Row *rows = context;
    int64_t x = rows[*(const int64_t *)a].row, y = rows[*(const int64_t *)b].row;
    return (x > y) - (x < y);
}

/* Fills `begins` with the index in `sorted` where each group of two or more begins. */
static int64_t find_begins(const Table *table, const Row *sorted, int64_t n, int64_t *begins)
{
    int64_t count = 0;
    for (int64_t i = 0; i + 1 < n; i++) {
        bool with_next = sorted[i].hash == sorted[i + 1].hash &&
                         same_row(table, sorted[i].row, sorted[i + 1].row);
        bool with_last = i > 0 && sorted[i].hash == sorted[i - 1].hash &&
                         same_row(table, sorted[i].row, sorted[i - 1].row);
        if (with_next && !with_last)
            begins[count++] = i;
    }
    return count;
}

void row_groups_find(RowGroups *groups, const void *data, int64_t n_rows, int64_t row_bytes)
{
    Table table = {data, row_bytes};
    Row *sorted = xmalloc((size_t)(n_rows + 1) * sizeof *sorted);
    int64_t *begins = xmalloc((size_t)(n_rows + 1) * sizeof *begins);
    for (int64_t i = 0; i < n_rows; i++)
        sorted[i] = (Row){hash_for_table(table.data + i * row_bytes, row_bytes), i};
    qsort_r(sorted, (size_t)n_rows, sizeof *sorted, compare_rows, &table);
    groups->n_groups = find_begins(&table, sorted, n_rows, begins);
    qsort_r(begins, (size_t)groups->n_groups, sizeof *begins, compare_first, sorted);
    groups->starts = xmalloc((size_t)(groups->n_groups + 1) * sizeof *groups->starts);
    groups->rows = xmalloc((size_t)(n_rows + 1) * sizeof *groups->rows);
    int64_t used = 0;
    for (int64_t g = 0; g < groups->n_groups; g++) {
        int64_t i = begins[g];
        groups->starts[g] = used;
        do
            groups->rows[used++] = sorted[i++].row;
        while (i < n_rows && sorted[i].hash == sorted[i - 1].hash &&
               same_row(&table, sorted[i].row, sorted[i - 1].row));
    }
    groups->starts[groups->n_groups] = used;
    free(begins);
    free(sorted);
}

void row_groups_clear(RowGroups *groups)
{
    free(groups->starts);
    free(groups->rows);
    *groups = (RowGroups){0};
}

/* The first `width` bits of a hash of the token; `attempt` gives another one after a clash. */
static Sha256 code_of(const TokenizerSpec *tokens, int64_t token, int attempt, int64_t width)
{
    HashStream *stream = hash_new();
    uint8_t tags[2] = {tokens->types[token], (uint8_t)attempt};
    hash_update(stream, tags, sizeof tags);
    hash_update(stream, tokens->text + tokens->offsets[token],
                (size_t)(tokens->offsets[token + 1] - tokens->offsets[token]));
    Sha256 code = hash_finish_free(stream);
    for (int64_t bit = width; bit < IDENTITY_MAX; bit++)
        code.bytes[bit / 8] &= (uint8_t) ~(1 << bit % 8);
    return code;
}

static bool taken(const Sha256 *codes, int64_t count, const Sha256 *code)
{
    for (int64_t i = 0; i < count; i++)
        if (hash_equal(&codes[i], code))
            return true;
    return false;
}

static Status code_group(const RowGroups *groups, int64_t g, const TokenizerSpec *tokens,
                         int64_t width, float *out, Err *err)
{
    const int64_t *rows = groups->rows + groups->starts[g];
    int64_t count = groups->starts[g + 1] - groups->starts[g];
    float size = (float)(IDENTITY_NORM / sqrt((double)width));
    Sha256 *codes = xmalloc((size_t)count * sizeof *codes);
    Status status = STATUS_OK;
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        int attempt = 0;
        do
            codes[i] = code_of(tokens, rows[i], attempt, width);
        while (taken(codes, i, &codes[i]) && ++attempt < 256);
        if (attempt == 256)
            status = err_set(err,
                             "%lld tokens share a picture and cannot be told apart by %lld code "
                             "columns: take a larger --identity-code or --dim",
                             (long long)count, (long long)width);
        for (int64_t k = 0; k < width; k++)
            out[rows[i] * width + k] = (codes[i].bytes[k / 8] >> (k % 8)) & 1 ? size : -size;
    }
    free(codes);
    return status;
}

Status identity_codes(const RowGroups *groups, const TokenizerSpec *tokens, int64_t width,
                      float *out, Err *err)
{
    CHECK(width >= 1 && width <= IDENTITY_MAX, "identity codes of %d columns", (int)width);
    memset(out, 0, (size_t)(tokens->n_tokens * width) * sizeof *out);
    for (int64_t g = 0; g < groups->n_groups; g++)
        TRY(code_group(groups, g, tokens, width, out, err));
    return STATUS_OK;
}
