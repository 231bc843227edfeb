/* What kernels are made of. They are compiled twice: by nvcc for the GPU, and by the host's
 * compiler for the emulation layer (CAMBIUM_EMULATE), which runs them in tests where there is no
 * GPU. What needs an instruction of the GPU has its emulated twin here or in emulate/device.h, so
 * that kernels themselves are the same text for both. */
#ifndef CAMBIUM_CORE_CUDA_DEVICE_CUH
#define CAMBIUM_CORE_CUDA_DEVICE_CUH

#include <math.h>
#include <stdint.h>

#ifdef CAMBIUM_EMULATE
#include "core/cuda/emulate/device.h"
#else
#include <cuda_runtime.h>
#endif

enum { WARP = 32 };

/* ---- bfloat16 ------------------------------------------------------------------------------- */

struct bf16 {
    uint16_t bits;
};

static __device__ __forceinline__ float to_f32(float x)
{
    return x;
}

static __device__ __forceinline__ float to_f32(bf16 x)
{
    return __uint_as_float((uint32_t)x.bits << 16);
}

static __device__ __forceinline__ float to_f32(int8_t x)
{
    return (float)x;
}

static __device__ __forceinline__ float to_f32(uint8_t x)
{
    return (float)x;
}

template <typename T> __device__ __forceinline__ T from_f32(float x);

template <> __device__ __forceinline__ float from_f32<float>(float x)
{
    return x;
}

/* Two values rounded to nearest even: `low` in the lower half. */
static __device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
#ifdef CAMBIUM_EMULATE
    return (uint32_t)f32_to_bf16(low) | (uint32_t)f32_to_bf16(high) << 16;
#else
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#endif
}

template <> __device__ __forceinline__ bf16 from_f32<bf16>(float x)
{
    return bf16{(uint16_t)pack_bf16(x, 0.0f)};
}

/* ---- functions ------------------------------------------------------------------------------ */

/* To about 2 units in the last place for moderate x; minus infinity gives zero. */
static __device__ __forceinline__ float fast_exp(float x)
{
#ifdef CAMBIUM_EMULATE
    return expf(x);
#else
    return __expf(x);
#endif
}

/* The normal distribution's Phi; by erfc, because 1 + erf cancels where x is negative. */
static __device__ __forceinline__ float normal_cdf(float x)
{
    return 0.5f * erfcf(-0.70710678f * x);
}

/* ---- vectors -------------------------------------------------------------------------------- */

/* N elements that move as one aligned access. */
template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
    T at[N];
};

/* Elements of T in 16 bytes. */
template <typename T> constexpr int pack_size()
{
    return 16 / (int)sizeof(T);
}

/* ---- warps and blocks ----------------------------------------------------------------------- */

static constexpr unsigned FULL_WARP = 0xffffffffu;

static __device__ __forceinline__ int lane_id()
{
    return (int)(threadIdx.x % WARP);
}

static __device__ __forceinline__ int warp_id()
{
    return (int)(threadIdx.x / WARP);
}

/* Sums and maxima come out the same in every lane, in one fixed order. */
static __device__ __forceinline__ float warp_sum(float x)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(FULL_WARP, x, step);
    return x;
}

static __device__ __forceinline__ double warp_sum(double x)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(FULL_WARP, x, step);
    return x;
}

static __device__ __forceinline__ float warp_max(float x)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, step));
    return x;
}

/* Over all threads of a block of whole warps (one dimension), in every thread; `shared` holds 32
 * values and may be used again after the call returns. */
template <typename T> __device__ __forceinline__ T block_sum(T x, T *shared)
{
    int n_warps = (int)blockDim.x / WARP;
    x = warp_sum(x);
    if (n_warps == 1)
        return x;
    if (lane_id() == 0)
        shared[warp_id()] = x;
    __syncthreads();
    x = warp_sum(lane_id() < n_warps ? shared[lane_id()] : (T)0);
    __syncthreads();
    return x;
}

static __device__ __forceinline__ float block_max(float x, float *shared)
{
    int n_warps = (int)blockDim.x / WARP;
    x = warp_max(x);
    if (n_warps == 1)
        return x;
    if (lane_id() == 0)
        shared[warp_id()] = x;
    __syncthreads();
    x = warp_max(lane_id() < n_warps ? shared[lane_id()] : -INFINITY);
    __syncthreads();
    return x;
}

/* ---- tensor cores and copies to shared memory ----------------------------------------------- */

/* d (16, 8) += a (16, 16) b (16, 8): bfloat16 in, float32 out, one warp. With g = lane / 4 and
 * t = lane % 4, a lane holds of a the pairs (row g, columns 2t..), (g + 8, 2t..), (g, 2t + 8..),
 * (g + 8, 2t + 8..); of b the pairs (rows 2t.., column g), (2t + 8.., g); of d the values
 * (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1). The first of a pair is in the lower half. */
static __device__ __forceinline__ void mma_bf16(float d[4], const uint32_t a[4],
                                                const uint32_t b[2])
{
#ifdef CAMBIUM_EMULATE
    emulate_mma_bf16(d, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* Four 8 x 8 matrices of 16-bit values from shared memory: lane l gives the address of row l % 8 of
 * matrix l / 8 (16 bytes, aligned) and receives in out[m] the pair of columns 2 (l % 4).. of row
 * l / 4 of matrix m; transposed: of column l / 4, rows 2 (l % 4).. */
static __device__ __forceinline__ void load_matrices(uint32_t out[4], const void *row)
{
#ifdef CAMBIUM_EMULATE
    emulate_load_matrices(out, row, false);
#else
    uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
#endif
}

static __device__ __forceinline__ void load_matrices_transposed(uint32_t out[4], const void *row)
{
#ifdef CAMBIUM_EMULATE
    emulate_load_matrices(out, row, true);
#else
    uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
#endif
}

/* Starts a copy of 16 bytes from global to shared memory, both aligned; where `valid` is false
 * nothing is read and zeros are written. A thread's copies since the last commit form a group;
 * copy_wait<N> returns when all but the last N groups of this thread are done (other threads see
 * them after a barrier). */
static __device__ __forceinline__ void copy_async(void *shared, const void *global, bool valid)
{
#ifdef CAMBIUM_EMULATE
    emulate_copy_async(shared, global, valid);
#else
    uint32_t address = (uint32_t)__cvta_generic_to_shared(shared);
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
                 "r"(bytes)
                 : "memory");
#endif
}

static __device__ __forceinline__ void copy_commit()
{
#ifdef CAMBIUM_EMULATE
    emulate_copy_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int N> __device__ __forceinline__ void copy_wait()
{
#ifdef CAMBIUM_EMULATE
    emulate_copy_wait(N);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

/* The block's dynamic shared memory, 128-byte aligned, as long as the launch asked for. */
static __device__ __forceinline__ unsigned char *shared_memory()
{
#ifdef CAMBIUM_EMULATE
    return emulate_shared_memory();
#else
    extern __shared__ __align__(128) unsigned char dynamic_shared[];
    return dynamic_shared;
#endif
}

#endif
