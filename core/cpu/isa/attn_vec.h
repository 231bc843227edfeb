/* Vectors of LANES floats for the kernels of one instruction set, on GCC's vector types; intrinsics
 * only where the compiler would not find the instruction. Include from isa/ files only. */
#ifndef CAMBIUM_CORE_CPU_ISA_ATTN_VEC_H
#define CAMBIUM_CORE_CPU_ISA_ATTN_VEC_H

#include <math.h>
#include <string.h>

#include "core/base/isa.h"
#include "core/tensor/dtype.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

/* Products of bfloat16 pairs, two per lane, summed in float32: only this instruction set has them.
 */
#ifdef ISA_avx512bf16
#define HAVE_PAIRS 1
#else
#define HAVE_PAIRS 0
#endif

#define KERNEL_INLINE static inline __attribute__((always_inline, unused))

typedef float VecF __attribute__((vector_size(4 * LANES)));
typedef uint32_t VecU __attribute__((vector_size(4 * LANES)));
typedef int32_t VecI __attribute__((vector_size(4 * LANES)));
typedef uint16_t VecH __attribute__((vector_size(2 * LANES)));
typedef float VecFLoose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t VecULoose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t VecHLoose __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

KERNEL_INLINE VecF vec_load(const void *from)
{
    return *(const VecFLoose *)from;
}

KERNEL_INLINE void vec_store(void *to, VecF x)
{
    *(VecFLoose *)to = x;
}

KERNEL_INLINE VecF vec_set(float x)
{
    return x - (VecF){0};
}

KERNEL_INLINE VecI vec_iota(void)
{
    VecI x;
    for (int i = 0; i < LANES; i++)
        x[i] = i;
    return x;
}

/* Lane by lane: mask (all ones or zero) ? a : b. */
KERNEL_INLINE VecF vec_select(VecI mask, VecF a, VecF b)
{
    return (VecF)((mask & (VecI)a) | (~mask & (VecI)b));
}

/* The larger; b where one of them is NaN. */
KERNEL_INLINE VecF vec_max(VecF a, VecF b)
{
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#else
    return vec_select(a > b, a, b);
#endif
}

KERNEL_INLINE float vec_sum(VecF x)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(x);
#else
    float lanes[LANES];
    vec_store(lanes, x);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lanes[i] += lanes[i + width];
    return lanes[0];
#endif
}

KERNEL_INLINE float vec_hmax(VecF x)
{
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps(x);
#else
    float max = x[0];
    for (int i = 1; i < LANES; i++)
        max = x[i] > max ? x[i] : max;
    return max;
#endif
}

KERNEL_INLINE VecF vec_from_bf16(const void *from)
{
#if defined(__AVX512F__)
    return (VecF)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from)), 16);
#elif defined(__AVX2__)
    return (VecF)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(from)), 16);
#else
    return (VecF)(__builtin_convertvector(*(const VecHLoose *)from, VecU) << 16);
#endif
}

KERNEL_INLINE VecF vec_from_i8(const int8_t *from)
{
#if defined(__AVX512F__)
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from)));
#elif defined(__AVX2__)
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from)));
#else
    return (VecF){(float)from[0], (float)from[1], (float)from[2], (float)from[3]};
#endif
}

/* Rounded to nearest even, exactly as f32_to_bf16 does; the result is in the lower halves. */
KERNEL_INLINE VecU vec_bf16_bits(VecF x)
{
    VecU bits = (VecU)x;
    VecU rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    VecU nan = (bits >> 16) | 0x40u;
    VecI is_nan = x != x;
    return (nan & (VecU)is_nan) | (rounded & ~(VecU)is_nan);
}

KERNEL_INLINE void vec_to_bf16(void *to, VecF x)
{
    *(VecHLoose *)to = __builtin_convertvector(vec_bf16_bits(x), VecH);
}

/* Quicker where there is an instruction, which takes denormals for zero. */
KERNEL_INLINE VecH vec_bf16_quick(VecF x)
{
#ifdef ISA_avx512bf16
    return (VecH)_mm512_cvtneps_pbh(x);
#else
    return __builtin_convertvector(vec_bf16_bits(x), VecH);
#endif
}

KERNEL_INLINE VecU vec_widen(VecH x)
{
#if defined(__AVX512F__)
    return (VecU)_mm512_cvtepu16_epi32((__m256i)x);
#else
    return __builtin_convertvector(x, VecU);
#endif
}

/* 2^x with a relative error below 2e-7; 0 for minus infinity, NaN for NaN. The polynomial is a
 * least-maximum fit of 2^r on [-1/2, 1/2] with its constant made 1. */
KERNEL_INLINE VecF vec_exp2(VecF x)
{
#if defined(__AVX512F__)
    VecF whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    VecF r =
        _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); /* 0 for infinity */
#else
    /* Conversion cuts towards zero; the half makes it round. Out of range ends at 0 or infinity. */
    VecF bounded = vec_select(x < -127.0f, vec_set(-127.0f), x);
    bounded = vec_select(bounded > 128.0f, vec_set(128.0f), bounded);
    VecF half = vec_select(bounded < 0.0f, vec_set(-0.5f), vec_set(0.5f));
    VecI whole = __builtin_convertvector(bounded + half, VecI);
    VecF r = bounded - __builtin_convertvector(whole, VecF);
#endif
    VecF p = vec_set(1.327647129e-3f);
    p = p * r + 9.675540961e-3f;
    p = p * r + 5.550713092e-2f;
    p = p * r + 2.402212024e-1f;
    p = p * r + 6.931469440e-1f;
    p = p * r + 1.0f;
#if defined(__AVX512F__)
    return _mm512_scalef_ps(p, whole);
#else
    return p * (VecF)((whole + 127) << 23);
#endif
}

#endif
