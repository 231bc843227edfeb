/* Fast operations on logits: the CPU's versions of sample, top_k, log_softmax and mix. */
#ifndef CAMBIUM_CORE_CPU_SAMPLE_H
#define CAMBIUM_CORE_CPU_SAMPLE_H

#include "core/tensor/ops.h"

void cpu_sample(Queue *queue, const SampleArgs *args);
void cpu_top_k(Queue *queue, const TopKArgs *args);
void cpu_log_softmax(Queue *queue, const LogSoftmaxArgs *args);
void cpu_mix(Queue *queue, const MixArgs *args);

#endif
