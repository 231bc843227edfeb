#include "core/io/compare.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/parallel.h"

enum { PIECE = 1 << 18, STEP = FILE_TENSOR_STEP }; /* values per unit of work, and at a time */

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

/* Numbers of one side, from `first` on. */
typedef void ValuesFn(const void *source, int64_t first, int64_t count, double *out);

typedef struct CompareJob {
    const void *a, *b; /* sources of the two functions */
    ValuesFn *a_values, *b_values;
    int64_t total;
    double tolerance;
    Difference *pieces; /* one per PIECE values */
} CompareJob;

static void compare_one(Difference *d, double x, double y, double tolerance)
{
    if (x == y || (isnan(x) && isnan(y)))
        return;
    double difference = isfinite(x) && isfinite(y) ? fabs(x - y) : (double)INFINITY;
    if (difference <= tolerance)
        return;
    d->count++;
    d->max_abs = fmax(d->max_abs, difference);
    double relative = isfinite(difference) ? difference / fmax(fabs(x), fabs(y)) : 1.0;
    d->max_rel = fmax(d->max_rel, relative);
}

static void compare_pieces(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const CompareJob *job = context;
    double x[STEP], y[STEP];
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t stop = (piece + 1) * PIECE < job->total ? (piece + 1) * PIECE : job->total;
        for (int64_t at = piece * PIECE; at < stop; at += STEP) {
            int64_t n = stop - at < STEP ? stop - at : STEP;
            job->a_values(job->a, at, n, x);
            job->b_values(job->b, at, n, y);
            for (int64_t i = 0; i < n; i++)
                compare_one(&job->pieces[piece], x[i], y[i], job->tolerance);
        }
    }
}

static void run_job(CompareJob *job, Difference *out)
{
    int64_t n = (job->total + PIECE - 1) / PIECE;
    job->pieces = xcalloc((size_t)n + 1, sizeof *job->pieces);
    parallel_dynamic(n, 1, compare_pieces, job);
    for (int64_t i = 0; i < n; i++) {
        out->count += job->pieces[i].count;
        out->max_abs = fmax(out->max_abs, job->pieces[i].max_abs);
        out->max_rel = fmax(out->max_rel, job->pieces[i].max_rel);
    }
    free(job->pieces);
}

typedef struct Dataset {
    const void *data;
    DType type;
} Dataset;

static void dataset_values(const void *source, int64_t first, int64_t count, double *out)
{
    const Dataset *dataset = source;
    for (int64_t i = 0; i < count; i++)
        out[i] = value_at(dataset->data, dataset->type, first + i);
}

static Status compare_tensors(const Container *a, const Container *b, const ContainerEntry *x,
                              const ContainerEntry *y, double tolerance, Difference *out, Err *err)
{
    Sha256 first = container_digest(a, x->path), second = container_digest(b, y->path);
    out->total = tensor_count(&x->shape);
    if (x->shape.dtype == y->shape.dtype && memcmp(&first, &second, sizeof first) == 0)
        return STATUS_OK;
    Dataset own = {.type = x->shape.dtype}, other = {.type = y->shape.dtype};
    TRY(container_map(a, x->path, &own.data, err));
    TRY(container_map(b, y->path, &other.data, err));
    CompareJob job = {&own, &other, dataset_values, dataset_values, out->total, tolerance, NULL};
    run_job(&job, out);
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

/* ---- files of other programs ----------------------------------------------------------------- */

static void tensor_values(const void *source, int64_t first, int64_t count, double *out)
{
    file_tensor_values(source, first, count, out);
}

static void compare_file_tensors(const FileTensor *x, const FileTensor *y, double tolerance,
                                 DifferenceList *out)
{
    Difference d = {.kind = DIFFERENCE_VALUES, .path = x->name, .total = x->count};
    if (x->n_dims != y->n_dims ||
        memcmp(x->shape, y->shape, (size_t)x->n_dims * sizeof *x->shape) != 0) {
        d.kind = DIFFERENCE_SHAPE;
        add(out, d);
        return;
    }
    bool same_type = x->stored == y->stored && x->block == y->block;
    if (same_type && memcmp(x->data, y->data, (size_t)x->bytes) == 0)
        return;
    CompareJob job = {x, y, tensor_values, tensor_values, x->count, tolerance, NULL};
    run_job(&job, &d);
    if (d.count > 0)
        add(out, d);
}

void tensor_files_compare(const TensorFile *a, const TensorFile *b, double tolerance,
                          DifferenceList *out)
{
    int64_t i = 0, k = 0, n = tensor_file_count(a), m = tensor_file_count(b);
    *out = (DifferenceList){0};
    /* Both lists are sorted by name. A name means nothing where there is one tensor only. */
    while (i < n || k < m) {
        FileTensor x = {0}, y = {0};
        if (i < n)
            x = tensor_file_at(a, i);
        if (k < m)
            y = tensor_file_at(b, k);
        int order = n == 1 && m == 1 ? 0 : i == n ? 1 : k == m ? -1 : strcmp(x.name, y.name);
        out->compared++;
        if (order == 0)
            compare_file_tensors(&x, &y, tolerance, out);
        else if (order < 0)
            add(out, (Difference){.kind = DIFFERENCE_ONLY_FIRST, .path = x.name});
        else
            add(out, (Difference){.kind = DIFFERENCE_ONLY_SECOND, .path = y.name});
        i += order <= 0;
        k += order >= 0;
    }
}
