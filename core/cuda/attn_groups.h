/* Attention's backward in pieces. Sums of one order cost cuDNN memory: a bfloat16 for every query
 * and key of every head, B H T T of them. Where all of them are too many, rows of the batch or
 * groups of heads are done one after the other in the same memory. */
#ifndef CAMBIUM_CORE_CUDA_ATTN_GROUPS_H
#define CAMBIUM_CORE_CUDA_ATTN_GROUPS_H

#include "core/cuda/cuda.h"

typedef struct AttnGroups {
    AttnShape part; /* of a piece: all are alike, and KV heads keep all their query heads */
    int64_t splits; /* pieces that the heads are cut into; above 1 a piece has one row */
    int64_t count;
    size_t workspace; /* bytes that a piece is expected to take */
} AttnGroups;

/* Bytes that cuDNN takes for a shape: measured, to the byte. */
int64_t attn_groups_bytes(const AttnShape *shape);

/* The largest pieces within the bound; the smallest there is where none fits. */
AttnGroups attn_groups(const AttnShape *whole);

/* The operation's tensors from where a piece begins; only their data is changed. */
AttnBackwardArgs attn_groups_piece(const AttnGroups *groups, const AttnBackwardArgs *args,
                                   int64_t piece);

#endif
