/* Plain-C references of the operations that are neither attention nor sampling (ops.h tells what
 * each computes). Simple loops, sums in float64; they are the definition that every other version
 * is compared with. */
#ifndef CAMBIUM_CORE_CPU_REF_OPS_H
#define CAMBIUM_CORE_CPU_REF_OPS_H

#include "core/tensor/ops.h"

void ref_gemm(Queue *queue, const GemmArgs *args);
void ref_sum_rows(Queue *queue, const SumRowsArgs *args);
void ref_norm(Queue *queue, const NormArgs *args);
void ref_norm_backward(Queue *queue, const NormBackwardArgs *args);
void ref_act(Queue *queue, const ActArgs *args);
void ref_act_backward(Queue *queue, const ActBackwardArgs *args);
void ref_head_loss(Queue *queue, const HeadLossArgs *args);
void ref_adamw(Queue *queue, const AdamwArgs *args);
void ref_grad_norm(Queue *queue, const GradNormArgs *args);
void ref_weighted_sum(Queue *queue, const WeightedSumArgs *args);
void ref_cast(Queue *queue, const CastArgs *args);
void ref_gather_rows(Queue *queue, const GatherRowsArgs *args);
void ref_non_finite(Queue *queue, const NonFiniteArgs *args);
void ref_dropout(Queue *queue, const DropoutArgs *args);

#endif
