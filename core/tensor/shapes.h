/* Shapes of operations' arguments, checked in one place for every backend. A violation is a bug of
 * the caller and aborts. */
#ifndef CAMBIUM_CORE_TENSOR_SHAPES_H
#define CAMBIUM_CORE_TENSOR_SHAPES_H

#include "core/tensor/ops.h"

typedef struct GemmDims {
    int64_t M, N, K;
} GemmDims;

/* Sizes of c (M, N) = op(a) op(b); aborts when the arguments do not fit each other. */
GemmDims gemm_dims(const GemmArgs *args);

void norm_check(const NormArgs *args);
void norm_backward_check(const NormBackwardArgs *args);
void act_check(const ActArgs *args);
void act_backward_check(const ActBackwardArgs *args);
void head_loss_check(const HeadLossArgs *args);
void adamw_check(const AdamwArgs *args);
void weighted_sum_check(const WeightedSumArgs *args);
void gemm_i8_check(const GemmI8Args *args);
void quantise_check(const QuantiseArgs *args);

#endif
