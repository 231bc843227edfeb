/* Plain-C references of what turns logits into tokens: the definition of correct. */
#ifndef CAMBIUM_CORE_CPU_REF_SAMPLE_H
#define CAMBIUM_CORE_CPU_REF_SAMPLE_H

#include "core/tensor/ops.h"

void ref_sample(Queue *queue, const SampleArgs *args);
void ref_top_k(Queue *queue, const TopKArgs *args);
void ref_log_softmax(Queue *queue, const LogSoftmaxArgs *args);
void ref_mix(Queue *queue, const MixArgs *args);

#endif
