/* New keys and values into their pages. */
#include "core/cuda/cuda.h"
#include "core/cuda/quant_row.cuh"

struct WriteParams {
    const int32_t *slots;
    const void *from[2]; /* k and v (N, K, D) */
    void *pages[2];
    float *scales[2];
    int64_t N;
    int K, D, page_size;
};

template <int V, typename X, typename T>
__device__ __forceinline__ void write_row(const X *from, T *to, float *, int D)
{
    for (int i = lane_id() * V; i < D; i += WARP * V) {
        Pack<X, V> in = *(const Pack<X, V> *)(from + i);
        Pack<T, V> out;
        for (int j = 0; j < V; j++)
            out.at[j] = from_f32<T>(to_f32(in.at[j]));
        *(Pack<T, V> *)(to + i) = out;
    }
}

template <int V, typename X>
__device__ __forceinline__ void write_row(const X *from, int8_t *to, float *scale, int D)
{
    float value = quantise_row<V>(from, to, D);
    if (lane_id() == 0)
        *scale = value;
}

/* One warp writes one row of D elements: (n, head, side), side being the grid's y. */
template <typename X, typename T, int V> __global__ void kv_write_kernel(WriteParams p)
{
    int64_t i = (int64_t)blockIdx.x * (blockDim.x / WARP) + warp_id();
    if (i >= p.N * p.K)
        return;
    int slot = p.slots[i / p.K], side = (int)blockIdx.y;
    if (slot < 0)
        return;
    int64_t row =
        ((int64_t)(slot / p.page_size) * p.K + i % p.K) * p.page_size + slot % p.page_size;
    write_row<V>((const X *)p.from[side] + i * p.D, (T *)p.pages[side] + row * p.D,
                 p.scales[side] + row, p.D);
}

template <typename X, typename T> static void write_pages(Queue *queue, const WriteParams *p)
{
    enum { WARPS = 4 };
    constexpr int V = pack_size<X>() < pack_size<T>() ? pack_size<X>() : pack_size<T>();
    bool whole = p->D % V == 0;
    for (int side = 0; side < 2; side++)
        whole = whole && aligned_to(p->from[side], sizeof(X) * V) &&
                aligned_to(p->pages[side], sizeof(T) * V);
    dim3 grid((unsigned)ceil_div(p->N * p->K, WARPS), 2);
    if (whole)
        launch<kv_write_kernel<X, T, V>>(queue, grid, WARPS * WARP, 0, *p);
    else
        launch<kv_write_kernel<X, T, 1>>(queue, grid, WARPS * WARP, 0, *p);
}

void cuda_kv_write(Queue *queue, const KvWriteArgs *args)
{
    kv_write_check(args);
    const KvPages *kv = &args->kv;
    WriteParams p = {device_at<int32_t>(&args->slots),
                     {args->k.data, args->v.data},
                     {kv->k_pages.data, kv->v_pages.data},
                     {device_at<float>(&kv->k_scales), device_at<float>(&kv->v_scales)},
                     args->k.shape[0],
                     (int)args->k.shape[1],
                     (int)args->k.shape[2],
                     (int)kv->k_pages.shape[2]};
    with_type(args->k.dtype, [&](auto x) {
        using X = typename decltype(x)::type;
        with_page_type(kv->k_pages.dtype,
                       [&](auto t) { write_pages<X, typename decltype(t)::type>(queue, &p); });
    });
}
