/* Symmetric int8 rows in vectors: the same bits as quantise_row of core/cpu/quant_row.h. */
#ifndef CAMBIUM_CORE_CPU_ISA_QUANT_VEC_H
#define CAMBIUM_CORE_CPU_ISA_QUANT_VEC_H

#include "core/cpu/isa/attn_tile.h"
#include "core/cpu/quant_row.h"

/* q[0 .. n) from the n elements of x at `from`; returns the scale. */
KERNEL_INLINE float quantise_vec(const void *x, DType type, int64_t from, int8_t *q, int64_t n)
{
#if LANES == 16
    VecF top = (VecF){0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        top = vec_max(_mm512_abs_ps(load_elements(x, type, from + i)), top);
    if (i < n)
        top = vec_max(_mm512_abs_ps(load_some(x, type, from + i, n - i)), top);
    float scale = vec_hmax(top) / 127.0f;
    if (!(scale > 0.0f)) {
        memset(q, 0, (size_t)n);
        return scale;
    }
    for (i = 0; i < n; i += LANES) {
        VecF v =
            i + LANES <= n ? load_elements(x, type, from + i) : load_some(x, type, from + i, n - i);
        v = v / scale;
        v = _mm512_min_ps(v, vec_set(127.0f));
        v = _mm512_max_ps(v, vec_set(-127.0f));
        __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)); /* to nearest even */
        if (i + LANES <= n)
            _mm_storeu_si128((__m128i *)(q + i), bytes);
        else
            _mm_mask_storeu_epi8(q + i, (__mmask16)((1u << (n - i)) - 1u), bytes);
    }
    return scale;
#else
    return quantise_row(x, type, from, q, n);
#endif
}

#endif
