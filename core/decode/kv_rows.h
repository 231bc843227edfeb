/* Keys and values of a sequence on the host, position by position: what a file of them holds,
 * whatever the pages and the ranks they came from. */
#ifndef CAMBIUM_CORE_DECODE_KV_ROWS_H
#define CAMBIUM_CORE_DECODE_KV_ROWS_H

#include "core/decode/kv_cache.h"

typedef enum KvPart { KV_KEYS, KV_VALUES, KV_KEY_SCALES, KV_VALUE_SCALES } KvPart;
enum { KV_PARTS = 4 };

/* Of one expert's layer, positions [first, first + count): (count, n_kv_heads, head_dim) of the
 * cache's type, or the scales of an int8 cache: (count, n_kv_heads) float32. */
typedef struct KvRows {
    int64_t sequence, expert, layer;
    KvPart part;
    int64_t first, count;
} KvRows;

int kv_part_count(DType type);                                   /* 4 of an int8 cache, else 2 */
Tensor kv_part_row(KvPart part, DType type, int64_t head_dim);   /* of one position and head */
size_t kv_part_bytes(KvPart part, DType type, int64_t head_dim); /* the same in bytes */

/* Copies rows of a cache to host memory, or from there, and waits. `first` begins a page, and its
 * pages belong to this sequence alone when they are written. */
Status kv_rows_read(const KvCache *cache, const Device *device, const KvRows *rows, void *host,
                    Err *err);
Status kv_rows_write(KvCache *cache, const Device *device, const KvRows *rows, const void *host,
                     Err *err);

#endif
