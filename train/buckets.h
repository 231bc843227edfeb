/* Sums of gradients over ranks, in pieces that start while backward is still computing others.
 *
 * Backward finishes layers from the head down, and Grads.flat has them in file order, so what is
 * ready is always the end of the buffer: a bucket is a piece of it that holds whole layers. */
#ifndef CAMBIUM_TRAIN_BUCKETS_H
#define CAMBIUM_TRAIN_BUCKETS_H

#include "core/comm/comm.h"
#include "train/grads.h"

enum { BUCKET_BYTES = 25 << 20 };

typedef struct Bucket {
    int64_t begin, end; /* elements of Grads.flat */
    int64_t layer;      /* the lowest in it: with this one it is ready */
} Bucket;

typedef struct BucketSum {
    const Grads *grads;
    Bucket *buckets; /* in the order in which they become ready */
    int64_t count;
    int64_t started, finished; /* in this step */
    Comm *comm;
    Queue *queue;
    CommRequest requests[COMM_IN_FLIGHT];
} BucketSum;

/* Cuts the gradients into buckets of at least `bytes` and at least one layer. `grads` is borrowed.
 */
void bucket_sum_init(BucketSum *sum, const Grads *grads, int64_t bytes);
void bucket_sum_clear(BucketSum *sum);

/* One step: begin; then the pass, which reports its layers to bucket_sum_ready (a PassReady of the
 * sum); then end, after which the queue's later work sees the sums. The same on all ranks. */
void bucket_sum_begin(BucketSum *sum, Comm *comm, Queue *queue);
Status bucket_sum_ready(void *sum, int64_t layer, Err *err);
Status bucket_sum_end(BucketSum *sum, Err *err);

#endif
