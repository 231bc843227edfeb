/* Int8 values as bfloat16, which holds each of them exactly. */
#ifndef CAMBIUM_CORE_CUDA_INT8_PAIRS_CUH
#define CAMBIUM_CORE_CUDA_INT8_PAIRS_CUH

#include "core/cuda/device.cuh"

/* Byte `i` of `a` in the lower half, byte `j` of `b` in the upper.
 *
 * Conversions of single numbers are slow on a GPU. Instead: with 7 bits of fraction, 0x4300 | u is
 * 128 + u for u < 128. So x = (128 + low 7 bits) - (128, or 256 where the sign bit, worth -128, is
 * set), and 256 is 0x4380, which is 0x4300 with that very bit: both without error. */
static __device__ __forceinline__ uint32_t int8_pair(uint32_t a, uint32_t b, int i, int j)
{
#ifdef CAMBIUM_EMULATE
    return pack_bf16((float)(int8_t)(a >> 8 * i), (float)(int8_t)(b >> 8 * j));
#else
    uint32_t bytes = __byte_perm(a, b, (unsigned)(i | (4 + j) << 8)), pair;
    uint32_t value = (bytes & 0x007f007fu) | 0x43004300u;
    uint32_t minus = (bytes & 0x00800080u) | 0xc300c300u;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(pair) : "r"(value), "r"(0x3f803f80u), "r"(minus));
    return pair;
#endif
}

#endif
