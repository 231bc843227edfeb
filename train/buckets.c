#include "train/buckets.h"

#include <stdlib.h>

#include "core/base/mem.h"

void bucket_sum_init(BucketSum *sum, const Grads *grads, int64_t bytes)
{
    *sum = (BucketSum){.grads = grads};
    sum->buckets = xcalloc((size_t)grads->n_items, sizeof *sum->buckets);
    int64_t end = grads->flat.shape[0];
    for (int64_t i = grads->n_items - 1; i >= 0; i--) {
        const TrainedParam *item = &grads->items[i];
        if (i > 0 && grads->items[i - 1].layer == item->layer)
            continue; /* not the first of its layer */
        bool full = (end - item->offset) * (int64_t)sizeof(float) >= bytes;
        if (i > 0 && !full)
            continue;
        sum->buckets[sum->count++] = (Bucket){item->offset, end, item->layer};
        end = item->offset;
    }
}

void bucket_sum_clear(BucketSum *sum)
{
    free(sum->buckets);
    *sum = (BucketSum){0};
}

void bucket_sum_begin(BucketSum *sum, Comm *comm, Queue *queue)
{
    sum->started = sum->finished = 0;
    sum->comm = comm;
    sum->queue = queue;
}

static Status finish_one(BucketSum *sum, Err *err)
{
    return comm_wait(sum->comm, &sum->requests[sum->finished++ % COMM_IN_FLIGHT], err);
}

/* Starts the buckets whose lowest layer is `layer` or a higher one. */
Status bucket_sum_ready(void *context, int64_t layer, Err *err)
{
    BucketSum *sum = context;
    while (sum->started < sum->count && sum->buckets[sum->started].layer >= layer) {
        const Bucket *bucket = &sum->buckets[sum->started];
        if (sum->started - sum->finished == COMM_IN_FLIGHT)
            TRY(finish_one(sum, err));
        Tensor part = tensor_slice(&sum->grads->flat, bucket->begin, bucket->end - bucket->begin);
        Collective all = {.kind = COLLECTIVE_ALL_REDUCE, .send = part, .recv = part};
        CommRequest *request = &sum->requests[sum->started % COMM_IN_FLIGHT];
        TRY(comm_start(sum->comm, sum->queue, &all, request, err));
        sum->started++;
    }
    return STATUS_OK;
}

Status bucket_sum_end(BucketSum *sum, Err *err)
{
    CHECK(sum->started == sum->count, "%lld of %lld gradient sums were started",
          (long long)sum->started, (long long)sum->count);
    while (sum->finished < sum->count)
        TRY(finish_one(sum, err));
    return STATUS_OK;
}
