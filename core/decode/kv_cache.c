#include "core/decode/kv_cache.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

typedef struct Sequence {
    bool open;
    int64_t length;
    int64_t n_pages;
} Sequence;

struct KvCache {
    KvShape shape;
    Device device;
    int64_t max_pages; /* of one sequence */
    void *memory;
    KvPages *layers; /* (n_layers) views into memory */
    Tensor page_table;
    int32_t *table; /* (max_sequences, max_pages): the host's copy */
    int32_t *sent;  /* as it was uploaded last: the device may not have read it yet */
    bool table_changed;
    Sequence *sequences;
    int32_t *page_users; /* (n_pages): sequences that have it */
    int32_t *free_pages; /* a stack */
    int64_t n_free;
};

static int64_t pages_for(const KvShape *shape, int64_t positions)
{
    return (positions + shape->page_size - 1) / shape->page_size;
}

/* Lays the views out in one block of memory: measures when arena->base is NULL. */
static void place(const KvShape *shape, Arena *arena, KvPages *layers, Tensor *page_table)
{
    int64_t rows = shape->n_pages * shape->n_kv_heads * shape->page_size;
    size_t values = (size_t)(rows * shape->head_dim) * dtype_bytes(shape->dtype);
    for (int64_t layer = 0; layer < shape->n_layers; layer++) {
        void *parts[4] = {arena_take(arena, values), arena_take(arena, values), NULL, NULL};
        if (shape->dtype == DTYPE_I8)
            for (int i = 2; i < 4; i++)
                parts[i] = arena_take(arena, (size_t)rows * sizeof(float));
        if (!layers)
            continue;
        Tensor *views[4] = {&layers[layer].k_pages, &layers[layer].v_pages, &layers[layer].k_scales,
                            &layers[layer].v_scales};
        for (int i = 0; i < 4; i++)
            *views[i] = i < 2 ? tensor_4d(parts[i], shape->dtype, shape->n_pages, shape->n_kv_heads,
                                          shape->page_size, shape->head_dim)
                              : tensor_3d(parts[i], DTYPE_F32, shape->n_pages, shape->n_kv_heads,
                                          shape->page_size);
    }
    int64_t max_pages = pages_for(shape, shape->max_positions);
    void *table = arena_take(arena, (size_t)(shape->max_sequences * max_pages) * sizeof(int32_t));
    if (page_table)
        *page_table = tensor_2d(table, DTYPE_I32, shape->max_sequences, max_pages);
}

size_t kv_cache_bytes(const KvShape *shape)
{
    Arena arena;
    arena_init(&arena, NULL, 0);
    place(shape, &arena, NULL, NULL);
    return arena.used;
}

Status kv_cache_new(KvCache **out, const Device *device, const KvShape *shape, Err *err)
{
    KvCache *cache = xcalloc(1, sizeof *cache);
    *cache = (KvCache){.shape = *shape, .device = *device};
    *out = NULL;
    size_t bytes = kv_cache_bytes(shape);
    if (device->ops->alloc(&cache->memory, bytes, "the KV cache", err) != STATUS_OK) {
        free(cache);
        return err_wrap(err, "%lld positions", (long long)(shape->n_pages * shape->page_size));
    }
    cache->max_pages = pages_for(shape, shape->max_positions);
    cache->layers = xcalloc((size_t)shape->n_layers, sizeof *cache->layers);
    Arena arena;
    arena_init(&arena, cache->memory, bytes);
    place(shape, &arena, cache->layers, &cache->page_table);
    for (int64_t layer = 0; layer < shape->n_layers; layer++)
        cache->layers[layer].page_table = cache->page_table;
    cache->table = xcalloc((size_t)(shape->max_sequences * cache->max_pages), sizeof(int32_t));
    cache->sent = xcalloc((size_t)(shape->max_sequences * cache->max_pages), sizeof(int32_t));
    cache->table_changed = true;
    cache->sequences = xcalloc((size_t)shape->max_sequences, sizeof *cache->sequences);
    cache->page_users = xcalloc((size_t)shape->n_pages, sizeof *cache->page_users);
    cache->free_pages = xcalloc((size_t)shape->n_pages, sizeof *cache->free_pages);
    for (int64_t page = shape->n_pages - 1; page >= 0; page--)
        cache->free_pages[cache->n_free++] = (int32_t)page;
    *out = cache;
    return STATUS_OK;
}

void kv_cache_free(KvCache *cache)
{
    if (!cache)
        return;
    cache->device.ops->free(cache->memory);
    free(cache->layers);
    free(cache->table);
    free(cache->sent);
    free(cache->sequences);
    free(cache->page_users);
    free(cache->free_pages);
    free(cache);
}

const KvShape *kv_cache_shape(const KvCache *cache)
{
    return &cache->shape;
}

int64_t kv_cache_open(KvCache *cache)
{
    for (int64_t i = 0; i < cache->shape.max_sequences; i++) {
        if (!cache->sequences[i].open) {
            cache->sequences[i] = (Sequence){.open = true};
            return i;
        }
    }
    return -1;
}

static Sequence *sequence_of(const KvCache *cache, int64_t sequence)
{
    CHECK(sequence >= 0 && sequence < cache->shape.max_sequences && cache->sequences[sequence].open,
          "sequence %lld is not open", (long long)sequence);
    return &cache->sequences[sequence];
}

void kv_cache_close(KvCache *cache, int64_t sequence)
{
    kv_cache_truncate(cache, sequence, 0);
    cache->sequences[sequence].open = false;
}

int64_t kv_cache_length(const KvCache *cache, int64_t sequence)
{
    return sequence_of(cache, sequence)->length;
}

int64_t kv_cache_free_positions(const KvCache *cache)
{
    return cache->n_free * cache->shape.page_size;
}

Status kv_cache_extend(KvCache *cache, int64_t sequence, int64_t count, Err *err)
{
    Sequence *s = sequence_of(cache, sequence);
    const KvShape *shape = &cache->shape;
    if (s->length + count > shape->max_positions)
        return err_set(err,
                       "a sequence of %lld tokens does not fit the %lld positions planned for it; "
                       "raise --context",
                       (long long)(s->length + count), (long long)shape->max_positions);
    int64_t need = pages_for(shape, s->length + count) - s->n_pages;
    if (need > cache->n_free)
        return err_set(err,
                       "the KV cache is full: %lld pages of %lld positions are free, %lld are "
                       "wanted; run fewer sequences at a time ('cambium serve' has --kv-tokens)",
                       (long long)cache->n_free, (long long)shape->page_size, (long long)need);
    int32_t *pages = cache->table + sequence * cache->max_pages;
    CHECK(s->length % shape->page_size == 0 || cache->page_users[pages[s->n_pages - 1]] == 1,
          "sequence %lld would write to a page that others read", (long long)sequence);
    cache->table_changed |= need > 0;
    for (; need > 0; need--) {
        int32_t page = cache->free_pages[--cache->n_free];
        cache->page_users[page] = 1;
        pages[s->n_pages++] = page;
    }
    s->length += count;
    return STATUS_OK;
}

int32_t kv_cache_slot(const KvCache *cache, int64_t sequence, int64_t position)
{
    const Sequence *s = sequence_of(cache, sequence);
    int64_t page_size = cache->shape.page_size;
    CHECK(position >= 0 && position < s->length, "position %lld of %lld", (long long)position,
          (long long)s->length);
    const int32_t *pages = cache->table + sequence * cache->max_pages;
    return (int32_t)(pages[position / page_size] * page_size + position % page_size);
}

void kv_cache_truncate(KvCache *cache, int64_t sequence, int64_t length)
{
    Sequence *s = sequence_of(cache, sequence);
    CHECK(length >= 0 && length <= s->length, "cannot truncate %lld positions to %lld",
          (long long)s->length, (long long)length);
    int64_t keep = pages_for(&cache->shape, length);
    int32_t *pages = cache->table + sequence * cache->max_pages;
    while (s->n_pages > keep) {
        int32_t page = pages[--s->n_pages];
        if (--cache->page_users[page] == 0)
            cache->free_pages[cache->n_free++] = page;
    }
    s->length = length;
}

void kv_cache_share(KvCache *cache, int64_t sequence, int64_t from, int64_t n_pages)
{
    Sequence *to = sequence_of(cache, sequence);
    const Sequence *donor = sequence_of(cache, from);
    CHECK(to->n_pages == 0, "sequence %lld is not empty", (long long)sequence);
    CHECK(n_pages >= 0 && n_pages * cache->shape.page_size <= donor->length,
          "%lld whole pages of a sequence of %lld", (long long)n_pages, (long long)donor->length);
    const int32_t *pages = cache->table + from * cache->max_pages;
    for (int64_t i = 0; i < n_pages; i++)
        cache->page_users[pages[i]]++;
    memcpy(cache->table + sequence * cache->max_pages, pages, (size_t)n_pages * sizeof *pages);
    to->n_pages = n_pages;
    to->length = n_pages * cache->shape.page_size;
    cache->table_changed |= n_pages > 0;
}

void kv_cache_sync(KvCache *cache)
{
    if (!cache->table_changed)
        return;
    size_t bytes = tensor_bytes(&cache->page_table);
    memcpy(cache->sent, cache->table, bytes);
    cache->device.ops->upload(cache->device.queue, cache->page_table.data, cache->sent, bytes);
    cache->table_changed = false;
}

KvPages kv_cache_pages(const KvCache *cache, int64_t layer)
{
    return cache->layers[layer];
}
