/* Layer norm and root mean square norm, forward and backward. */
#include "core/cuda/cuda.h"

struct NormParams {
    int64_t C;
    float eps;
    const void *x;
    const float *residual, *weight, *bias;
    float *sum, *mean, *rstd;
    void *y;
};

/* One block a row: the sum x + residual goes to shared memory, where the two passes over it read.
 */
template <typename X, typename Y, bool LAYER> __global__ void norm_kernel(NormParams p)
{
    __shared__ float partial[WARP];
    float *row = (float *)shared_memory();
    int64_t at = (int64_t)blockIdx.x * p.C;
    const X *x = (const X *)p.x + at;
    float total = 0.0f;
    for (int64_t j = threadIdx.x; j < p.C; j += blockDim.x) {
        float value = to_f32(x[j]);
        if (p.residual)
            value += p.residual[at + j];
        if (p.sum)
            p.sum[at + j] = value;
        row[j] = value;
        total += value;
    }
    float mean = LAYER ? block_sum(total, partial) / (float)p.C : 0.0f;
    float squares = 0.0f;
    for (int64_t j = threadIdx.x; j < p.C; j += blockDim.x)
        squares += (row[j] - mean) * (row[j] - mean);
    float rstd = 1.0f / sqrtf(block_sum(squares, partial) / (float)p.C + p.eps);
    Y *y = (Y *)p.y + at;
    for (int64_t j = threadIdx.x; j < p.C; j += blockDim.x) {
        float value = (row[j] - mean) * rstd * p.weight[j];
        y[j] = from_f32<Y>(value + (p.bias ? p.bias[j] : 0.0f));
    }
    if (threadIdx.x == 0) {
        if (p.mean)
            p.mean[blockIdx.x] = mean;
        if (p.rstd)
            p.rstd[blockIdx.x] = rstd;
    }
}

void cuda_norm(Queue *queue, const NormArgs *args)
{
    norm_check(args);
    int64_t N = tensor_rows(&args->x);
    NormParams p = {tensor_cols(&args->x),
                    args->eps,
                    args->x.data,
                    device_at<float>(&args->residual),
                    device_at<float>(&args->weight),
                    device_at<float>(&args->bias),
                    device_at<float>(&args->sum),
                    device_at<float>(&args->mean),
                    device_at<float>(&args->rstd),
                    args->y.data};
    unsigned threads = row_threads(p.C);
    size_t shared = (size_t)p.C * sizeof(float);
    with_type(args->x.dtype, [&](auto x) {
        with_type(args->y.dtype, [&](auto y) {
            using X = typename decltype(x)::type;
            using Y = typename decltype(y)::type;
            if (args->kind == NORM_LAYER)
                launch<norm_kernel<X, Y, true>>(queue, (unsigned)N, threads, shared, p);
            else
                launch<norm_kernel<X, Y, false>>(queue, (unsigned)N, threads, shared, p);
        });
    });
}
