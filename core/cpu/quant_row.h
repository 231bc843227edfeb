/* The one definition of a symmetric int8 row, shared by reference and fast code. */
#ifndef CAMBIUM_CORE_CPU_QUANT_ROW_H
#define CAMBIUM_CORE_CPU_QUANT_ROW_H

#include <math.h>

#include "core/cpu/cpu.h"

/* q[0 .. n) = round(x / scale) to nearest even, where scale = max |x| / 127 is returned; 0 for a
 * row of zeros. x starts at element `from`. The limits matter only for scales below the smallest
 * normal float, whose quotients may leave [-127, 127]. */
static inline float quantise_row(const void *x, DType type, int64_t from, int8_t *q, int64_t n)
{
    float max = 0.0f;
    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(element_get(x, type, from + i));
        max = a > max ? a : max;
    }
    float scale = max / 127.0f;
    for (int64_t i = 0; i < n; i++) {
        float v = scale > 0.0f ? rintf(element_get(x, type, from + i) / scale) : 0.0f;
        v = v < 127.0f ? v : 127.0f;
        q[i] = (int8_t)(v > -127.0f ? v : -127.0f);
    }
    return scale;
}

#endif
