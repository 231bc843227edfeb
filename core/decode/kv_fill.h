/* Synthetic keys and values: contexts so long that nobody could read them in can be decoded all the
 * same, to measure how fast. A value follows from the seed and its place in the whole sequence
 * alone, so that every way of sharding the cache holds the same. */
#ifndef CAMBIUM_CORE_DECODE_KV_FILL_H
#define CAMBIUM_CORE_DECODE_KV_FILL_H

#include "core/decode/kv_cache.h"

typedef struct KvFill {
    Device device;
    DType compute; /* in which values are made */
    uint64_t seed;
    int64_t expert, first_head; /* the cache's first head among the model's */
    /* Which positions the cache holds: blocks of `block` in turn, of which `shard` of `shards` are
     * its. A whole cache: one shard. */
    int64_t block, shards, shard;
} KvFill;

/* Writes all positions that the sequence has room for, in every layer; uniform in (-1, 1). */
Status kv_fill(KvCache *cache, const KvFill *fill, int64_t sequence, Err *err);

#endif
