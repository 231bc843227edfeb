/* Sums over the rows of a matrix, in an order fixed by its shape and the device. */
#include "core/cuda/sum_rows.h"

/* A block sums a part of the rows for COLUMNS columns: each of its warps every WARPS-th row. */
enum { COLUMNS = WARP, WARPS = 8, PART_ROWS = 64 };

struct SumRowsParams {
    int64_t rows, N, part_rows;
    const void *x;
    float *out; /* (parts, N) */
    bool accumulate;
};

/* W columns a lane. */
template <typename T, int W> __global__ void sum_part_kernel(SumRowsParams p)
{
    __shared__ float sums[WARPS][COLUMNS * W];
    int64_t column = (int64_t)blockIdx.x * COLUMNS * W;
    int64_t mine = column + lane_id() * W;
    int64_t first = (int64_t)blockIdx.y * p.part_rows;
    int64_t end = min(first + p.part_rows, p.rows);
    float sum[W] = {};
    for (int64_t row = first + warp_id(); row < end && mine < p.N; row += WARPS) {
        Pack<T, W> x = *(const Pack<T, W> *)((const T *)p.x + row * p.N + mine);
        for (int i = 0; i < W; i++)
            sum[i] += to_f32(x.at[i]);
    }
    for (int i = 0; i < W; i++)
        sums[warp_id()][lane_id() * W + i] = sum[i];
    __syncthreads();
    for (int i = (int)threadIdx.x; i < COLUMNS * W && column + i < p.N; i += WARPS * WARP) {
        float total = 0.0f;
        for (int w = 0; w < WARPS; w++)
            total += sums[w][i];
        float *out = p.out + (int64_t)blockIdx.y * p.N + column + i;
        *out = p.accumulate ? *out + total : total;
    }
}

/* At most so many parts: enough blocks for the device, but few parts to be added up. */
static int64_t most_parts(int64_t rows, int64_t N, int per_lane)
{
    int64_t blocks = ceil_div(N, COLUMNS * per_lane);
    int64_t parts = ceil_div((int64_t)device_processors() * 8, blocks ? blocks : 1);
    int64_t most = ceil_div(rows, PART_ROWS);
    return parts < most ? parts : most;
}

template <typename T, int W>
static void sum_parts(Queue *queue, const SumRowsArgs *args, float *scratch)
{
    int64_t rows = tensor_rows(&args->x), N = tensor_cols(&args->x);
    int64_t most = most_parts(rows, N, W);
    int64_t part = most > 1 ? ceil_div(rows, most) : rows;
    int64_t parts = rows ? ceil_div(rows, part) : 1;
    float *out = device_at<float>(&args->out);
    SumRowsParams p = {rows, N, part, args->x.data, out, args->accumulate};
    if (parts > 1) {
        p.out = scratch;
        p.accumulate = false;
    }
    launch<sum_part_kernel<T, W>>(queue, dim3((unsigned)ceil_div(N, COLUMNS * W), (unsigned)parts),
                                  WARPS * WARP, 0, p);
    if (parts > 1) {
        SumRowsParams last = {parts, N, parts, scratch, out, args->accumulate};
        launch<sum_part_kernel<float, 1>>(queue, (unsigned)ceil_div(N, COLUMNS), WARPS * WARP, 0,
                                          last);
    }
}

size_t sum_rows_scratch(int64_t rows, int64_t N)
{
    return (size_t)most_parts(rows, N, pack_size<bf16>()) * (size_t)N * sizeof(float);
}

void sum_rows_with(Queue *queue, const SumRowsArgs *args, float *scratch)
{
    int64_t N = tensor_cols(&args->x);
    with_type(args->x.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        if (N % pack_size<T>() == 0 && (uintptr_t)args->x.data % 16 == 0)
            sum_parts<T, pack_size<T>()>(queue, args, scratch);
        else
            sum_parts<T, 1>(queue, args, scratch);
    });
}

void cuda_sum_rows(Queue *queue, const SumRowsArgs *args)
{
    int64_t rows = tensor_rows(&args->x), N = tensor_cols(&args->x);
    CHECK(is_compute_type(args->x.dtype) && args->out.dtype == DTYPE_F32 &&
              tensor_count(&args->out) == N,
          "sum_rows: shapes or types");
    float *scratch = (float *)queue_scratch(queue, sum_rows_scratch(rows, N), "sum_rows");
    if (scratch)
        sum_rows_with(queue, args, scratch);
}
