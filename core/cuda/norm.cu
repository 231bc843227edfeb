/* Layer norm and root mean square norm, forward and backward. */
#include "core/cuda/map.cuh"

template <int N> struct Width {
    static constexpr int value = N;
};

/* Calls f(Width<4>()) where rows of C allow vectors of float32, else f(Width<1>()). */
template <typename F> static void with_width(bool aligned, int64_t C, F f)
{
    if (aligned && C % pack_size<float>() == 0)
        f(Width<pack_size<float>()>());
    else
        f(Width<1>());
}

/* Rows of at most so many bytes of float32 stay in shared memory between the passes over them;
 * longer ones are read again, mostly from the cache. */
static const size_t HELD_BYTES = 64 * 1024;

struct NormParams {
    int C;
    bool held; /* rows stay in shared memory */
    float eps;
    const void *x;
    const float *residual, *weight, *bias;
    float *sum, *mean, *rstd;
    void *y;
};

/* What the row's first pass left: N inputs of the norm from column j of the row at `at` on. */
template <typename X, int N>
__device__ __forceinline__ void norm_input(const NormParams &p, const float *row, int64_t at, int j,
                                           float *value)
{
    if (p.held)
        load_f32<N>(row, j, value);
    else if (p.sum)
        load_f32<N>(p.sum, at + j, value);
    else
        load_f32<N>((const X *)p.x, at + j, value);
}

/* One block a row. Every thread works on the same columns in each pass, so that it meets only its
 * own values again and no barrier is needed between them. */
template <typename X, typename Y, bool LAYER, int N> __global__ void norm_kernel(NormParams p)
{
    __shared__ float partial[WARP];
    float *row = (float *)shared_memory();
    int64_t at = (int64_t)blockIdx.x * p.C;
    int first = (int)threadIdx.x * N, step = (int)blockDim.x * N;
    float total = 0.0f, squares = 0.0f;
    for (int j = first; j < p.C; j += step) {
        float value[N], residual[N];
        load_f32<N>((const X *)p.x, at + j, value);
        if (p.residual) {
            load_f32<N>(p.residual, at + j, residual);
            for (int i = 0; i < N; i++)
                value[i] += residual[i];
        }
        if (p.sum)
            store_f32<N>(p.sum, at + j, value);
        if (p.held)
            store_f32<N>(row, j, value);
        for (int i = 0; i < N; i++)
            total += value[i];
    }
    float mean = LAYER ? block_sum(total, partial) / (float)p.C : 0.0f;
    for (int j = first; j < p.C; j += step) {
        float value[N];
        norm_input<X, N>(p, row, at, j, value);
        for (int i = 0; i < N; i++)
            squares += (value[i] - mean) * (value[i] - mean);
    }
    float rstd = 1.0f / sqrtf(block_sum(squares, partial) / (float)p.C + p.eps);
    for (int j = first; j < p.C; j += step) {
        float value[N], weight[N], bias[N] = {};
        norm_input<X, N>(p, row, at, j, value);
        load_f32<N>(p.weight, j, weight);
        if (p.bias)
            load_f32<N>(p.bias, j, bias);
        for (int i = 0; i < N; i++)
            value[i] = (value[i] - mean) * rstd * weight[i] + bias[i];
        store_f32<N>((Y *)p.y, at + j, value);
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
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x);
    size_t shared = (size_t)C * sizeof(float);
    NormParams p = {(int)C,
                    shared <= HELD_BYTES,
                    args->eps,
                    args->x.data,
                    device_at<float>(&args->residual),
                    device_at<float>(&args->weight),
                    device_at<float>(&args->bias),
                    device_at<float>(&args->sum),
                    device_at<float>(&args->mean),
                    device_at<float>(&args->rstd),
                    args->y.data};
    bool aligned = aligned_to(p.x, 16) && aligned_to(p.residual, 16) && aligned_to(p.weight, 16) &&
                   aligned_to(p.bias, 16) && aligned_to(p.sum, 16) && aligned_to(p.y, 16);
    with_type(args->x.dtype, [&](auto x) {
        with_type(args->y.dtype, [&](auto y) {
            with_width(aligned, C, [&](auto width) {
                using X = typename decltype(x)::type;
                using Y = typename decltype(y)::type;
                constexpr int W = decltype(width)::value;
                unsigned threads = row_threads(C / W);
                size_t bytes = p.held ? shared : 0;
                if (args->kind == NORM_LAYER)
                    launch<norm_kernel<X, Y, true, W>>(queue, (unsigned)N, threads, bytes, p);
                else
                    launch<norm_kernel<X, Y, false, W>>(queue, (unsigned)N, threads, bytes, p);
            });
        });
    });
}

/* ---- backward -------------------------------------------------------------------------------- */

struct NormBackwardParams {
    int64_t N;
    int C, rows; /* of a block */
    bool held, accumulate;
    const float *x, *weight, *mean, *rstd;
    const void *dy;
    float *dx;
    float *partial; /* (blocks, 2, C): sums over a block's rows for dweight, then dbias; or NULL */
};

/* dy, xhat = the normalised input and g = dy * weight of N columns from j on. */
template <typename Y, int N>
__device__ __forceinline__ void backward_input(const NormBackwardParams &p, int64_t at, int j,
                                               float mean, float rstd, float *dy, float *xhat,
                                               float *g)
{
    float weight[N];
    load_f32<N>((const Y *)p.dy, at + j, dy);
    load_f32<N>(p.x, at + j, xhat);
    load_f32<N>(p.weight, j, weight);
    for (int i = 0; i < N; i++) {
        xhat[i] = (xhat[i] - mean) * rstd;
        g[i] = dy[i] * weight[i];
    }
}

/* sums (2, C) += dy * xhat, then dy, of N columns from j on. */
template <int N>
__device__ __forceinline__ void add_weights(float *sums, int C, int j, const float *dy,
                                            const float *xhat)
{
    float dweight[N], dbias[N];
    load_f32<N>(sums, j, dweight);
    load_f32<N>(sums, C + j, dbias);
    for (int i = 0; i < N; i++) {
        dweight[i] += dy[i] * xhat[i];
        dbias[i] += dy[i];
    }
    store_f32<N>(sums, j, dweight);
    store_f32<N>(sums, C + j, dbias);
}

/* A block goes through its rows one by one:
 * dx = rstd * (g - mean(g) - xhat * mean(g * xhat)); root mean square norm has no mean(g).
 * A thread keeps to its columns, whose sums over the rows it adds up in shared memory, or in
 * `partial` itself where that is too long. */
template <typename Y, bool LAYER, int N> __global__ void norm_backward_kernel(NormBackwardParams p)
{
    __shared__ float shared[WARP];
    float *partial = p.partial ? p.partial + (int64_t)blockIdx.x * 2 * p.C : (float *)0;
    float *sums = p.held ? (float *)shared_memory() : partial;
    int first = (int)threadIdx.x * N, step = (int)blockDim.x * N;
    float dy[N], xhat[N], g[N];
    if (sums) {
        const float zero[N] = {};
        for (int j = first; j < p.C; j += step) {
            store_f32<N>(sums, j, zero);
            store_f32<N>(sums, p.C + j, zero);
        }
    }
    int64_t begin = (int64_t)blockIdx.x * p.rows, end = min(begin + p.rows, p.N);
    for (int64_t n = begin; n < end; n++) {
        int64_t at = n * p.C;
        float mean = LAYER ? p.mean[n] : 0.0f, rstd = p.rstd[n], mean_g = 0.0f, mean_gx = 0.0f;
        for (int j = first; j < p.C; j += step) {
            backward_input<Y, N>(p, at, j, mean, rstd, dy, xhat, g);
            for (int i = 0; i < N; i++) {
                mean_g += g[i];
                mean_gx += g[i] * xhat[i];
            }
            if (sums)
                add_weights<N>(sums, p.C, j, dy, xhat);
        }
        mean_g = LAYER ? block_sum(mean_g, shared) / (float)p.C : 0.0f;
        mean_gx = block_sum(mean_gx, shared) / (float)p.C;
        for (int j = first; j < p.C; j += step) {
            float dx[N] = {};
            backward_input<Y, N>(p, at, j, mean, rstd, dy, xhat, g);
            if (p.accumulate)
                load_f32<N>(p.dx, at + j, dx);
            for (int i = 0; i < N; i++)
                dx[i] += rstd * (g[i] - mean_g - xhat[i] * mean_gx);
            store_f32<N>(p.dx, at + j, dx);
        }
    }
    if (!p.held)
        return;
    for (int j = first; j < p.C; j += step) {
        for (int part = 0; part < 2 * p.C; part += p.C) {
            float value[N];
            load_f32<N>(sums, part + j, value);
            store_f32<N>(partial, part + j, value);
        }
    }
}

enum { STRIP_WARPS = 16 };

/* Adds up `partial` (blocks, 2, C) over its first dimension. A block takes 32 columns: each of its
 * warps every 16th row, then the warps' sums are added in order. */
__global__ void norm_weights_kernel(const float *partial, int blocks, int C, float *dweight,
                                    float *dbias)
{
    __shared__ float sums[STRIP_WARPS][WARP];
    int64_t column = (int64_t)blockIdx.x * WARP + lane_id();
    float sum = 0.0f;
    if (column < 2 * (int64_t)C)
        for (int block = warp_id(); block < blocks; block += STRIP_WARPS)
            sum += partial[(int64_t)block * 2 * C + column];
    sums[warp_id()][lane_id()] = sum;
    __syncthreads();
    float *out = column < C ? dweight : dbias;
    if (warp_id() > 0 || column >= 2 * (int64_t)C || !out)
        return;
    for (int warp = 1; warp < STRIP_WARPS; warp++)
        sum += sums[warp][lane_id()];
    out[column < C ? column : column - C] += sum;
}

/* Rows of one block, a matter of the shape alone so that sums come in the same order on every GPU:
 * at most 1024 blocks, whose partial sums are then few beside the rows. */
static int rows_of_block(int64_t N)
{
    const int64_t rows = 4, blocks = 1024;
    return (int)(N > rows * blocks ? ceil_div(N, blocks) : rows);
}

void cuda_norm_backward(Queue *queue, const NormBackwardArgs *args)
{
    norm_backward_check(args);
    int64_t N = tensor_rows(&args->x), C = tensor_cols(&args->x);
    bool weights = args->dweight.data || args->dbias.data;
    size_t bytes = 2 * (size_t)C * sizeof(float);
    NormBackwardParams p = {N,
                            (int)C,
                            rows_of_block(N),
                            weights && bytes <= HELD_BYTES,
                            args->accumulate,
                            device_at<float>(&args->x),
                            device_at<float>(&args->weight),
                            device_at<float>(&args->mean),
                            device_at<float>(&args->rstd),
                            args->dy.data,
                            device_at<float>(&args->dx),
                            NULL};
    unsigned blocks = (unsigned)ceil_div(N, p.rows);
    if (weights) {
        p.partial = (float *)queue_scratch(queue, blocks * bytes + 1, "norm_backward");
        if (!p.partial)
            return;
    }
    bool aligned = aligned_to(p.x, 16) && aligned_to(p.weight, 16) && aligned_to(p.dy, 16) &&
                   aligned_to(p.dx, 16);
    with_type(args->dy.dtype, [&](auto y) {
        with_width(aligned, C, [&](auto width) {
            using Y = typename decltype(y)::type;
            constexpr int W = decltype(width)::value;
            unsigned threads = row_threads(C / W);
            size_t shared = p.held ? bytes : 0;
            if (args->kind == NORM_LAYER)
                launch<norm_backward_kernel<Y, true, W>>(queue, blocks, threads, shared, p);
            else
                launch<norm_backward_kernel<Y, false, W>>(queue, blocks, threads, shared, p);
        });
    });
    if (weights)
        launch<norm_weights_kernel>(
            queue, (unsigned)ceil_div(2 * C, WARP), STRIP_WARPS * WARP, 0, (const float *)p.partial,
            (int)blocks, (int)C, device_at<float>(&args->dweight), device_at<float>(&args->dbias));
}
