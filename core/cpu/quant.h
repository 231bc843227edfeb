/* Fast products with int8 weights, and their making: the CPU's versions of gemm_i8 and quantise. */
#ifndef CAMBIUM_CORE_CPU_QUANT_H
#define CAMBIUM_CORE_CPU_QUANT_H

#include "core/tensor/ops.h"

void cpu_gemm_i8(Queue *queue, const GemmI8Args *args);
void cpu_quantise(Queue *queue, const QuantiseArgs *args);

#endif
