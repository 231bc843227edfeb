/* The symmetric int8 row of core/cpu/quant_row.h, bit for bit, made by one warp. */
#ifndef CAMBIUM_CORE_CUDA_QUANT_ROW_CUH
#define CAMBIUM_CORE_CUDA_QUANT_ROW_CUH

#include "core/cuda/device.cuh"

/* V elements of a row move at once: n and the addresses are multiples of V elements. All 32 lanes
 * call; each gets the scale. */
template <int V, typename X>
__device__ __forceinline__ float quantise_row(const X *x, int8_t *q, int64_t n)
{
    float largest = 0.0f;
    for (int64_t i = (int64_t)lane_id() * V; i < n; i += WARP * V) {
        Pack<X, V> in = *(const Pack<X, V> *)(x + i);
        for (int j = 0; j < V; j++)
            largest = fmaxf(largest, fabsf(to_f32(in.at[j])));
    }
    float scale = warp_max(largest) / 127.0f;
    for (int64_t i = (int64_t)lane_id() * V; i < n; i += WARP * V) {
        Pack<X, V> in = *(const Pack<X, V> *)(x + i);
        Pack<int8_t, V> out;
        for (int j = 0; j < V; j++) {
            float v = scale > 0.0f ? rintf(to_f32(in.at[j]) / scale) : 0.0f;
            v = v < 127.0f ? v : 127.0f;
            out.at[j] = (int8_t)(v > -127.0f ? v : -127.0f);
        }
        *(Pack<int8_t, V> *)(q + i) = out;
    }
    return scale;
}

#endif
