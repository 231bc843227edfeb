#include "infer/helix/gather_kv.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* Which rows travel between rank 0 and each rank. A row is one position of one head. */
typedef struct Journey {
    const KvShards *shards;
    KvRows rows;                 /* of the whole */
    KvRows own;                  /* of this rank's cache */
    size_t bytes;                /* of a row */
    int64_t counts[HELIX_RANKS]; /* rows of each rank */
    int64_t mine, all;           /* rows here; on rank 0 those of all, elsewhere none */
    Tensor here, there;          /* (mine, bytes), (all, bytes) uint8 on the device; owned */
    char *staged;                /* (mine or all, bytes) on the host; owned */
} Journey;

static int64_t local_count(const Journey *j, int rank)
{
    const KvShards *s = j->shards;
    int k = rank % s->grid.kvp;
    return helix_local_length(&s->grid, s->block, j->rows.first + j->rows.count, k) -
           helix_local_length(&s->grid, s->block, j->rows.first, k);
}

static void journey_clear(Journey *j)
{
    const Backend *ops = j->shards->device.ops;
    if (j->here.data)
        ops->free(j->here.data);
    if (j->there.data)
        ops->free(j->there.data);
    free(j->staged);
}

static Status journey_init(Journey *j, const KvShards *s, const KvRows *rows, Err *err)
{
    const KvShape *shape = kv_cache_shape(s->cache);
    int rank = s->world->rank;
    *j = (Journey){.shards = s,
                   .rows = *rows,
                   .own = *rows,
                   .bytes = kv_part_bytes(rows->part, shape->dtype, shape->head_dim)};
    CHECK(rows->first % (shape->page_size * s->grid.kvp) == 0, "position %lld begins no pages",
          (long long)rows->first);
    j->own.first = rows->first / s->grid.kvp;
    j->own.count = local_count(j, rank);
    for (int r = 0; r < s->world->size; r++) {
        j->counts[r] = local_count(j, r) * helix_kv_heads(&s->grid, s->config, r).count;
        j->all += rank == 0 ? j->counts[r] : 0;
    }
    j->mine = j->counts[rank];
    int64_t most = j->all > j->mine ? j->all : j->mine;
    j->staged = xcalloc((size_t)most, j->bytes);
    j->here = tensor_2d(NULL, DTYPE_U8, j->mine, (int64_t)j->bytes);
    j->there = tensor_2d(NULL, DTYPE_U8, j->all, (int64_t)j->bytes);
    TRY(device_tensor(&s->device, &j->here, "rows of the KV cache", err));
    return device_tensor(&s->device, &j->there, "rows of the KV cache", err);
}

/* Between here and there; rank 0 has all, so nobody else's rows go anywhere but to or from it. */
static Status travel(Journey *j, bool to_first, Err *err)
{
    const KvShards *s = j->shards;
    int64_t one[HELIX_RANKS] = {j->mine}, none[HELIX_RANKS] = {0};
    const int64_t *many = s->world->rank == 0 ? j->counts : none;
    Collective what = {.kind = COLLECTIVE_ALL_TO_ALL,
                       .send = to_first ? j->here : j->there,
                       .recv = to_first ? j->there : j->here,
                       .send_rows = to_first ? one : many,
                       .recv_rows = to_first ? many : one};
    TRY(comm_run(s->world, s->device.queue, &what, err));
    return s->device.ops->queue_wait(s->device.queue, err);
}

/* Copies between rank 0's rows by rank, position and head and the whole, by position and head. */
static void arrange(const Journey *j, char *host, bool to_host)
{
    const KvShards *s = j->shards;
    int64_t K = s->config->n_kv_heads;
    char *at = j->staged;
    for (int r = 0; r < s->world->size; r++) {
        HelixRange heads = helix_kv_heads(&s->grid, s->config, r);
        size_t bytes = (size_t)heads.count * j->bytes;
        int64_t n = local_count(j, r);
        for (int64_t i = 0; i < n; i++, at += bytes) {
            int64_t position =
                helix_position(&s->grid, s->block, j->own.first + i, r % s->grid.kvp);
            int64_t row = (position - j->rows.first) * K + heads.begin;
            char *place = host + (size_t)row * j->bytes;
            memcpy(to_host ? place : at, to_host ? at : place, bytes);
        }
    }
}

static Status gather(Journey *j, void *host, Err *err)
{
    const KvShards *s = j->shards;
    TRY(kv_rows_read(s->cache, &s->device, &j->own, j->staged, err));
    TRY(device_upload(&s->device, &j->here, j->staged, err));
    TRY(travel(j, true, err));
    if (s->world->rank != 0)
        return STATUS_OK;
    TRY(device_download(&s->device, &j->there, j->staged, err));
    arrange(j, host, true);
    return STATUS_OK;
}

static Status scatter(Journey *j, const void *host, Err *err)
{
    const KvShards *s = j->shards;
    if (s->world->rank == 0) {
        arrange(j, (char *)(uintptr_t)host, false);
        TRY(device_upload(&s->device, &j->there, j->staged, err));
    }
    TRY(travel(j, false, err));
    TRY(device_download(&s->device, &j->here, j->staged, err));
    return kv_rows_write(s->cache, &s->device, &j->own, j->staged, err);
}

Status gather_kv(const KvShards *shards, const KvRows *rows, void *host, Err *err)
{
    Journey j;
    Status status = journey_init(&j, shards, rows, err);
    if (status == STATUS_OK)
        status = gather(&j, host, err);
    journey_clear(&j);
    return status;
}

Status scatter_kv(const KvShards *shards, const KvRows *rows, const void *host, Err *err)
{
    Journey j;
    Status status = journey_init(&j, shards, rows, err);
    if (status == STATUS_OK)
        status = scatter(&j, host, err);
    journey_clear(&j);
    return status;
}
