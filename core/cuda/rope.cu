/* Rotary position embedding. */
#include "core/cuda/cuda.h"

struct RopeParams {
    void *x;
    const int32_t *positions;
    const float *inv_freq;
    int64_t pairs; /* of one row: heads * D / 2 */
    int half;      /* D / 2 */
    float sign, scale;
};

/* One block a row. Its cosines and sines go to shared memory, half of each: positions reach
 * millions, so the angle and what remains of it beyond whole turns are float64, and only that
 * remainder, at most pi, is rounded to float32. V pairs move at once. */
template <typename T, int V> __global__ void rope_kernel(RopeParams p)
{
    float *cosine = (float *)shared_memory(), *sine = cosine + p.half;
    const double turn = 6.283185307179586477;
    double position = (double)p.positions[blockIdx.x];
    for (int i = (int)threadIdx.x; i < p.half; i += (int)blockDim.x) {
        double angle = position * (double)p.inv_freq[i];
        float c, s;
        sincosf((float)(angle - turn * rint(angle * (1.0 / turn))), &s, &c);
        cosine[i] = c * p.scale;
        sine[i] = s * p.sign * p.scale;
    }
    __syncthreads();
    T *row = (T *)p.x + (int64_t)blockIdx.x * p.pairs * 2;
    for (int64_t at = (int64_t)threadIdx.x * V; at < p.pairs; at += (int64_t)blockDim.x * V) {
        int i = (int)(at % p.half);
        T *head = row + at / p.half * p.half * 2 + i;
        Pack<T, V> a = *(Pack<T, V> *)head, b = *(Pack<T, V> *)(head + p.half);
        for (int j = 0; j < V; j++) {
            float first = to_f32(a.at[j]), second = to_f32(b.at[j]);
            float c = cosine[i + j], s = sine[i + j];
            a.at[j] = from_f32<T>(first * c - second * s);
            b.at[j] = from_f32<T>(first * s + second * c);
        }
        *(Pack<T, V> *)head = a;
        *(Pack<T, V> *)(head + p.half) = b;
    }
}

void cuda_rope(Queue *queue, const RopeArgs *args)
{
    rope_check(args);
    int half = (int)(args->x.shape[2] / 2);
    RopeParams p = {args->x.data,
                    device_at<int32_t>(&args->positions),
                    device_at<float>(&args->inv_freq),
                    args->x.shape[1] * half,
                    half,
                    args->inverse ? -1.0f : 1.0f,
                    args->scale};
    unsigned grid = (unsigned)args->x.shape[0], threads = row_threads(p.pairs);
    size_t shared = (size_t)half * 2 * sizeof(float);
    with_type(args->x.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        constexpr int V = pack_size<T>();
        if (half % V == 0 && aligned_to(p.x, 16))
            launch<rope_kernel<T, V>>(queue, grid, threads, shared, p);
        else
            launch<rope_kernel<T, 1>>(queue, grid, threads, shared, p);
    });
}
