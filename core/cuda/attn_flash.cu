/* Causal attention of whole sequences, forward: the way of FlashAttention-2 (Dao, 2023). A block
 * holds TILE query rows of one head and meets the keys up to them tile by tile; what it keeps per
 * row is the largest score, the sum of exponentials below it and the output, unnormalised. TILE is
 * 64, or fewer where the GPU has too little shared memory for such rows. */
#include "core/cuda/attn_fused.h"
#include "core/cuda/attn_tile.cuh"

struct FlashParams {
    const void *q, *k, *v;
    void *out;
    float *lse; /* or NULL */
    int B, T, H, K, D;
    float scale;
    bool aligned;
};

/* What a lane knows of its two query rows. */
struct RowState {
    float max[2], sum[2];
};

/* From a row's lanes, which are four neighbours. */
static __device__ __forceinline__ float row_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 1));
    return fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 2));
}

static __device__ __forceinline__ float row_sum(float x)
{
    x += __shfl_xor_sync(FULL_WARP, x, 1);
    return x + __shfl_xor_sync(FULL_WARP, x, 2);
}

/* Turns a warp's scores (16, 8 KEY_PIECES) into exponentials below the rows' new maxima; `shrink`
 * is what the sums and outputs made below the old ones were multiplied by. On the diagonal, row r
 * of the block sees the keys up to r, `first_row` being the warp's. */
template <int KEY_PIECES>
__device__ __forceinline__ void softmax_step(float scores[KEY_PIECES][4], RowState *state,
                                             float shrink[2], float scale, bool diagonal,
                                             int first_row)
{
    float largest[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
#pragma unroll
    for (int n = 0; n < KEY_PIECES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            bool hidden = diagonal && piece_col(n, i) > first_row + piece_row(i);
            scores[n][i] = hidden ? -INFINITY : scores[n][i] * scale;
            largest[i / 2] = fmaxf(largest[i / 2], scores[n][i]);
        }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        /* Every row sees the first key, so that its maximum is finite from the first tile on. */
        float max = fmaxf(state->max[r], row_max(largest[r]));
        shrink[r] = fast_exp(state->max[r] - max);
        state->max[r] = max;
    }
#pragma unroll
    for (int n = 0; n < KEY_PIECES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            scores[n][i] = fast_exp(scores[n][i] - state->max[i / 2]);
            total[i / 2] += scores[n][i];
        }
#pragma unroll
    for (int r = 0; r < 2; r++)
        state->sum[r] = state->sum[r] * shrink[r] + row_sum(total[r]);
}

template <typename T, int DP, int TILE> constexpr size_t flash_shared()
{
    return (3 * TILE * tile_stride<T>(DP) + TILE * tile_stride<T>(TILE)) * sizeof(T);
}

/* grid: tiles of queries, the longest rows first, times (batch, head), heads that share keys side
 * by side. */
template <typename T, int DP, int TILE>
__global__ void __launch_bounds__(TILE / PIECE_ROWS * WARP) flash_kernel(FlashParams p)
{
    constexpr int KEY_PIECES = TILE / PIECE_COLS;
    constexpr int STRIDE = tile_stride<T>(DP), KEY_STRIDE = tile_stride<T>(TILE);
    constexpr int OUT_PIECES = DP / PIECE_COLS;
    T *q = (T *)shared_memory(), *k = q + TILE * STRIDE, *v = k + TILE * STRIDE;
    T *weights = v + TILE * STRIDE;
    int pairs = p.B * p.H, pair = (int)(blockIdx.x % (unsigned)pairs);
    int last = (int)((gridDim.x - 1 - blockIdx.x) / (unsigned)pairs);
    int batch = pair / p.H, head = pair % p.H, kv_head = head / (p.H / p.K);
    int first_row = warp_id() * PIECE_ROWS;
    auto keys = [&](const void *tensor, int tile) {
        return head_rows((const T *)tensor, batch, tile * TILE, kv_head, p.T, p.K, p.D, p.aligned);
    };

    /* Keys of the next tile travel while this one's scores become weights and outputs, values while
     * the scores are made. */
    tile_load<TILE, DP>(
        q, head_rows((const T *)p.q, batch, last * TILE, head, p.T, p.H, p.D, p.aligned));
    tile_load<TILE, DP>(k, keys(p.k, 0));
    copy_commit();
    tile_load<TILE, DP>(v, keys(p.v, 0));
    copy_commit();
    RowState state = {{-INFINITY, -INFINITY}, {0.0f, 0.0f}};
    float out[OUT_PIECES][4] = {};
    for (int tile = 0; tile <= last; tile++) {
        float scores[KEY_PIECES][4] = {}, shrink[2];
        copy_wait<1>();
        __syncthreads();
        product<KEY_PIECES, DP>(scores, Operand<T, false>{q + first_row * STRIDE, STRIDE},
                                Operand<T, false>{k, STRIDE});
        __syncthreads();
        if (tile < last)
            tile_load<TILE, DP>(k, keys(p.k, tile + 1));
        copy_commit();
        softmax_step<KEY_PIECES>(scores, &state, shrink, p.scale, tile == last, first_row);
#pragma unroll
        for (int n = 0; n < OUT_PIECES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                out[n][i] *= shrink[i / 2];
        const float as_is[2] = {1.0f, 1.0f};
        pieces_put<KEY_PIECES>(weights + first_row * KEY_STRIDE, KEY_STRIDE, scores, as_is);
        copy_wait<1>();
        __syncthreads();
        product<OUT_PIECES, TILE>(out,
                                  Operand<T, false>{weights + first_row * KEY_STRIDE, KEY_STRIDE},
                                  Operand<T, true>{v, STRIDE});
        __syncthreads();
        if (tile < last)
            tile_load<TILE, DP>(v, keys(p.v, tile + 1));
        copy_commit();
    }

    const float norm[2] = {1.0f / state.sum[0], 1.0f / state.sum[1]};
    pieces_put<OUT_PIECES>(q + first_row * STRIDE, STRIDE, out, norm);
    if (p.lse && lane_id() % 4 == 0)
        for (int r = 0; r < 2; r++) {
            int row = last * TILE + first_row + piece_row(2 * r);
            if (row < p.T)
                p.lse[(int64_t)pair * p.T + row] = state.max[r] + logf(state.sum[r]);
        }
    __syncthreads();
    tile_store<TILE, DP>(head_rows((T *)p.out, batch, last * TILE, head, p.T, p.H, p.D, p.aligned),
                         q);
}

template <typename T, int DP, int TILE> static void launch_flash(Queue *queue, const FlashParams &p)
{
    constexpr size_t shared = flash_shared<T, DP, TILE>();
    if constexpr (shared > BLOCK_SHARED_LEAST)
        if (shared > device_block_shared())
            return launch_flash<T, DP, TILE / 2>(queue, p);
    unsigned blocks = (unsigned)(ceil_div(p.T, TILE) * p.B * p.H);
    launch<flash_kernel<T, DP, TILE>>(queue, blocks, TILE / PIECE_ROWS * WARP, shared, p);
}

void cuda_attn(Queue *queue, const AttnArgs *args)
{
    AttnShape s = attn_check(args);
    if (args->q.dtype == DTYPE_BF16 && attn_fused_forward(queue, args))
        return;
    FlashParams p = {args->q.data,
                     args->k.data,
                     args->v.data,
                     args->out.data,
                     device_at<float>(&args->lse),
                     (int)s.B,
                     (int)s.T,
                     (int)s.H,
                     (int)s.K,
                     (int)s.D,
                     args->scale,
                     rows_aligned(&args->q) && rows_aligned(&args->k) && rows_aligned(&args->v) &&
                         rows_aligned(&args->out)};
    with_type(args->q.dtype, [&](auto type) {
        with_width(queue, s.D, [&](auto width) {
            launch_flash<typename decltype(type)::type, decltype(width)::value, 64>(queue, p);
        });
    });
}
