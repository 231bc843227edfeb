#include "core/decode/kv_rows.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { PAGES = 64 }; /* on the host at a time */

int kv_part_count(DType type)
{
    return type == DTYPE_I8 ? 4 : 2;
}

Tensor kv_part_row(KvPart part, DType type, int64_t head_dim)
{
    return part >= KV_KEY_SCALES ? tensor_1d(NULL, DTYPE_F32, 1) : tensor_1d(NULL, type, head_dim);
}

size_t kv_part_bytes(KvPart part, DType type, int64_t head_dim)
{
    Tensor row = kv_part_row(part, type, head_dim);
    return tensor_bytes(&row);
}

/* Rows of a cache between its pages and the host. */
typedef struct Copy {
    const KvShape *shape;
    Device device;
    Tensor pages; /* (n_pages, K, page_size, ...) of the part */
    size_t row, page;
    int32_t numbers[PAGES];
    int64_t n_pages;
    char *staged; /* (n_pages, K, page_size) rows */
} Copy;

static void copy_init(Copy *copy, const KvCache *cache, const Device *device, const KvRows *rows)
{
    KvPages kv = kv_cache_pages(cache, rows->layer);
    const Tensor *const parts[KV_PARTS] = {&kv.k_pages, &kv.v_pages, &kv.k_scales, &kv.v_scales};
    const KvShape *shape = kv_cache_shape(cache);
    CHECK(rows->first % shape->page_size == 0, "position %lld begins no page",
          (long long)rows->first);
    size_t row = kv_part_bytes(rows->part, shape->dtype, shape->head_dim);
    *copy = (Copy){.shape = shape, .device = *device, .pages = *parts[rows->part], .row = row};
    copy->page = row * (size_t)(shape->n_kv_heads * shape->page_size);
    copy->staged = xcalloc(PAGES, copy->page);
}

/* The pages from position `first` on; returns how many positions of `count` they hold. */
static int64_t copy_turn(Copy *copy, const KvCache *cache, int64_t sequence, int64_t first,
                         int64_t count)
{
    int64_t size = copy->shape->page_size;
    copy->n_pages = 0;
    for (int64_t at = 0; at < count && copy->n_pages < PAGES; at += size)
        copy->numbers[copy->n_pages++] =
            (int32_t)(kv_cache_slot(cache, sequence, first + at) / size);
    return copy->n_pages * size < count ? copy->n_pages * size : count;
}

static char *staged_row(const Copy *copy, int64_t position, int64_t head)
{
    int64_t size = copy->shape->page_size, page = position / size;
    int64_t row = (page * copy->shape->n_kv_heads + head) * size + position % size;
    return copy->staged + (size_t)row * copy->row;
}

Status kv_rows_read(const KvCache *cache, const Device *device, const KvRows *rows, void *host,
                    Err *err)
{
    Copy copy;
    copy_init(&copy, cache, device, rows);
    Status status = STATUS_OK;
    char *to = host;
    for (int64_t done = 0, n; done < rows->count && status == STATUS_OK; done += n) {
        n = copy_turn(&copy, cache, rows->sequence, rows->first + done, rows->count - done);
        for (int64_t i = 0; i < copy.n_pages; i++) {
            Tensor page = tensor_slice(&copy.pages, copy.numbers[i], 1);
            device->ops->download(device->queue, copy.staged + (size_t)i * copy.page, page.data,
                                  copy.page);
        }
        status = device->ops->queue_wait(device->queue, err);
        for (int64_t p = 0; p < n && status == STATUS_OK; p++)
            for (int64_t h = 0; h < copy.shape->n_kv_heads; h++, to += copy.row)
                memcpy(to, staged_row(&copy, p, h), copy.row);
    }
    free(copy.staged);
    return status;
}

Status kv_rows_write(KvCache *cache, const Device *device, const KvRows *rows, const void *host,
                     Err *err)
{
    Copy copy;
    copy_init(&copy, cache, device, rows);
    Status status = STATUS_OK;
    const char *from = host;
    for (int64_t done = 0, n; done < rows->count && status == STATUS_OK; done += n) {
        n = copy_turn(&copy, cache, rows->sequence, rows->first + done, rows->count - done);
        for (int64_t p = 0; p < n; p++)
            for (int64_t h = 0; h < copy.shape->n_kv_heads; h++, from += copy.row)
                memcpy(staged_row(&copy, p, h), from, copy.row);
        for (int64_t i = 0; i < copy.n_pages; i++) {
            Tensor page = tensor_slice(&copy.pages, copy.numbers[i], 1);
            device->ops->upload(device->queue, page.data, copy.staged + (size_t)i * copy.page,
                                copy.page);
        }
        status = device->ops->queue_wait(device->queue, err);
    }
    free(copy.staged);
    return status;
}
