/* The shapes, types and rules that operations on logits demand, checked in one place for every
 * backend. A violation is a bug of the caller and aborts. */
#ifndef CAMBIUM_CORE_TENSOR_SAMPLE_CHECK_H
#define CAMBIUM_CORE_TENSOR_SAMPLE_CHECK_H

#include "core/tensor/ops.h"

void sample_check(const SampleArgs *args);
void top_k_check(const TopKArgs *args);
void log_softmax_check(const LogSoftmaxArgs *args);
void mix_check(const MixArgs *args);

#endif
