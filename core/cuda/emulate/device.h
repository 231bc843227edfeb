/* CUDA C on the host: what kernels and the backend's host side see in place of cuda_runtime.h when
 * CAMBIUM_EMULATE is defined. Made for proving kernels where there is no GPU, never for speed.
 *
 * A launch runs its blocks one after the other, and most launches once more backwards and once more
 * shuffled: the results must have the same bits, so that blocks that get in each other's way show.
 * The threads of a block are contexts of one host thread; each runs until it meets a barrier or a
 * warp's collective and waits there for the others, so a value that should have been waited for is
 * seen too early (or too late) in some order: CAMBIUM_EMULATE_ORDER = forwards (default), backwards
 * or shuffled. Dynamic shared memory has exactly the size asked for, filled with NaN before every
 * block; with device memory it comes from malloc, so that the address sanitizer finds what reaches
 * beyond. Static shared memory is static. Barriers and collectives that not all threads reach end
 * the program with the kernel's name.
 *
 * The device has 3 processors, or CAMBIUM_EMULATE_PROCESSORS, and is of compute capability 9.0, or
 * CAMBIUM_EMULATE_CAPABILITY, of which a block's shared memory follows. A launch that wants more,
 * or more than the 48 KB that nobody has to ask for, fails as it does on the device.
 *
 * Streams are as lazy as the rules allow: nothing of what is enqueued runs before somebody waits,
 * so host memory that is reused or freed too early shows. Recordings are checked when they are
 * launched and when they are made again (recording.h). */
#ifndef CAMBIUM_CORE_CUDA_EMULATE_DEVICE_H
#define CAMBIUM_CORE_CUDA_EMULATE_DEVICE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#include "core/cuda/emulate/kernels.h"
#include "core/cuda/emulate/runtime.h"
#include "core/cuda/emulate/tasks.h"

extern "C" {
#include "core/tensor/dtype.h"
}

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

struct uint3 {
    unsigned x, y, z;
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

struct alignas(8) uint2 {
    unsigned x, y;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

struct alignas(8) float2 {
    float x, y;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* ---- the block's threads wait for each other ------------------------------------------------- */

void __syncthreads();
int __syncthreads_or(int predicate);
int __syncthreads_count(int predicate);
void __syncwarp(unsigned mask = 0xffffffffu);

/* Gives `bytes` (at most 64) of every lane to all lanes; lane l's lie at 64 * l of the result,
 * which is good until the warp's next collective but one. All 32 lanes must take part. */
const unsigned char *emulate_exchange(const void *mine, int bytes, const char *what);
int emulate_lane();

template <typename T> T emulate_from_lane(T mine, int lane, const char *what)
{
    const unsigned char *all = emulate_exchange(&mine, (int)sizeof mine, what);
    T theirs;
    memcpy(&theirs, all + 64 * lane, sizeof theirs);
    return theirs;
}

template <typename T> T __shfl_xor_sync(unsigned, T x, int mask, int width = 32)
{
    (void)width;
    return emulate_from_lane(x, emulate_lane() ^ mask, "__shfl_xor_sync");
}

template <typename T> T __shfl_sync(unsigned, T x, int lane, int width = 32)
{
    return emulate_from_lane(x, emulate_lane() / width * width + lane % width, "__shfl_sync");
}

template <typename T> T __shfl_down_sync(unsigned, T x, int step, int width = 32)
{
    int lane = emulate_lane();
    int from = lane % width + step < width ? lane + step : lane;
    return emulate_from_lane(x, from, "__shfl_down_sync");
}

template <typename T> T __shfl_up_sync(unsigned, T x, int step, int width = 32)
{
    int lane = emulate_lane();
    return emulate_from_lane(x, lane % width >= step ? lane - step : lane, "__shfl_up_sync");
}

unsigned __ballot_sync(unsigned mask, int predicate);

static inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}

static inline int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) == 0xffffffffu;
}

void emulate_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]);
void emulate_load_matrices(uint32_t out[4], const void *row, bool transposed);
void emulate_copy_async(void *shared, const void *global, bool valid);
void emulate_copy_commit();
void emulate_copy_wait(int groups_left);
unsigned char *emulate_shared_memory();

/* ---- atomics: one host thread runs all ------------------------------------------------------- */

template <typename T> T atomicAdd(T *at, T x)
{
    T old = *at;
    *at = old + x;
    return old;
}

template <typename T> T atomicMax(T *at, T x)
{
    T old = *at;
    *at = old > x ? old : x;
    return old;
}

template <typename T> T atomicMin(T *at, T x)
{
    T old = *at;
    *at = old < x ? old : x;
    return old;
}

template <typename T> T atomicOr(T *at, T x)
{
    T old = *at;
    *at = old | x;
    return old;
}

template <typename T> T atomicExch(T *at, T x)
{
    T old = *at;
    *at = x;
    return old;
}

static inline void __threadfence()
{
}

/* ---- functions of the device ----------------------------------------------------------------- */

static inline float __uint_as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t __float_as_uint(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline int __float_as_int(float value)
{
    return (int)__float_as_uint(value);
}

static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}

static inline float __fdividef(float a, float b)
{
    return a / b;
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}

template <typename T> T __ldg(const T *at)
{
    return *at;
}

template <typename T> T min(T a, T b)
{
    return a < b ? a : b;
}

template <typename T> T max(T a, T b)
{
    return a > b ? a : b;
}

/* ---- launching ------------------------------------------------------------------------------- */

/* Enqueues a kernel: `thread` is what each of its threads runs; `arguments` are the kernel's, by
 * emulate_bytes. A launch that the device does not allow is the next cudaGetLastError. */
void emulate_launch_kernel(cudaStream_t stream, const void *kernel, dim3 grid, dim3 block,
                           size_t shared, std::function<void()> thread,
                           const std::string &arguments);

template <auto Kernel> struct EmulatedEntry {
    static bool known;
};
template <auto Kernel> bool EmulatedEntry<Kernel>::known = emulate_register((const void *)Kernel);

template <auto Kernel>
void emulate_launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared,
                    std::function<void()> thread, const std::string &arguments = "")
{
    (void)&EmulatedEntry<Kernel>::known; /* whatever can be launched is known from the beginning */
    emulate_launch_kernel(stream, (const void *)Kernel, grid, block, shared, std::move(thread),
                          arguments);
}

#endif
