/* Matrix products: cuBLASLt where it can, else tiles of our own; then bias and activation. */
#include "core/cuda/products.h"

/* A block of THREADS makes TILE x TILE elements of c, DEPTH of the inner size at a time; each
 * thread ROWS x COLS of them. A row of a tile is longer by PAD to spread it over the banks. */
enum { TILE = 64, DEPTH = 16, THREADS = 128, ROWS = 8, COLS = 4, PAD = 4 };

/* op(a) or the transposed op(b): element (r, k) lies at r * row_step + k * k_step, and one of the
 * steps is 1. */
struct Operand {
    const void *data;
    int64_t rows, row_step, k_step;
};

struct ProductParams {
    Operand a, b;
    int64_t K;
    const float *bias;
    void *pre, *c;
    bool accumulate, gelu;
};

static __device__ __forceinline__ float gelu(float x)
{
    return x * normal_cdf(x);
}

/* tile[k][r] = element (row + r, depth + k), zero outside; consecutive threads read consecutive
 * elements. */
template <typename T>
__device__ void load_tile(float (*tile)[TILE + PAD], const Operand *from, int64_t K, int64_t row,
                          int64_t depth)
{
    const T *data = (const T *)from->data;
    bool along_k = from->k_step == 1;
    for (int i = (int)threadIdx.x; i < TILE * DEPTH; i += THREADS) {
        int r = along_k ? i / DEPTH : i % TILE, k = along_k ? i % DEPTH : i / TILE;
        bool inside = row + r < from->rows && depth + k < K;
        int64_t at = (row + r) * from->row_step + (depth + k) * from->k_step;
        tile[k][r] = inside ? to_f32(data[at]) : 0.0f;
    }
}

/* The whole of cuda_gemm in float32, k rising, rounded once. It serves what cuBLASLt refuses, and
 * the emulation: made to be plain, not to be fast. */
template <typename T, typename C>
__global__ void __launch_bounds__(THREADS) product_kernel(ProductParams p)
{
    __shared__ __align__(16) float a[DEPTH][TILE + PAD];
    __shared__ __align__(16) float b[DEPTH][TILE + PAD];
    int64_t M = p.a.rows, N = p.b.rows, tiles = (N + TILE - 1) / TILE;
    int64_t row = blockIdx.x / tiles * TILE, column = blockIdx.x % tiles * TILE;
    int my_row = (int)threadIdx.x / (TILE / COLS) * ROWS;
    int my_column = (int)threadIdx.x % (TILE / COLS) * COLS;
    float sums[ROWS][COLS] = {};
    for (int64_t depth = 0; depth < p.K; depth += DEPTH) {
        load_tile<T>(a, &p.a, p.K, row, depth);
        load_tile<T>(b, &p.b, p.K, column, depth);
        __syncthreads();
        for (int k = 0; k < DEPTH; k++) {
            Pack<float, COLS> right = *(const Pack<float, COLS> *)&b[k][my_column];
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < COLS; j++)
                    sums[i][j] += a[k][my_row + i] * right.at[j];
        }
        __syncthreads();
    }
#pragma unroll /* else the sums would live in memory */
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) {
            int64_t r = row + my_row + i, n = column + my_column + j;
            if (r >= M || n >= N)
                continue;
            int64_t at = r * N + n;
            float value = sums[i][j] + (p.bias ? p.bias[n] : 0.0f);
            if (p.accumulate)
                value += to_f32(((C *)p.c)[at]);
            if (p.pre)
                ((C *)p.pre)[at] = from_f32<C>(value);
            ((C *)p.c)[at] = from_f32<C>(p.gelu ? gelu(value) : value);
        }
}

static void plain_product(Queue *queue, const GemmArgs *args, GemmDims d)
{
    ProductParams p = {
        {args->a.data, d.M, args->a_transposed ? 1 : d.K, args->a_transposed ? d.M : 1},
        {args->b.data, d.N, args->b_transposed ? d.K : 1, args->b_transposed ? 1 : d.N},
        d.K,
        device_at<float>(&args->bias),
        args->pre.data,
        args->c.data,
        args->accumulate,
        args->act == ACT_GELU};
    unsigned tiles = (unsigned)(ceil_div(d.M, TILE) * ceil_div(d.N, TILE));
    if (args->a.dtype == DTYPE_F32)
        launch<product_kernel<float, float>>(queue, tiles, THREADS, 0, p);
    else if (args->c.dtype == DTYPE_F32)
        launch<product_kernel<bf16, float>>(queue, tiles, THREADS, 0, p);
    else
        launch<product_kernel<bf16, bf16>>(queue, tiles, THREADS, 0, p);
}

/* ---- what follows a product ------------------------------------------------------------------ */

struct FinishParams {
    int64_t N;
    const void *from; /* the product: pre or c itself */
    const float *bias;
    void *pre, *c;
};

/* pre = from + bias, c = gelu(pre) or pre; one block a row, W elements at a time. */
template <typename T, int W, bool GELU> __global__ void finish_kernel(FinishParams p)
{
    int64_t row = (int64_t)blockIdx.x * p.N;
    for (int64_t j = (int64_t)threadIdx.x * W; j < p.N; j += (int64_t)blockDim.x * W) {
        Pack<T, W> x = *(const Pack<T, W> *)((const T *)p.from + row + j), y;
        for (int i = 0; i < W; i++) {
            float value = to_f32(x.at[i]) + (p.bias ? p.bias[j + i] : 0.0f);
            x.at[i] = from_f32<T>(value);
            y.at[i] = from_f32<T>(GELU ? gelu(value) : value);
        }
        if (p.pre)
            *(Pack<T, W> *)((T *)p.pre + row + j) = x;
        *(Pack<T, W> *)((T *)p.c + row + j) = y;
    }
}

template <typename T, int W>
static void launch_finish(Queue *queue, const GemmArgs *args, GemmDims d, FinishParams p)
{
    unsigned rows = (unsigned)d.M, threads = row_threads(ceil_div(d.N, W));
    if (args->act == ACT_GELU)
        launch<finish_kernel<T, W, true>>(queue, rows, threads, 0, p);
    else
        launch<finish_kernel<T, W, false>>(queue, rows, threads, 0, p);
}

static void finish(Queue *queue, const GemmArgs *args, GemmDims d, FinishParams p)
{
    with_type(args->c.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        if (d.N % pack_size<T>() == 0 && aligned_to(p.c, 16) && aligned_to(p.pre, 16))
            launch_finish<T, pack_size<T>()>(queue, args, d, p);
        else
            launch_finish<T, 1>(queue, args, d, p);
    });
}

/* cuBLASLt adds a bias of the output's type only, and its GELU is the approximation by tanh, ours
 * is by erf: a second kernel does what it cannot. */
static bool library_product(Queue *queue, const GemmArgs *args, GemmDims d)
{
    bool bias_later =
        args->bias.data && (args->c.dtype != DTYPE_F32 || !aligned_to(args->bias.data, 16));
    /* The sum with a bias is then rounded twice, which shows where a few elements happen to cancel
     * it out. What fits one tile is not worth the library's call anyway. */
    if (bias_later && d.M * d.N <= TILE * TILE && d.K <= 4 * TILE)
        return false;
    GemmArgs product = *args;
    product.act = ACT_NONE;
    product.pre.data = NULL;
    if (args->pre.data)
        product.c = args->pre;
    if (bias_later)
        product.bias.data = NULL;
    if (!products_run(queue, &product))
        return false;
    if (bias_later || args->act == ACT_GELU)
        finish(queue, args, d,
               {d.N, product.c.data, bias_later ? device_at<float>(&args->bias) : NULL,
                args->pre.data, args->c.data});
    return true;
}

void cuda_gemm(Queue *queue, const GemmArgs *args)
{
    GemmDims d = gemm_dims(args);
    if (d.M == 0 || d.N == 0)
        return;
    if (!library_product(queue, args, d))
        plain_product(queue, args, d);
}
