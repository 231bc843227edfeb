#include "core/io/compare.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"

enum { PIECE = 1 << 18 }; /* values per unit of work */

static double value_at(const void *data, DType dtype, int64_t i)
{
    switch (dtype) {
    case DTYPE_F32:
        return (double)((const float *)data)[i];
    case DTYPE_BF16:
        return (double)bf16_to_f32(((const uint16_t *)data)[i]);
    case DTYPE_I8:
        return ((const int8_t *)data)[i];
    case DTYPE_I32:
        return ((const int32_t *)data)[i];
    case DTYPE_U8:
        return ((const uint8_t *)data)[i];
    case DTYPE_I64:
        return (double)((const int64_t *)data)[i];
    case DTYPE_U16:
        return ((const uint16_t *)data)[i];
    }
    return 0.0;
}

typedef struct CompareJob {
    const void *a, *b;
    DType a_type, b_type;
    int64_t total;
    double tolerance;
    Difference *pieces; /* one per PIECE values */
} CompareJob;

static void compare_pieces(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const CompareJob *job = context;
    for (int64_t piece = begin; piece < end; piece++) {
        Difference *d = &job->pieces[piece];
        int64_t stop = (piece + 1) * PIECE < job->total ? (piece + 1) * PIECE : job->total;
        for (int64_t i = piece * PIECE; i < stop; i++) {
            double x = value_at(job->a, job->a_type, i), y = value_at(job->b, job->b_type, i);
            if (x == y || (isnan(x) && isnan(y)))
                continue;
            double difference = isfinite(x) && isfinite(y) ? fabs(x - y) : (double)INFINITY;
            if (difference <= job->tolerance)
                continue;
            d->count++;
            d->max_abs = fmax(d->max_abs, difference);
            double relative = isfinite(difference) ? difference / fmax(fabs(x), fabs(y)) : 1.0;
            d->max_rel = fmax(d->max_rel, relative);
        }
    }
}

static Status compare_tensors(const Container *a, const Container *b, const ContainerEntry *x,
                              const ContainerEntry *y, double tolerance, Difference *out, Err *err)
{
    Sha256 first = container_digest(a, x->path), second = container_digest(b, y->path);
    out->total = tensor_count(&x->shape);
    if (x->shape.dtype == y->shape.dtype && memcmp(&first, &second, sizeof first) == 0)
        return STATUS_OK;
    CompareJob job = {.a_type = x->shape.dtype,
                      .b_type = y->shape.dtype,
                      .total = out->total,
                      .tolerance = tolerance};
    TRY(container_map(a, x->path, &job.a, err));
    TRY(container_map(b, y->path, &job.b, err));
    int64_t n = (out->total + PIECE - 1) / PIECE;
    job.pieces = xcalloc((size_t)n + 1, sizeof *job.pieces);
    parallel_dynamic(n, 1, compare_pieces, &job);
    for (int64_t i = 0; i < n; i++) {
        out->count += job.pieces[i].count;
        out->max_abs = fmax(out->max_abs, job.pieces[i].max_abs);
        out->max_rel = fmax(out->max_rel, job.pieces[i].max_rel);
    }
    free(job.pieces);
    container_drop(a, x->path);
    container_drop(b, y->path);
    return STATUS_OK;
}

static void add(DifferenceList *list, Difference difference)
{
    list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = difference;
}

/* JSON says the same in whatever order its members come. */
static bool same_text(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    json_t *x = json_loads(a, JSON_DECODE_ANY, NULL), *y = json_loads(b, JSON_DECODE_ANY, NULL);
    bool same = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static Status compare_entries(const Container *a, const Container *b, const ContainerEntry *x,
                              const ContainerEntry *y, double tolerance, DifferenceList *out,
                              Err *err)
{
    Difference d = {.kind = DIFFERENCE_VALUES, .path = x->path};
    if (x->is_text != y->is_text || (!x->is_text && !tensor_same_shape(&x->shape, &y->shape))) {
        d.kind = DIFFERENCE_SHAPE;
        add(out, d);
        return STATUS_OK;
    }
    if (x->is_text) {
        const char *first, *second;
        TRY(container_text(a, x->path, &first, err));
        TRY(container_text(b, y->path, &second, err));
        d.kind = DIFFERENCE_TEXT;
        d.count = !same_text(first, second);
    } else {
        TRY(compare_tensors(a, b, x, y, tolerance, &d, err));
    }
    if (d.count > 0)
        add(out, d);
    return STATUS_OK;
}

Status containers_compare(const Container *a, const Container *b, double tolerance,
                          DifferenceList *out, Err *err)
{
    int64_t i = 0, k = 0;
    *out = (DifferenceList){0};
    /* Both lists are sorted by path. */
    while (i < container_count(a) || k < container_count(b)) {
        const ContainerEntry *x = i < container_count(a) ? container_entry(a, i) : NULL;
        const ContainerEntry *y = k < container_count(b) ? container_entry(b, k) : NULL;
        int order = !x ? 1 : !y ? -1 : strcmp(x->path, y->path);
        out->compared++;
        if (order == 0)
            TRY(compare_entries(a, b, x, y, tolerance, out, err));
        else if (order < 0)
            add(out, (Difference){.kind = DIFFERENCE_ONLY_FIRST, .path = x->path});
        else
            add(out, (Difference){.kind = DIFFERENCE_ONLY_SECOND, .path = y->path});
        i += order <= 0;
        k += order >= 0;
    }
    return STATUS_OK;
}
