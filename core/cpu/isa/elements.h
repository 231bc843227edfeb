/* Loads and stores of LANES elements, or of the few at the end of a row, of either compute type.
 * With a `type` known when compiling the tests vanish. */
#ifndef CAMBIUM_CORE_CPU_ISA_ELEMENTS_H
#define CAMBIUM_CORE_CPU_ISA_ELEMENTS_H

#include "core/cpu/isa/attn_vec.h"

/* LANES elements from index i, or the `count` < LANES that are left, then zeros. */
KERNEL_INLINE VecF elements_load(const void *data, DType type, int64_t i, int64_t count)
{
    if (count >= LANES)
        return type == DTYPE_BF16 ? vec_from_bf16((const uint16_t *)data + i)
                                  : vec_load((const float *)data + i);
    float lanes[LANES] = {0};
    for (int64_t k = 0; k < count; k++)
        lanes[k] = type == DTYPE_BF16 ? bf16_to_f32(((const uint16_t *)data)[i + k])
                                      : ((const float *)data)[i + k];
    return vec_load(lanes);
}

KERNEL_INLINE void elements_store(void *data, DType type, int64_t i, int64_t count, VecF x)
{
    if (count >= LANES) {
        if (type == DTYPE_BF16)
            vec_to_bf16((uint16_t *)data + i, x);
        else
            vec_store((float *)data + i, x);
        return;
    }
    float lanes[LANES];
    vec_store(lanes, x);
    for (int64_t k = 0; k < count; k++) {
        if (type == DTYPE_BF16)
            ((uint16_t *)data)[i + k] = f32_to_bf16(lanes[k]);
        else
            ((float *)data)[i + k] = lanes[k];
    }
}

/* As elements_store; the instruction for bfloat16, where there is one, takes denormals for zero. */
KERNEL_INLINE void elements_store_quick(void *data, DType type, int64_t i, int64_t count, VecF x)
{
    if (type == DTYPE_BF16 && count >= LANES)
        *(VecHLoose *)((uint16_t *)data + i) = vec_bf16_quick(x);
    else
        elements_store(data, type, i, count, x);
}

#endif
