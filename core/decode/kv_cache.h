/* A paged store of keys and values for several sequences over the layers of one model. Knows shapes
 * only. Pages of `page_size` positions are handed out as sequences grow; a sequence's table of
 * pages is the same in all layers. One thread at a time. */
#ifndef CAMBIUM_CORE_DECODE_KV_CACHE_H
#define CAMBIUM_CORE_DECODE_KV_CACHE_H

#include "core/tensor/backend.h"

typedef struct KvShape {
    int64_t n_layers, n_kv_heads, head_dim;
    int64_t page_size;     /* positions per page */
    int64_t n_pages;       /* capacity, shared by all sequences */
    int64_t max_sequences; /* sequences open at a time */
    int64_t max_positions; /* of one sequence */
    DType dtype;           /* DTYPE_F32, DTYPE_BF16 or DTYPE_I8 */
} KvShape;

typedef struct KvCache KvCache;

size_t kv_cache_bytes(const KvShape *shape); /* device memory that kv_cache_new takes */
Status kv_cache_new(KvCache **out, const Device *device, const KvShape *shape, Err *err);
void kv_cache_free(KvCache *cache);

const KvShape *kv_cache_shape(const KvCache *cache);

/* A new, empty sequence in [0, max_sequences), or -1 when all are in use. */
int64_t kv_cache_open(KvCache *cache);
void kv_cache_close(KvCache *cache, int64_t sequence); /* its pages become free at once */

int64_t kv_cache_length(const KvCache *cache, int64_t sequence);
int64_t kv_cache_free_positions(const KvCache *cache); /* in free pages */

/* Makes room for `count` more positions. Fails when pages or positions run out; the sequence is
 * then unchanged. */
Status kv_cache_extend(KvCache *cache, int64_t sequence, int64_t count, Err *err);
/* Where a position of a sequence is kept: page * page_size + offset. */
int32_t kv_cache_slot(const KvCache *cache, int64_t sequence, int64_t position);
/* An empty sequence takes over the first `n_pages` whole pages of another; nothing is copied, and a
 * page becomes free when its last sequence lets it go. Neither sequence may then be cut within
 * those pages and go on. */
void kv_cache_share(KvCache *cache, int64_t sequence, int64_t from, int64_t n_pages);
/* Forgets all positions from `length` on. */
void kv_cache_truncate(KvCache *cache, int64_t sequence, int64_t length);

/* Brings the page table to the device after kv_cache_extend, before attention. The queue must have
 * been waited for since the last call; other calls may come while it is at work. */
void kv_cache_sync(KvCache *cache);
KvPages kv_cache_pages(const KvCache *cache, int64_t layer); /* borrowed views */

#endif
