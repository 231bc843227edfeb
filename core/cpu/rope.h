/* Fast rotary positions: the CPU's version of rope. */
#ifndef CAMBIUM_CORE_CPU_ROPE_H
#define CAMBIUM_CORE_CPU_ROPE_H

#include "core/base/isa.h"
#include "core/tensor/ops.h"

void cpu_rope(Queue *queue, const RopeArgs *args);

/* Rows [first, last) of x (N, heads, D), on plain pointers; compiled once per instruction set. */
typedef struct RopeRows {
    void *x;
    DType type;
    const int32_t *positions;
    const float *inv_freq;
    int64_t first, last, heads, D;
    float scale;
    bool inverse;
} RopeRows;

void rope_rows_generic(const RopeRows *task);
void rope_rows_avx2(const RopeRows *task);
void rope_rows_avx512(const RopeRows *task);
void rope_rows_avx512bf16(const RopeRows *task);

#endif
