/* What a block finds out about one long row of logits. */
#ifndef CAMBIUM_CORE_CUDA_ROW_CUH
#define CAMBIUM_CORE_CUDA_ROW_CUH

#include "core/cuda/cuda.h"

extern "C" {
#include "core/tensor/sample_check.h"
}

/* Threads of a block for a row of a vocabulary's size. */
enum { VOCAB_THREADS = 1024 };

/* Numbers that rise as the logits do, whatever their sign; what is not a number comes last, with
 * minus infinity, and both zeros are one. */
static __device__ __forceinline__ uint32_t key_of(float x)
{
    uint32_t bits = __float_as_uint(isnan(x) ? -INFINITY : x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The same for a value and its place: of equal values the one with the lower id is larger. */
static __device__ __forceinline__ uint64_t rank_of(float x, int64_t id)
{
    return (uint64_t)key_of(x) << 32 | (uint32_t) ~(uint32_t)id;
}

static __device__ __forceinline__ int64_t id_of(uint64_t rank)
{
    return (int64_t)(uint32_t) ~(uint32_t)rank;
}

static __device__ __forceinline__ uint64_t warp_largest(uint64_t x)
{
    for (int step = WARP / 2; step > 0; step /= 2) {
        uint64_t other = __shfl_xor_sync(FULL_WARP, (unsigned long long)x, step);
        x = other > x ? other : x;
    }
    return x;
}

/* In every thread of the block; `shared` holds 32 and is free again afterwards. */
static __device__ __forceinline__ uint64_t block_largest(uint64_t x, uint64_t *shared)
{
    int n_warps = (int)blockDim.x / WARP;
    x = warp_largest(x);
    if (lane_id() == 0)
        shared[warp_id()] = x;
    __syncthreads();
    x = warp_largest(lane_id() < n_warps ? shared[lane_id()] : 0);
    __syncthreads();
    return x;
}

/* log sum exp of a row (V), natural, in every thread; minus infinity for a row of those. `shared`
 * holds 32 and is free again afterwards. */
static __device__ __forceinline__ double row_log_sum_exp(const float *row, int64_t V,
                                                         double *shared)
{
    float max = -INFINITY;
    for (int64_t v = threadIdx.x; v < V; v += blockDim.x)
        max = fmaxf(max, row[v]);
    max = block_max(max, (float *)shared);
    if (max == -INFINITY)
        return -INFINITY;
    double sum = 0.0;
    for (int64_t v = threadIdx.x; v < V; v += blockDim.x)
        sum += (double)expf(row[v] - max);
    return (double)max + log(block_sum(sum, shared));
}

#endif
