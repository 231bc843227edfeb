#include "core/decode/kv_fill.h"

#include <stdlib.h>

#include "core/base/rng.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"

enum { ROWS = 256 }; /* positions at a time */

typedef struct FillJob {
    const KvFill *fill;
    int64_t n_heads, head_dim;
    int64_t first; /* local position of row 0 */
    uint64_t layer;
    int kind;  /* 0: keys, 1: values */
    void *out; /* (ROWS, n_heads, head_dim) of the compute type */
} FillJob;

/* The position in the whole sequence of a local one. */
static int64_t whole_position(const KvFill *f, int64_t local)
{
    return local / f->block * f->block * f->shards + f->shard * f->block + local % f->block;
}

static void fill_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const FillJob *job = context;
    const KvFill *f = job->fill;
    int64_t D = job->head_dim;
    for (int64_t row = begin; row < end; row++)
        for (int64_t h = 0; h < job->n_heads; h++) {
            uint64_t place = ((job->layer * 2 + (uint64_t)job->kind) << 40) ^
                             ((uint64_t)(f->first_head + h) << 32) ^
                             (uint64_t)whole_position(f, job->first + row);
            uint64_t key = hash_mix64(f->seed ^ hash_mix64(place ^ ((uint64_t)f->expert << 60)));
            for (int64_t d = 0; d < D; d++) {
                uint32_t bits = dropout_mix((uint32_t)(key + (uint64_t)d * 0x9e3779b97f4a7c15ull));
                float value = (float)((int32_t)bits >> 7) * (1.0f / (float)(1 << 24));
                int64_t at = (row * job->n_heads + h) * D + d;
                if (f->compute == DTYPE_BF16)
                    ((uint16_t *)job->out)[at] = f32_to_bf16(value);
                else
                    ((float *)job->out)[at] = value;
            }
        }
}

typedef struct Staging {
    Tensor k, v, slots;
} Staging;

static Status fill_piece(KvCache *cache, const KvFill *f, int64_t sequence, FillJob *job,
                         const Staging *on_device, int64_t count, Err *err)
{
    const Backend *ops = f->device.ops;
    int32_t slots[ROWS];
    for (int64_t i = 0; i < count; i++)
        slots[i] = kv_cache_slot(cache, sequence, job->first + i);
    Tensor k = tensor_slice(&on_device->k, 0, count), v = tensor_slice(&on_device->v, 0, count);
    Tensor at = tensor_slice(&on_device->slots, 0, count);
    ops->upload(f->device.queue, at.data, slots, tensor_bytes(&at));
    for (job->kind = 0; job->kind < 2; job->kind++) {
        parallel_for(count, 16, fill_rows, job);
        const Tensor *to = job->kind ? &v : &k;
        ops->upload(f->device.queue, to->data, job->out, tensor_bytes(to));
        TRY(ops->queue_wait(f->device.queue, err));
    }
    ops->kv_write(
        f->device.queue,
        &(KvWriteArgs){
            .k = k, .v = v, .slots = at, .kv = kv_cache_pages(cache, (int64_t)job->layer)});
    return ops->queue_wait(f->device.queue, err);
}

Status kv_fill(KvCache *cache, const KvFill *f, int64_t sequence, Err *err)
{
    const KvShape *shape = kv_cache_shape(cache);
    int64_t K = shape->n_kv_heads, D = shape->head_dim, n = kv_cache_length(cache, sequence);
    Staging staging = {.k = tensor_3d(NULL, f->compute, ROWS, K, D),
                       .v = tensor_3d(NULL, f->compute, ROWS, K, D),
                       .slots = tensor_1d(NULL, DTYPE_I32, ROWS)};
    Tensor *const tensors[] = {&staging.k, &staging.v, &staging.slots};
    FillJob job = {
        .fill = f, .n_heads = K, .head_dim = D, .out = xmalloc(tensor_bytes(&staging.k))};
    Status status = STATUS_OK;
    for (int i = 0; i < 3 && status == STATUS_OK; i++)
        status = device_tensor(&f->device, tensors[i], "rows of the KV cache", err);
    for (job.first = 0; job.first < n && status == STATUS_OK; job.first += ROWS)
        for (job.layer = 0; job.layer < (uint64_t)shape->n_layers && status == STATUS_OK;
             job.layer++)
            status = fill_piece(cache, f, sequence, &job, &staging,
                                n - job.first < ROWS ? n - job.first : ROWS, err);
    for (int i = 0; i < 3; i++)
        if (tensors[i]->data)
            f->device.ops->free(tensors[i]->data);
    free(job.out);
    return status;
}
