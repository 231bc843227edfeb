/* Rows of a sharded KV cache: collected on rank 0 from those that hold them, and dealt out again.
 * (KvRows: core/decode/kv_rows.h, with positions of the whole sequence.) */
#ifndef CAMBIUM_INFER_HELIX_GATHER_KV_H
#define CAMBIUM_INFER_HELIX_GATHER_KV_H

#include "core/comm/comm.h"
#include "core/decode/kv_rows.h"
#include "infer/helix/grid.h"

typedef struct KvShards {
    Device device;
    Comm *world;
    HelixGrid grid;
    int64_t block;
    const ModelConfig *config; /* the expert's, whole */
    KvCache *cache;            /* its shard on this rank */
} KvShards;

/* (together) `host` is rank 0's, the others give NULL; `rows->first` is a multiple of page_size *
 * kvp. */
Status gather_kv(const KvShards *shards, const KvRows *rows, void *host, Err *err);
Status scatter_kv(const KvShards *shards, const KvRows *rows, const void *host, Err *err);

#endif
