/* Operations that stream over elements or rows: casts, weighted sums, dropout, gathers, the search
 * for what is not finite. */
#include "core/cuda/map.cuh"

/* ---- cast ----------------------------------------------------------------------------------- */

template <typename X, typename Y> struct Cast {
    const X *x;
    Y *y;
    template <int N> __device__ __forceinline__ void run(int64_t i) const
    {
        float v[N];
        load_f32<N>(x, i, v);
        store_f32<N>(y, i, v);
    }
};

void cuda_cast(Queue *queue, const CastArgs *args)
{
    int64_t n = tensor_count(&args->x);
    CHECK(tensor_count(&args->y) == n, "cast: shapes");
    if (args->x.dtype == args->y.dtype) {
        queue_copy(queue, args->y.data, args->x.data, tensor_bytes(&args->x));
        return;
    }
    CHECK(is_compute_type(args->x.dtype) && is_compute_type(args->y.dtype), "cast: %s to %s",
          dtype_name(args->x.dtype), dtype_name(args->y.dtype));
    bool aligned = aligned_to(args->x.data, 16) && aligned_to(args->y.data, 16);
    if (args->x.dtype == DTYPE_F32)
        map(queue, n, aligned,
            Cast<float, bf16>{device_at<float>(&args->x), device_at<bf16>(&args->y)});
    else
        map(queue, n, aligned,
            Cast<bf16, float>{device_at<bf16>(&args->x), device_at<float>(&args->y)});
}

/* ---- weighted sum --------------------------------------------------------------------------- */

enum { SUM_INPUTS = 16 }; /* of one launch */

template <typename Y> struct WeightedSum {
    const void *x[SUM_INPUTS];
    float weights[SUM_INPUTS];
    bool narrow[SUM_INPUTS]; /* bfloat16 */
    int n;
    bool accumulate;
    Y *y;
    template <int N> __device__ __forceinline__ void run(int64_t i) const
    {
        float sum[N], v[N];
        for (int j = 0; j < N; j++)
            sum[j] = 0.0f;
        if (accumulate)
            load_f32<N>(y, i, sum);
        for (int k = 0; k < n; k++) {
            if (narrow[k])
                load_f32<N>((const bf16 *)x[k], i, v);
            else
                load_f32<N>((const float *)x[k], i, v);
            for (int j = 0; j < N; j++)
                sum[j] += weights[k] * v[j];
        }
        store_f32<N>(y, i, sum);
    }
};

void cuda_weighted_sum(Queue *queue, const WeightedSumArgs *args)
{
    weighted_sum_check(args);
    with_type(args->y.dtype, [&](auto type) {
        using Y = typename decltype(type)::type;
        for (int64_t at = 0; at == 0 || at < args->n; at += SUM_INPUTS) {
            WeightedSum<Y> sum = {};
            bool aligned = aligned_to(args->y.data, 16);
            for (; sum.n < SUM_INPUTS && at + sum.n < args->n; sum.n++) {
                const Tensor *x = &args->x[at + sum.n];
                sum.x[sum.n] = x->data;
                sum.weights[sum.n] = args->weights[at + sum.n];
                sum.narrow[sum.n] = x->dtype == DTYPE_BF16;
                aligned = aligned && aligned_to(x->data, 16);
            }
            sum.accumulate = args->accumulate || at > 0;
            sum.y = device_at<Y>(&args->y);
            map(queue, tensor_count(&args->y), aligned, sum);
        }
    });
}

/* ---- dropout -------------------------------------------------------------------------------- */

template <typename T> struct Drop {
    const T *x;
    T *y;
    uint64_t seed, first;
    uint32_t threshold;
    float factor;
    template <int N> __device__ __forceinline__ void run(int64_t i) const
    {
        float v[N];
        load_f32<N>(x, i, v);
        for (int j = 0; j < N; j++)
            v[j] = dropout_keeps(seed, first + (uint64_t)(i + j), threshold) ? v[j] * factor : 0.0f;
        store_f32<N>(y, i, v);
    }
};

void cuda_dropout(Queue *queue, const DropoutArgs *args)
{
    CHECK(args->p >= 0 && args->p < 1, "dropout: p = %g", (double)args->p);
    CHECK(is_compute_type(args->x.dtype) && args->x.dtype == args->y.dtype &&
              tensor_count(&args->x) == tensor_count(&args->y),
          "dropout: shapes or types");
    bool aligned = aligned_to(args->x.data, 16) && aligned_to(args->y.data, 16);
    with_type(args->x.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        Drop<T> drop = {device_at<T>(&args->x),
                        device_at<T>(&args->y),
                        args->seed,
                        args->first,
                        (uint32_t)((double)args->p * 4294967296.0),
                        1.0f / (1.0f - args->p)};
        map(queue, tensor_count(&args->x), aligned, drop);
    });
}

/* ---- not finite ----------------------------------------------------------------------------- */

/* Every thread that finds one writes the same 1. */
template <typename T> struct FindNonFinite {
    const T *x;
    int32_t *out;
    template <int N> __device__ __forceinline__ void run(int64_t i) const
    {
        float v[N];
        load_f32<N>(x, i, v);
        for (int j = 0; j < N; j++)
            if (!(fabsf(v[j]) < INFINITY))
                *out = 1;
    }
};

void cuda_non_finite(Queue *queue, const NonFiniteArgs *args)
{
    CHECK(is_compute_type(args->x.dtype) && args->out.dtype == DTYPE_I32, "non_finite: types");
    queue_zero(queue, args->out.data, sizeof(int32_t));
    with_type(args->x.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        map(queue, tensor_count(&args->x), aligned_to(args->x.data, 16),
            FindNonFinite<T>{device_at<T>(&args->x), device_at<int32_t>(&args->out)});
    });
}

/* ---- gather --------------------------------------------------------------------------------- */

/* One block a row, in units as wide as the rows' size and addresses allow. */
template <typename Unit>
__global__ void gather_kernel(const Unit *x, const int32_t *rows, Unit *out, int64_t units)
{
    const Unit *from = x + rows[blockIdx.x] * units;
    for (int64_t i = threadIdx.x; i < units; i += blockDim.x)
        out[(int64_t)blockIdx.x * units + i] = from[i];
}

template <typename Unit> static void gather(Queue *queue, const GatherRowsArgs *args, int64_t bytes)
{
    int64_t units = bytes / (int64_t)sizeof(Unit);
    launch<gather_kernel<Unit>>(queue, (unsigned)tensor_count(&args->rows), row_threads(units), 0,
                                (const Unit *)args->x.data, device_at<const int32_t>(&args->rows),
                                (Unit *)args->out.data, units);
}

void cuda_gather_rows(Queue *queue, const GatherRowsArgs *args)
{
    int64_t N = args->x.shape[0];
    CHECK(args->x.dtype == args->out.dtype && args->rows.dtype == DTYPE_I32 && N > 0 &&
              args->out.shape[0] == tensor_count(&args->rows),
          "gather_rows: shapes or types");
    int64_t bytes = (int64_t)tensor_bytes(&args->x) / N;
    if (bytes % 16 == 0 && aligned_to(args->x.data, 16) && aligned_to(args->out.data, 16))
        gather<uint4>(queue, args, bytes);
    else
        gather<uint8_t>(queue, args, bytes);
}
