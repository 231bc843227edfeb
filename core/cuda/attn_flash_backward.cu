/* Causal attention of whole sequences, backward: the way of FlashAttention-2 (Dao, 2023), but with
 * two kernels instead of atomic additions, so that every sum has one order. With p = exp(s - lse)
 * and delta = rowsum(dout * out):
 *   ds = scale p (dout v^T - delta),  dv = p^T dout,  dk = ds^T q,  dq = ds k. */
#include "core/cuda/attn_fused.h"
#include "core/cuda/attn_tile.cuh"

enum { DELTA_WARPS = 8 };

struct BackwardParams {
    const void *q, *k, *v, *out, *dout;
    void *dq, *dk, *dv;
    const float *lse;
    float *delta;
    int B, T, H, K, D;
    float scale;
    bool aligned;
};

/* How a block works: square tiles of TILE rows, its warps side by side on BANDS bands of 16 rows
 * and COLUMNS parts of the columns. Four tiles of rows must fit into shared memory: SMALL is for
 * GPUs that have too little for the others. */
template <typename T_, int DP_, bool SMALL> struct Shape {
    using T = T_;
    static constexpr int DP = DP_;
    static constexpr int TILE = (sizeof(T) == 2 ? 64 : 32) / (SMALL ? 2 : 1);
    static constexpr int WARPS = !SMALL ? 8 : sizeof(T) == 2 ? 4 : 2;
    static constexpr int BANDS = TILE / PIECE_ROWS, COLUMNS = WARPS / BANDS;
    static constexpr int STRIDE = tile_stride<T>(DP), SCORE_STRIDE = tile_stride<T>(TILE);
    static constexpr int SCORE_PIECES = TILE / COLUMNS / PIECE_COLS;
    static constexpr int GRAD_PIECES = DP / COLUMNS / PIECE_COLS;
    static constexpr size_t SHARED =
        (4 * TILE * STRIDE + 2 * TILE * SCORE_STRIDE) * sizeof(T) + 2 * TILE * sizeof(float);
};

/* The shared memory of a block: q, dout, k, v (TILE, DP); p, ds (TILE queries, TILE keys); lse,
 * delta (TILE). */
template <typename S> struct Tiles {
    using T = typename S::T;
    T *q, *dout, *k, *v, *p, *ds;
    float *lse, *delta;
    __device__ __forceinline__ Tiles()
    {
        q = (T *)shared_memory();
        dout = q + S::TILE * S::STRIDE;
        k = dout + S::TILE * S::STRIDE;
        v = k + S::TILE * S::STRIDE;
        p = v + S::TILE * S::STRIDE;
        ds = p + S::TILE * S::SCORE_STRIDE;
        lse = (float *)(ds + S::TILE * S::SCORE_STRIDE);
        delta = lse + S::TILE;
    }
};

/* delta (B, H, T) = sum over D of dout * out, both (B, T, H, D): a warp a row. */
template <typename T> __global__ void delta_kernel(BackwardParams p)
{
    int64_t row = (int64_t)blockIdx.x * DELTA_WARPS + warp_id();
    if (row >= (int64_t)p.B * p.T * p.H)
        return;
    const T *out = (const T *)p.out + row * p.D, *dout = (const T *)p.dout + row * p.D;
    float sum = 0.0f;
    for (int d = lane_id(); d < p.D; d += WARP)
        sum = fmaf(to_f32(out[d]), to_f32(dout[d]), sum);
    sum = warp_sum(sum);
    int64_t head = row % p.H, t = row / p.H % p.T, batch = row / p.H / p.T;
    if (lane_id() == 0)
        p.delta[(batch * p.H + head) * p.T + t] = sum;
}

/* Starts loading the queries of a tile; rows that do not exist get a weight of zero. */
template <typename S>
__device__ __forceinline__ void load_queries(const Tiles<S> &at, const BackwardParams &p, int batch,
                                             int head, int tile)
{
    using T = typename S::T;
    constexpr int TILE = S::TILE, DP = S::DP;
    int first = tile * TILE;
    tile_load<TILE, DP>(at.q,
                        head_rows((const T *)p.q, batch, first, head, p.T, p.H, p.D, p.aligned));
    tile_load<TILE, DP>(at.dout,
                        head_rows((const T *)p.dout, batch, first, head, p.T, p.H, p.D, p.aligned));
    int64_t stats = ((int64_t)batch * p.H + head) * p.T + first;
    if (threadIdx.x < TILE) {
        bool there = first + (int)threadIdx.x < p.T;
        at.lse[threadIdx.x] = there ? p.lse[stats + threadIdx.x] : INFINITY;
        at.delta[threadIdx.x] = there ? p.delta[stats + threadIdx.x] : 0.0f;
    }
}

template <typename S>
__device__ __forceinline__ void load_keys(const Tiles<S> &at, const BackwardParams &p, int batch,
                                          int kv_head, int tile)
{
    using T = typename S::T;
    constexpr int TILE = S::TILE, DP = S::DP;
    int first = tile * TILE;
    tile_load<TILE, DP>(at.k,
                        head_rows((const T *)p.k, batch, first, kv_head, p.T, p.K, p.D, p.aligned));
    tile_load<TILE, DP>(at.v,
                        head_rows((const T *)p.v, batch, first, kv_head, p.T, p.K, p.D, p.aligned));
}

/* p and ds of the loaded tiles, into shared memory; a barrier lies before and after. */
template <typename S>
__device__ __forceinline__ void make_scores(const Tiles<S> &at, float scale, bool diagonal)
{
    using T = typename S::T;
    constexpr int N = S::SCORE_PIECES, DP = S::DP;
    int row0 = warp_id() % S::BANDS * PIECE_ROWS, col0 = warp_id() / S::BANDS * N * PIECE_COLS;
    float weights[N][4] = {}, ds[N][4] = {};
    product<N, DP>(weights, Operand<T, false>{at.q + row0 * S::STRIDE, S::STRIDE},
                   Operand<T, false>{at.k + col0 * S::STRIDE, S::STRIDE});
    product<N, DP>(ds, Operand<T, false>{at.dout + row0 * S::STRIDE, S::STRIDE},
                   Operand<T, false>{at.v + col0 * S::STRIDE, S::STRIDE});
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = row0 + piece_row(i), col = col0 + piece_col(n, i);
            bool hidden = diagonal && col > row;
            weights[n][i] = hidden ? 0.0f : fast_exp(weights[n][i] * scale - at.lse[row]);
            ds[n][i] = weights[n][i] * (ds[n][i] - at.delta[row]) * scale;
        }
    const float as_is[2] = {1.0f, 1.0f};
    int first = row0 * S::SCORE_STRIDE + col0;
    pieces_put<N>(at.p + first, S::SCORE_STRIDE, weights, as_is);
    pieces_put<N>(at.ds + first, S::SCORE_STRIDE, ds, as_is);
}

/* Gathers a block's gradient (TILE, DP) in a tile that is no longer read and writes it; a barrier
 * lies before. */
template <typename S>
__device__ __forceinline__ void write_gradient(const float pieces[S::GRAD_PIECES][4],
                                               typename S::T *tile, HeadRows<typename S::T> to)
{
    const float as_is[2] = {1.0f, 1.0f};
    int row0 = warp_id() % S::BANDS * PIECE_ROWS;
    int col0 = warp_id() / S::BANDS * S::GRAD_PIECES * PIECE_COLS;
    pieces_put<S::GRAD_PIECES>(tile + row0 * S::STRIDE + col0, S::STRIDE, pieces, as_is);
    __syncthreads();
    tile_store<S::TILE, S::DP>(to, tile);
}

/* dk and dv of one tile of keys: grid of tiles (the first meet the most queries, so they begin)
 * times (batch, KV head). */
template <typename S>
__global__ void __launch_bounds__(S::WARPS *WARP) backward_keys_kernel(BackwardParams p)
{
    using T = typename S::T;
    Tiles<S> at;
    int pairs = p.B * p.K, pair = (int)(blockIdx.x % (unsigned)pairs);
    int tile = (int)(blockIdx.x / (unsigned)pairs), tiles = (int)(gridDim.x / (unsigned)pairs);
    int batch = pair / p.K, kv_head = pair % p.K, group = p.H / p.K;
    int row0 = warp_id() % S::BANDS * PIECE_ROWS;
    int col0 = warp_id() / S::BANDS * S::GRAD_PIECES * PIECE_COLS;
    float dk[S::GRAD_PIECES][4] = {}, dv[S::GRAD_PIECES][4] = {};
    load_keys(at, p, batch, kv_head, tile);
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (int queries = tile; queries < tiles; queries++) {
            load_queries(at, p, batch, head, queries);
            copy_commit();
            copy_wait<0>();
            __syncthreads();
            make_scores(at, p.scale, queries == tile);
            __syncthreads();
            product<S::GRAD_PIECES, S::TILE>(dv, Operand<T, true>{at.p + row0, S::SCORE_STRIDE},
                                             Operand<T, true>{at.dout + col0, S::STRIDE});
            product<S::GRAD_PIECES, S::TILE>(dk, Operand<T, true>{at.ds + row0, S::SCORE_STRIDE},
                                             Operand<T, true>{at.q + col0, S::STRIDE});
            __syncthreads();
        }
    int first = tile * S::TILE;
    write_gradient<S>(dk, at.k,
                      head_rows((T *)p.dk, batch, first, kv_head, p.T, p.K, p.D, p.aligned));
    write_gradient<S>(dv, at.v,
                      head_rows((T *)p.dv, batch, first, kv_head, p.T, p.K, p.D, p.aligned));
}

/* dq of one tile of queries: grid of tiles, the longest rows first, times (batch, head). */
template <typename S>
__global__ void __launch_bounds__(S::WARPS *WARP) backward_queries_kernel(BackwardParams p)
{
    using T = typename S::T;
    Tiles<S> at;
    int pairs = p.B * p.H, pair = (int)(blockIdx.x % (unsigned)pairs);
    int tile = (int)((gridDim.x - 1 - blockIdx.x) / (unsigned)pairs);
    int batch = pair / p.H, head = pair % p.H;
    int row0 = warp_id() % S::BANDS * PIECE_ROWS;
    int col0 = warp_id() / S::BANDS * S::GRAD_PIECES * PIECE_COLS;
    float dq[S::GRAD_PIECES][4] = {};
    load_queries(at, p, batch, head, tile);
    for (int keys = 0; keys <= tile; keys++) {
        load_keys(at, p, batch, head / (p.H / p.K), keys);
        copy_commit();
        copy_wait<0>();
        __syncthreads();
        make_scores(at, p.scale, keys == tile);
        __syncthreads();
        product<S::GRAD_PIECES, S::TILE>(
            dq, Operand<T, false>{at.ds + row0 * S::SCORE_STRIDE, S::SCORE_STRIDE},
            Operand<T, true>{at.k + col0, S::STRIDE});
        __syncthreads();
    }
    write_gradient<S>(dq, at.q,
                      head_rows((T *)p.dq, batch, tile * S::TILE, head, p.T, p.H, p.D, p.aligned));
}

template <typename T, int DP, bool SMALL>
static void launch_backward(Queue *queue, const BackwardParams &p)
{
    using S = Shape<T, DP, SMALL>;
    if constexpr (S::SHARED > BLOCK_SHARED_LEAST)
        if (S::SHARED > device_block_shared())
            return launch_backward<T, DP, true>(queue, p);
    int64_t tiles = ceil_div(p.T, S::TILE), rows = (int64_t)p.B * p.T * p.H;
    unsigned threads = S::WARPS * WARP;
    launch<delta_kernel<T>>(queue, (unsigned)ceil_div(rows, DELTA_WARPS), DELTA_WARPS * WARP, 0, p);
    launch<backward_keys_kernel<S>>(queue, (unsigned)(tiles * p.B * p.K), threads, S::SHARED, p);
    launch<backward_queries_kernel<S>>(queue, (unsigned)(tiles * p.B * p.H), threads, S::SHARED, p);
}

void cuda_attn_backward(Queue *queue, const AttnBackwardArgs *args)
{
    AttnShape s = attn_backward_check(args);
    if (args->q.dtype == DTYPE_BF16 && attn_fused_backward(queue, args))
        return;
    BackwardParams p = {args->q.data,
                        args->k.data,
                        args->v.data,
                        args->out.data,
                        args->dout.data,
                        args->dq.data,
                        args->dk.data,
                        args->dv.data,
                        device_at<float>(&args->lse),
                        device_at<float>(&args->scratch),
                        (int)s.B,
                        (int)s.T,
                        (int)s.H,
                        (int)s.K,
                        (int)s.D,
                        args->scale,
                        rows_aligned(&args->q) && rows_aligned(&args->k) &&
                            rows_aligned(&args->v) && rows_aligned(&args->dout) &&
                            rows_aligned(&args->dq) && rows_aligned(&args->dk) &&
                            rows_aligned(&args->dv)};
    with_type(args->q.dtype, [&](auto type) {
        with_width(queue, s.D, [&](auto width) {
            launch_backward<typename decltype(type)::type, decltype(width)::value, false>(queue, p);
        });
    });
}
