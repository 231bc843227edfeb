/* The fast versions of the operations that are neither attention nor sampling. */
#ifndef CAMBIUM_CORE_CPU_FAST_OPS_H
#define CAMBIUM_CORE_CPU_FAST_OPS_H

#include "core/tensor/attn_check.h"

void cpu_gemm(Queue *queue, const GemmArgs *args);
void cpu_sum_rows(Queue *queue, const SumRowsArgs *args);
void cpu_act(Queue *queue, const ActArgs *args);
void cpu_act_backward(Queue *queue, const ActBackwardArgs *args);

void cpu_head_loss(Queue *queue, const HeadLossArgs *args);
/* As Backend's loss_scratch. */
size_t cpu_loss_scratch(const HeadLossArgs *shapes, const AttnShape *attn);
void cpu_adamw(Queue *queue, const AdamwArgs *args);
void cpu_grad_norm(Queue *queue, const GradNormArgs *args);
void cpu_norm(Queue *queue, const NormArgs *args);
void cpu_norm_backward(Queue *queue, const NormBackwardArgs *args);

void cpu_cast(Queue *queue, const CastArgs *args);
void cpu_weighted_sum(Queue *queue, const WeightedSumArgs *args);
void cpu_dropout(Queue *queue, const DropoutArgs *args);
void cpu_non_finite(Queue *queue, const NonFiniteArgs *args);

#endif
