/* Layer norm and root mean square norm, forward and backward. */
#include "core/cuda/cuda.h"

enum { KEPT_MOST = 12288 }; /* elements of a row that shared memory takes: 48 KB */

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
template <typename X, typename Y, bool LAYER, bool KEPT> __global__ void norm_kernel(NormParams p)
{
    __shared__ float partial[WARP];
    /* Rows too long for shared memory are read again from where they are (or were summed to). */
    float *row = KEPT ? (float *)shared_memory() : (float *)0;
    int64_t at = (int64_t)blockIdx.x * p.C;
    const X *x = (const X *)p.x + at;
    auto again = [&](int64_t j) { return KEPT ? row[j] : p.sum ? p.sum[at + j] : to_f32(x[j]); };
    float total = 0.0f;
    for (int64_t j = threadIdx.x; j < p.C; j += blockDim.x) {
        float value = to_f32(x[j]);
        if (p.residual)
            value += p.residual[at + j];
        if (p.sum)
            p.sum[at + j] = value;
        if (KEPT)
            row[j] = value;
        total += value;
    }
    float mean = LAYER ? block_sum(total, partial) / (float)p.C : 0.0f;
    float squares = 0.0f;
    for (int64_t j = threadIdx.x; j < p.C; j += blockDim.x)
        squares += (again(j) - mean) * (again(j) - mean);
    float rstd = 1.0f / sqrtf(block_sum(squares, partial) / (float)p.C + p.eps);
    Y *y = (Y *)p.y + at;
    for (int64_t j = threadIdx.x; j < p.C; j += blockDim.x) {
        float value = (again(j) - mean) * rstd * p.weight[j];
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
    bool kept = p.C <= KEPT_MOST;
    size_t shared = kept ? (size_t)p.C * sizeof(float) : 0;
    with_type(args->x.dtype, [&](auto x) {
        with_type(args->y.dtype, [&](auto y) {
            using X = typename decltype(x)::type;
            using Y = typename decltype(y)::type;
            unsigned rows = (unsigned)N;
            if (args->kind == NORM_LAYER && kept)
                launch<norm_kernel<X, Y, true, true>>(queue, rows, threads, shared, p);
            else if (args->kind == NORM_LAYER)
                launch<norm_kernel<X, Y, true, false>>(queue, rows, threads, shared, p);
            else if (kept)
                launch<norm_kernel<X, Y, false, true>>(queue, rows, threads, shared, p);
            else
                launch<norm_kernel<X, Y, false, false>>(queue, rows, threads, shared, p);
        });
    });
}

/* ---- backward ------------------------------------------------------------------------------- */

struct NormBackwardParams {
    int64_t N, C;
    const float *x, *weight, *mean, *rstd;
    const void *dy;
    float *dx;
    bool accumulate;
};

/* With xhat the normalised row and g = dy * weight: dx = rstd (g - mean(g) - xhat mean(g xhat));
 * root mean square norm has no mean(g). One block a row. */
template <typename Y, bool LAYER> __global__ void norm_backward_kernel(NormBackwardParams p)
{
    __shared__ float partial[WARP];
    int64_t row = blockIdx.x, at = row * p.C;
    const Y *dy = (const Y *)p.dy + at;
    float mean = LAYER ? p.mean[row] : 0.0f, rstd = p.rstd[row];
    float sum_g = 0.0f, sum_gx = 0.0f;
    for (int64_t j = threadIdx.x; j < p.C; j += blockDim.x) {
        float g = to_f32(dy[j]) * p.weight[j];
        sum_g += g;
        sum_gx += g * (p.x[at + j] - mean) * rstd;
    }
    float mean_g = LAYER ? block_sum(sum_g, partial) / (float)p.C : 0.0f;
    float mean_gx = block_sum(sum_gx, partial) / (float)p.C;
    for (int64_t j = threadIdx.x; j < p.C; j += blockDim.x) {
        float g = to_f32(dy[j]) * p.weight[j], xhat = (p.x[at + j] - mean) * rstd;
        float d = rstd * (g - mean_g - xhat * mean_gx);
        p.dx[at + j] = p.accumulate ? p.dx[at + j] + d : d;
    }
}

enum { SUM_LANES = 8, SPLITS_MAX = 64 };

/* Sums of dy * xhat and of dy over a range of rows, for 32 columns: partial (splits, 2, C). */
template <typename Y, bool LAYER>
__global__ void norm_weights_kernel(NormBackwardParams p, float *partial, int64_t rows_per_split)
{
    __shared__ float sums[2][SUM_LANES][WARP];
    int lane = (int)threadIdx.x % WARP, line = (int)threadIdx.x / WARP;
    int64_t column = (int64_t)blockIdx.x * WARP + lane;
    int64_t first = blockIdx.y * rows_per_split;
    int64_t end = first + rows_per_split < p.N ? first + rows_per_split : p.N;
    float dweight = 0.0f, dbias = 0.0f;
    for (int64_t row = first + line; row < end && column < p.C; row += SUM_LANES) {
        float d = to_f32(((const Y *)p.dy)[row * p.C + column]);
        float mean = LAYER ? p.mean[row] : 0.0f;
        dweight += d * (p.x[row * p.C + column] - mean) * p.rstd[row];
        dbias += d;
    }
    sums[0][line][lane] = dweight;
    sums[1][line][lane] = dbias;
    __syncthreads();
    if (line < 2 && column < p.C) {
        float sum = 0.0f;
        for (int i = 0; i < SUM_LANES; i++)
            sum += sums[line][i][lane];
        partial[((int64_t)blockIdx.y * 2 + line) * p.C + column] = sum;
    }
}

/* Adds the splits up, in their order. */
__global__ void norm_weights_sum_kernel(const float *partial, int64_t C, int splits, float *dweight,
                                        float *dbias)
{
    int64_t j = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= C)
        return;
    double weight = 0.0, bias = 0.0;
    for (int s = 0; s < splits; s++) {
        weight += (double)partial[(int64_t)s * 2 * C + j];
        bias += (double)partial[((int64_t)s * 2 + 1) * C + j];
    }
    if (dweight)
        dweight[j] = (float)((double)dweight[j] + weight);
    if (dbias)
        dbias[j] = (float)((double)dbias[j] + bias);
}

template <typename Y, bool LAYER>
static void norm_backward(Queue *queue, const NormBackwardArgs *args, const NormBackwardParams &p)
{
    launch<norm_backward_kernel<Y, LAYER>>(queue, (unsigned)p.N, row_threads(p.C), 0, p);
    if (!args->dweight.data && !args->dbias.data)
        return;
    int64_t splits = ceil_div(p.N, 64), most = SPLITS_MAX;
    splits = splits < most ? splits : most;
    int64_t rows = ceil_div(p.N, splits);
    float *partial = (float *)queue_scratch(queue, (size_t)(splits * 2 * p.C) * sizeof(float),
                                            "a norm's gradients");
    if (!partial)
        return;
    launch<norm_weights_kernel<Y, LAYER>>(queue,
                                          dim3((unsigned)ceil_div(p.C, WARP), (unsigned)splits),
                                          SUM_LANES * WARP, 0, p, partial, rows);
    unsigned threads = row_threads(p.C);
    launch<norm_weights_sum_kernel>(
        queue, (unsigned)ceil_div(p.C, threads), threads, 0, (const float *)partial, p.C,
        (int)splits, device_at<float>(&args->dweight), device_at<float>(&args->dbias));
}

void cuda_norm_backward(Queue *queue, const NormBackwardArgs *args)
{
    norm_backward_check(args);
    NormBackwardParams p = {tensor_rows(&args->x),
                            tensor_cols(&args->x),
                            device_at<float>(&args->x),
                            device_at<float>(&args->weight),
                            device_at<float>(&args->mean),
                            device_at<float>(&args->rstd),
                            args->dy.data,
                            device_at<float>(&args->dx),
                            args->accumulate};
    with_type(args->dy.dtype, [&](auto type) {
        using Y = typename decltype(type)::type;
        if (args->kind == NORM_LAYER)
            norm_backward<Y, true>(queue, args, p);
        else
            norm_backward<Y, false>(queue, args, p);
    });
}
