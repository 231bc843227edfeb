/* How much memory a decoder may take, so that a context that does not fit is refused before
 * anything of it is allocated. */
#ifndef CAMBIUM_CORE_DECODE_BUDGET_H
#define CAMBIUM_CORE_DECODE_BUDGET_H

#include "core/decode/runner.h"

typedef struct MemoryBudget {
    double bytes;         /* for weights and decoders together; 0: not known, nothing is refused */
    double bytes_weights; /* of all ranks that share the memory */
    int64_t ranks;        /* that share it, each with a decoder */
    bool asked;           /* the user's number; else what was free when the program started */
} MemoryBudget;

/* Fails when the weights alone do not fit. */
Status budget_check_weights(const MemoryBudget *budget, Err *err);
/* Fails when a decoder of `bytes` on each rank does not fit beside the weights, with what is
 * needed, what there is and what would help. */
Status budget_check_decoder(const MemoryBudget *budget, const DecoderOptions *options, size_t bytes,
                            Err *err);
/* Bytes that each rank has left beside a decoder of `bytes`, or what is missing, below 0; infinite
 * without a budget (NULL is allowed). */
double budget_room(const MemoryBudget *budget, size_t bytes);

#endif
