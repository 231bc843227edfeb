/* Products with int8 weights. Up to 16 rows (decoding) reading the weights is the work, and they
 * are read once, as they are; many rows are a product of the compute type with weights made from
 * them.
 */
#include "core/cuda/cuda.h"
#include "core/cuda/int8_pairs.cuh"

enum { FEW_ROWS = 16 };

struct FewParams {
    const void *a;
    const int8_t *w;
    const float *scales, *bias;
    void *c;
    int64_t M, N, K;
    bool c_f32;
    bool whole; /* rows of a and w may be read as aligned 16 bytes */
};

typedef Pack<uint32_t, 4> Words;

/* 16 bytes of a row of K elements from element k on; zeros where there is none. */
template <typename T>
__device__ __forceinline__ Words load_words(const FewParams &p, const T *row, int64_t k)
{
    constexpr int COUNT = pack_size<T>();
    Words words = {};
    if (!row || k >= p.K)
        return words;
    if (p.whole)
        return *(const Words *)(row + k);
    T elements[COUNT] = {};
    for (int i = 0; i < COUNT && k + i < p.K; i++)
        elements[i] = row[k + i];
    memcpy(&words, elements, sizeof words);
    return words;
}

static __device__ __forceinline__ void store_scaled(const FewParams &p, int64_t m, int64_t n,
                                                    float sum)
{
    float value = sum * p.scales[n] + (p.bias ? p.bias[n] : 0.0f);
    if (p.c_f32)
        ((float *)p.c)[m * p.N + n] = value;
    else
        ((bf16 *)p.c)[m * p.N + n] = from_f32<bf16>(value);
}

/* bfloat16 rows: a block has 16 rows of w, whose K its eight warps share, and 8 TILES rows of a.
 * The tensor cores take w on the left. Which k stands where is free as long as both sides agree: a
 * lane's 16 bytes of a row are its share of four products. */
template <int TILES> __global__ void __launch_bounds__(256) few_mma_kernel(FewParams p)
{
    enum { WARPS = 8, AHEAD = 4, STEP = 64, ROWS = 16, COLUMNS = 8 * TILES };
    __shared__ float sums[WARPS][COLUMNS][ROWS];
    int g = lane_id() / 4, t = lane_id() % 4;
    int64_t n0 = (int64_t)blockIdx.x * ROWS, m0 = (int64_t)blockIdx.y * FEW_ROWS;
    const int8_t *w[2];
    const bf16 *a[TILES];
    for (int r = 0; r < 2; r++)
        w[r] = n0 + g + 8 * r < p.N ? p.w + (n0 + g + 8 * r) * p.K : NULL;
    for (int i = 0; i < TILES; i++)
        a[i] = m0 + 8 * i + g < p.M ? (const bf16 *)p.a + (m0 + 8 * i + g) * p.K : NULL;
    float d[TILES][4] = {};
    for (int64_t first = (int64_t)warp_id() * STEP; first < p.K; first += WARPS * STEP * AHEAD) {
        Words words[AHEAD][2];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            for (int r = 0; r < 2; r++)
                words[i][r] = load_words(p, w[r], first + i * WARPS * STEP + 16 * t);
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int64_t k = first + i * WARPS * STEP + 16 * t;
            uint32_t x[TILES][8];
            for (int j = 0; j < TILES; j++)
                for (int half = 0; half < 2; half++) {
                    Words part = load_words(p, a[j], k + 8 * half);
                    for (int s = 0; s < 4; s++)
                        x[j][4 * half + s] = part.at[s];
                }
            for (int s = 0; s < 4; s++) {
                uint32_t low = words[i][0].at[s], high = words[i][1].at[s];
                uint32_t left[4] = {int8_pair(low, low, 0, 1), int8_pair(high, high, 0, 1),
                                    int8_pair(low, low, 2, 3), int8_pair(high, high, 2, 3)};
                for (int j = 0; j < TILES; j++)
                    mma_bf16(d[j], left, &x[j][2 * s]);
            }
        }
    }
    for (int j = 0; j < TILES; j++)
        for (int i = 0; i < 4; i++)
            sums[warp_id()][8 * j + 2 * t + i % 2][g + i / 2 * 8] = d[j][i];
    __syncthreads();
    int n = (int)threadIdx.x % ROWS, m = (int)threadIdx.x / ROWS;
    if (m >= COLUMNS || m0 + m >= p.M || n0 + n >= p.N)
        return;
    float sum = 0.0f;
    for (int i = 0; i < WARPS; i++)
        sum += sums[i][m][n];
    store_scaled(p, m0 + m, n0 + n, sum);
}

/* float32 rows: a warp has four rows of w, and four rows of a at a time. */
__global__ void __launch_bounds__(128) few_plain_kernel(FewParams p)
{
    enum { WARPS = 4, ROWS = 4, COLUMNS = 4 };
    int64_t n0 = ((int64_t)blockIdx.x * WARPS + warp_id()) * ROWS;
    for (int64_t m0 = (int64_t)blockIdx.y * FEW_ROWS;
         m0 < p.M && m0 < (int64_t)(blockIdx.y + 1) * FEW_ROWS; m0 += COLUMNS) {
        float sums[ROWS][COLUMNS] = {};
        for (int64_t k = (int64_t)lane_id() * 16; k < p.K; k += WARP * 16) {
            Words w[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                w[r] = load_words(p, n0 + r < p.N ? p.w + (n0 + r) * p.K : NULL, k);
#pragma unroll
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < COLUMNS; j++) {
                    const float *a = m0 + j < p.M ? (const float *)p.a + (m0 + j) * p.K : NULL;
                    Words x = load_words(p, a, k + 4 * i);
                    for (int r = 0; r < ROWS; r++)
                        for (int b = 0; b < 4; b++)
                            sums[r][j] +=
                                (float)(int8_t)(w[r].at[i] >> 8 * b) * __uint_as_float(x.at[b]);
                }
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < COLUMNS; j++) {
                float sum = warp_sum(sums[r][j]);
                if (lane_id() == 0 && m0 + j < p.M && n0 + r < p.N)
                    store_scaled(p, m0 + j, n0 + r, sum);
            }
    }
}

static void few_rows(Queue *queue, const GemmI8Args *args)
{
    FewParams p = {args->a.data,
                   device_at<int8_t>(&args->w),
                   device_at<float>(&args->scales),
                   device_at<float>(&args->bias),
                   args->c.data,
                   args->a.shape[0],
                   args->w.shape[0],
                   args->a.shape[1],
                   args->c.dtype == DTYPE_F32,
                   false};
    p.whole = p.K % 16 == 0 && aligned_to(p.a, 16) && aligned_to(p.w, 16);
    unsigned groups = (unsigned)ceil_div(p.M, FEW_ROWS), blocks = (unsigned)ceil_div(p.N, 16);
    if (args->a.dtype == DTYPE_F32)
        launch<few_plain_kernel>(queue, dim3(blocks, groups), 128, 0, p);
    else if (p.M <= 8)
        launch<few_mma_kernel<1>>(queue, dim3(blocks, groups), 256, 0, p);
    else
        launch<few_mma_kernel<2>>(queue, dim3(blocks, groups), 256, 0, p);
}

/* ---- many rows ------------------------------------------------------------------------------- */

template <typename T> __global__ void widen_kernel(const int8_t *from, T *to, int64_t n)
{
    enum { V = 16 };
    int64_t step = (int64_t)gridDim.x * blockDim.x * V;
    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V; i < n; i += step) {
        if (i + V > n) {
            for (; i < n; i++)
                to[i] = from_f32<T>(to_f32(from[i]));
            return;
        }
        Pack<int8_t, V> in = *(const Pack<int8_t, V> *)(from + i);
        for (int part = 0; part < V; part += pack_size<T>()) {
            Pack<T, pack_size<T>()> out;
            for (int j = 0; j < pack_size<T>(); j++)
                out.at[j] = from_f32<T>(to_f32(in.at[part + j]));
            *(Pack<T, pack_size<T>()> *)(to + i + part) = out;
        }
    }
}

/* c (M, N) at column `first` = sums (M, count) * scale + bias. */
template <typename C>
__global__ void scale_kernel(const float *sums, const float *scales, const float *bias, C *c,
                             int64_t M, int64_t N, int64_t first, int64_t count)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < M * count; i += step) {
        int64_t n = first + i % count;
        float value = sums[i] * scales[n] + (bias ? bias[n] : 0.0f);
        c[i / count * N + n] = from_f32<C>(value);
    }
}

enum { PIECE_BYTES = 64 << 20 }; /* of weights, and of sums */

size_t gemm_i8_scratch()
{
    return 2 * (size_t)PIECE_BYTES;
}

/* Piece by piece, so that the scratch stays small: the weights as they are become the compute type,
 * which holds them exactly, and scale and bias come after the product. */
static void many_rows(Queue *queue, const GemmI8Args *args)
{
    enum { ALIGN = 128, THREADS = 256 };
    int64_t M = args->a.shape[0], K = args->a.shape[1], N = args->w.shape[0];
    DType type = args->a.dtype;
    int64_t w_bytes = K * (int64_t)dtype_bytes(type), sum_bytes = M * (int64_t)sizeof(float);
    int64_t step = PIECE_BYTES / (w_bytes > sum_bytes ? w_bytes : sum_bytes) / ALIGN * ALIGN;
    step = step < ALIGN ? (int64_t)ALIGN : step;
    step = step < N ? step : N;
    size_t sums_at = (size_t)ceil_div(step * w_bytes, 256) * 256;
    char *scratch = (char *)queue_scratch(queue, sums_at + (size_t)(step * sum_bytes),
                                          "products with int8 weights");
    if (!scratch)
        return;
    float *sums = (float *)(scratch + sums_at);
    for (int64_t first = 0; first < N; first += step) {
        int64_t count = N - first < step ? N - first : step;
        with_type(type, [&](auto t) {
            using T = typename decltype(t)::type;
            launch<widen_kernel<T>>(queue, stride_blocks(count * K, THREADS * 16), THREADS, 0,
                                    device_at<int8_t>(&args->w, first * K), (T *)scratch,
                                    count * K);
        });
        GemmArgs product = {};
        product.a = args->a;
        product.b = tensor_2d(scratch, type, count, K);
        product.c = tensor_2d(sums, DTYPE_F32, M, count);
        product.b_transposed = true;
        cuda_gemm(queue, &product);
        with_type(args->c.dtype, [&](auto t) {
            using C = typename decltype(t)::type;
            launch<scale_kernel<C>>(queue, stride_blocks(M * count, THREADS), THREADS, 0,
                                    (const float *)sums, device_at<const float>(&args->scales),
                                    device_at<const float>(&args->bias), device_at<C>(&args->c), M,
                                    N, first, count);
        });
    }
}

void cuda_gemm_i8(Queue *queue, const GemmI8Args *args)
{
    gemm_i8_check(args);
    if (tensor_count(&args->c) == 0)
        return;
    if (args->a.shape[0] <= FEW_ROWS || args->a.shape[1] == 0)
        few_rows(queue, args);
    else
        many_rows(queue, args);
}
