/* Kernels that do the same to every element: a functor says what, `f.template run<N>(i)` for
 * elements [i, i + N). */
#ifndef CAMBIUM_CORE_CUDA_MAP_CUH
#define CAMBIUM_CORE_CUDA_MAP_CUH

#include "core/cuda/cuda.h"

enum { MAP_WIDTH = 8, MAP_THREADS = 256 };

/* N elements as float32; N is 1, or the memory is aligned to 16 bytes. */
template <int N, typename T>
__device__ __forceinline__ void load_f32(const T *from, int64_t i, float out[N])
{
    constexpr int WIDTH = N < pack_size<T>() ? N : pack_size<T>();
    for (int at = 0; at < N; at += WIDTH) {
        Pack<T, WIDTH> pack = *(const Pack<T, WIDTH> *)(from + i + at);
        for (int j = 0; j < WIDTH; j++)
            out[at + j] = to_f32(pack.at[j]);
    }
}

template <int N, typename T>
__device__ __forceinline__ void store_f32(T *to, int64_t i, const float x[N])
{
    constexpr int WIDTH = N < pack_size<T>() ? N : pack_size<T>();
    for (int at = 0; at < N; at += WIDTH) {
        Pack<T, WIDTH> pack;
        for (int j = 0; j < WIDTH; j++)
            pack.at[j] = from_f32<T>(x[at + j]);
        *(Pack<T, WIDTH> *)(to + i + at) = pack;
    }
}

/* Eight at a time up to `wide` elements, one at a time from there to n. */
template <typename F> __global__ void map_kernel(int64_t wide, int64_t n, F f)
{
    int64_t me = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int64_t all = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = me * MAP_WIDTH; i < wide; i += all * MAP_WIDTH)
        f.template run<MAP_WIDTH>(i);
    for (int64_t i = wide + me; i < n; i += all)
        f.template run<1>(i);
}

/* `aligned`: all the functor's memory is, to 16 bytes. */
template <typename F> void map(Queue *queue, int64_t n, bool aligned, F f)
{
    int64_t wide = aligned ? n / MAP_WIDTH * MAP_WIDTH : 0;
    int64_t per_block = (int64_t)MAP_THREADS * (aligned ? MAP_WIDTH : 1);
    unsigned threads =
        n < per_block ? row_threads(aligned ? ceil_div(n, MAP_WIDTH) : n) : (unsigned)MAP_THREADS;
    launch<map_kernel<F>>(queue, stride_blocks(n, per_block), threads, 0, wide, n, f);
}

#endif
