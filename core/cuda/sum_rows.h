/* Sums over rows, for operations that need them on the way. */
#ifndef CAMBIUM_CORE_CUDA_SUM_ROWS_H
#define CAMBIUM_CORE_CUDA_SUM_ROWS_H

#include "core/cuda/cuda.h"

/* Bytes of scratch for sums over up to `rows` rows of `N` elements. */
size_t sum_rows_scratch(int64_t rows, int64_t N);

/* cuda_sum_rows with memory of the caller's. */
void sum_rows_with(Queue *queue, const SumRowsArgs *args, float *scratch);

#endif
