/* Symmetric int8 rows. */
#include "core/cuda/cuda.h"
#include "core/cuda/quant_row.cuh"

/* One warp a row. */
template <typename X, int V>
__global__ void quantise_kernel(const X *x, int8_t *q, float *scales, int64_t rows, int64_t cols)
{
    int64_t row = (int64_t)blockIdx.x * (blockDim.x / WARP) + warp_id();
    if (row >= rows)
        return;
    float scale = quantise_row<V>(x + row * cols, q + row * cols, cols);
    if (lane_id() == 0)
        scales[row] = scale;
}

void cuda_quantise(Queue *queue, const QuantiseArgs *args)
{
    enum { WARPS = 4 };
    quantise_check(args);
    int64_t rows = tensor_rows(&args->x), cols = tensor_cols(&args->x);
    unsigned grid = (unsigned)ceil_div(rows, WARPS);
    with_type(args->x.dtype, [&](auto type) {
        using X = typename decltype(type)::type;
        constexpr int V = pack_size<X>();
        const X *x = device_at<X>(&args->x);
        int8_t *q = device_at<int8_t>(&args->q);
        float *scales = device_at<float>(&args->scales);
        if (cols % V == 0 && aligned_to(x, sizeof(X) * V) && aligned_to(q, V))
            launch<quantise_kernel<X, V>>(queue, grid, WARPS * WARP, 0, x, q, scales, rows, cols);
        else
            launch<quantise_kernel<X, 1>>(queue, grid, WARPS * WARP, 0, x, q, scales, rows, cols);
    });
}
