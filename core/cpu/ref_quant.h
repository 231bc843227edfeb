/* Plain-C references of the quantised operations: the definition of correct. */
#ifndef CAMBIUM_CORE_CPU_REF_QUANT_H
#define CAMBIUM_CORE_CPU_REF_QUANT_H

#include "core/tensor/ops.h"

void ref_gemm_i8(Queue *queue, const GemmI8Args *args);
void ref_quantise(Queue *queue, const QuantiseArgs *args);

#endif
