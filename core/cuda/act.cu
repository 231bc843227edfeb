/* Activations, forward and backward. */
#include "core/cuda/map.cuh"

static __device__ __forceinline__ float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

template <typename T> struct Gelu {
    const T *x;
    T *y;
    template <int N> __device__ __forceinline__ void run(int64_t i) const
    {
        float v[N];
        load_f32<N>(x, i, v);
        for (int j = 0; j < N; j++)
            v[j] *= normal_cdf(v[j]);
        store_f32<N>(y, i, v);
    }
};

template <typename T> struct Swiglu {
    const T *x, *gate;
    T *y;
    template <int N> __device__ __forceinline__ void run(int64_t i) const
    {
        float v[N], g[N];
        load_f32<N>(x, i, v);
        load_f32<N>(gate, i, g);
        for (int j = 0; j < N; j++)
            v[j] *= g[j] * sigmoid(g[j]);
        store_f32<N>(y, i, v);
    }
};

/* dx = dy (Phi(x) + x phi(x)). */
template <typename T> struct GeluBackward {
    const T *x, *dy;
    T *dx;
    template <int N> __device__ __forceinline__ void run(int64_t i) const
    {
        float v[N], d[N];
        load_f32<N>(x, i, v);
        load_f32<N>(dy, i, d);
        for (int j = 0; j < N; j++)
            d[j] *= normal_cdf(v[j]) + v[j] * 0.39894228f * expf(-0.5f * v[j] * v[j]);
        store_f32<N>(dx, i, d);
    }
};

template <typename T> struct SwigluBackward {
    const T *x, *gate, *dy;
    T *dx, *dgate;
    template <int N> __device__ __forceinline__ void run(int64_t i) const
    {
        float v[N], g[N], d[N];
        load_f32<N>(x, i, v);
        load_f32<N>(gate, i, g);
        load_f32<N>(dy, i, d);
        for (int j = 0; j < N; j++) {
            float s = sigmoid(g[j]);
            v[j] *= d[j] * s * (1.0f + g[j] * (1.0f - s));
            d[j] *= g[j] * s;
        }
        store_f32<N>(dx, i, d);
        store_f32<N>(dgate, i, v);
    }
};

void cuda_act(Queue *queue, const ActArgs *args)
{
    act_check(args);
    int64_t n = tensor_count(&args->x);
    bool aligned = aligned_to(args->x.data, 16) && aligned_to(args->y.data, 16) &&
                   aligned_to(args->gate.data, 16);
    with_type(args->x.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        const T *x = device_at<T>(&args->x), *gate = device_at<T>(&args->gate);
        T *y = device_at<T>(&args->y);
        if (args->act == ACT_GELU)
            map(queue, n, aligned, Gelu<T>{x, y});
        else
            map(queue, n, aligned, Swiglu<T>{x, gate, y});
    });
}

void cuda_act_backward(Queue *queue, const ActBackwardArgs *args)
{
    act_backward_check(args);
    int64_t n = tensor_count(&args->x);
    bool aligned = aligned_to(args->x.data, 16) && aligned_to(args->dy.data, 16) &&
                   aligned_to(args->dx.data, 16) && aligned_to(args->gate.data, 16) &&
                   aligned_to(args->dgate.data, 16);
    with_type(args->x.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        const T *x = device_at<T>(&args->x), *gate = device_at<T>(&args->gate);
        const T *dy = device_at<T>(&args->dy);
        T *dx = device_at<T>(&args->dx), *dgate = device_at<T>(&args->dgate);
        if (args->act == ACT_GELU)
            map(queue, n, aligned, GeluBackward<T>{x, dy, dx});
        else
            map(queue, n, aligned, SwigluBackward<T>{x, gate, dy, dx, dgate});
    });
}
