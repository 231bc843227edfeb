/* Tiles of attention in shared memory, and their products by one warp.
 *
 * A tile's rows are DP elements wide, DP a multiple of 64 that holds the head size D; rows and
 * columns beyond the matrix are zeros, so products need no borders. A warp's part of a result,
 * 16 x (8 N) values, lies in its registers as N pieces laid out as mma_bf16 says, for float32 too:
 * there the same pieces are made by plain multiply-adds. */
#ifndef CAMBIUM_CORE_CUDA_ATTN_TILE_CUH
#define CAMBIUM_CORE_CUDA_ATTN_TILE_CUH

#include "core/cuda/cuda.h"

enum { PIECE_ROWS = 16, PIECE_COLS = 8 };

/* Elements from one row of a tile to the next: 16 bytes more than its width, so that neighbouring
 * rows begin in different banks. */
template <typename T> constexpr int tile_stride(int width)
{
    return width + pack_size<T>();
}

/* Row and column of value i of piece n in this lane. */
static __device__ __forceinline__ int piece_row(int i)
{
    return lane_id() / 4 + i / 2 * 8;
}

static __device__ __forceinline__ int piece_col(int n, int i)
{
    return n * PIECE_COLS + lane_id() % 4 * 2 + i % 2;
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* Rows of one head in a (B, T, heads, D) tensor. */
template <typename T> struct HeadRows {
    T *data;        /* the first row */
    int64_t stride; /* elements between rows */
    int rows, D;    /* what there is of them */
    bool aligned;   /* every row begins at 16 bytes and is a multiple of them */
};

/* Those from `row` on in a sequence of `rows`. */
template <typename T>
__device__ __forceinline__ HeadRows<T> head_rows(T *tensor, int64_t batch, int row, int64_t head,
                                                 int rows, int heads, int D, bool aligned)
{
    int64_t stride = (int64_t)heads * D;
    return {tensor + (batch * rows + row) * stride + head * D, stride, rows - row, D, aligned};
}

/* Starts filling a tile of ROWS rows by all threads of the block; the caller commits and waits. */
template <int ROWS, int DP, typename T>
__device__ __forceinline__ void tile_load(T *tile, HeadRows<const T> from)
{
    constexpr int PACK = pack_size<T>(), PACKS = DP / PACK;
    for (int i = (int)threadIdx.x; i < ROWS * PACKS; i += (int)blockDim.x) {
        int row = i / PACKS, col = i % PACKS * PACK;
        T *to = tile + row * tile_stride<T>(DP) + col;
        const T *source = from.data + row * from.stride + col;
        bool there = row < from.rows;
        if (from.aligned) {
            there = there && col < from.D;
            copy_async(to, there ? source : from.data, there);
        } else {
            for (int e = 0; e < PACK; e++)
                to[e] = there && col + e < from.D ? source[e] : from_f32<T>(0.0f);
        }
    }
}

/* Writes what exists of a tile back; a barrier lies before. */
template <int ROWS, int DP, typename T>
__device__ __forceinline__ void tile_store(HeadRows<T> to, const T *tile)
{
    constexpr int PACK = pack_size<T>(), PACKS = DP / PACK;
    for (int i = (int)threadIdx.x; i < ROWS * PACKS; i += (int)blockDim.x) {
        int row = i / PACKS, col = i % PACKS * PACK;
        const T *source = tile + row * tile_stride<T>(DP) + col;
        T *target = to.data + row * to.stride + col;
        if (row >= to.rows || col >= to.D)
            continue;
        if (to.aligned)
            *(Pack<T, PACK> *)target = *(const Pack<T, PACK> *)source;
        else
            for (int e = 0; e < PACK && col + e < to.D; e++)
                target[e] = source[e];
    }
}

static __device__ __forceinline__ Pack<float, 2> pair_of(float *, float a, float b)
{
    return {{a, b}};
}

static __device__ __forceinline__ Pack<bf16, 2> pair_of(bf16 *, float a, float b)
{
    uint32_t both = pack_bf16(a, b);
    return {{bf16{(uint16_t)both}, bf16{(uint16_t)(both >> 16)}}};
}

/* Puts N pieces, times `factor[0]` (the upper eight rows) and `factor[1]` (the lower), into a tile
 * whose element (0, 0) of the pieces is at `to`. */
template <int N, typename T>
__device__ __forceinline__ void pieces_put(T *to, int stride, const float pieces[N][4],
                                           const float factor[2])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i += 2)
            *(Pack<T, 2> *)(to + piece_row(i) * stride + piece_col(n, i)) =
                pair_of(to, pieces[n][i] * factor[i / 2], pieces[n][i + 1] * factor[i / 2]);
}

/* ---- products -------------------------------------------------------------------------------- */

/* One operand in shared memory: element (row, k) of it, at data[row * stride + k], or, where
 * ALONG_K, with k counting the stored rows, at data[k * stride + row]. */
template <typename T, bool ALONG_K> struct Operand {
    const T *data;
    int stride;
    __device__ __forceinline__ const T *at(int row, int k) const
    {
        return ALONG_K ? data + k * stride + row : data + row * stride + k;
    }
};

template <bool TRANSPOSED>
__device__ __forceinline__ void load_fragment(uint32_t out[4], const bf16 *row)
{
    if (TRANSPOSED)
        load_matrices_transposed(out, row);
    else
        load_matrices(out, row);
}

/* pieces (16, 8 N) += a (16, DEPTH) b (8 N, DEPTH)^T; DEPTH is a multiple of 16. */
template <int N, int DEPTH, bool A_ALONG_K, bool B_ALONG_K>
__device__ __forceinline__ void product(float pieces[N][4], Operand<bf16, A_ALONG_K> a,
                                        Operand<bf16, B_ALONG_K> b)
{
    static_assert(N % 2 == 0, "fragments of b come in pairs");
    /* Which of the four matrices of a load this lane addresses, and its row there. Those of a are
     * in the order (upper rows, lower rows) x (first k, second k), those of b the other way. */
    int l = lane_id() % 8, odd = lane_id() / 8 % 2 * 8, high = lane_id() / 16 * 8;
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
        uint32_t of_a[4];
        load_fragment<A_ALONG_K>(of_a,
                                 A_ALONG_K ? a.at(odd, k + high + l) : a.at(odd + l, k + high));
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            uint32_t of_b[4];
            int row = n * PIECE_COLS + high;
            load_fragment<B_ALONG_K>(of_b,
                                     B_ALONG_K ? b.at(row, k + odd + l) : b.at(row + l, k + odd));
            mma_bf16(pieces[n], of_a, of_b);
            mma_bf16(pieces[n + 1], of_a, of_b + 2);
        }
    }
}

template <int N, int DEPTH, bool A_ALONG_K, bool B_ALONG_K>
__device__ __forceinline__ void product(float pieces[N][4], Operand<float, A_ALONG_K> a,
                                        Operand<float, B_ALONG_K> b)
{
#pragma unroll 4
    for (int k = 0; k < DEPTH; k++) {
        float of_a[2] = {*a.at(piece_row(0), k), *a.at(piece_row(2), k)};
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int c = 0; c < 2; c++) {
                float of_b = *b.at(piece_col(n, c), k);
                pieces[n][c] = fmaf(of_a[0], of_b, pieces[n][c]);
                pieces[n][2 + c] = fmaf(of_a[1], of_b, pieces[n][2 + c]);
            }
    }
}

/* ---- the host's side ------------------------------------------------------------------------- */

template <int N> struct Width {
    static constexpr int value = N;
};

enum { HEAD_SIZE_MAX = 256 };

/* Calls f(Width<DP>()) with the narrowest tile that holds a head; a wider head fails the queue. */
template <typename F> void with_width(Queue *queue, int64_t D, F f)
{
    if (D <= 64) {
        f(Width<64>());
    } else if (D <= 128) {
        f(Width<128>());
    } else if (D <= HEAD_SIZE_MAX) {
        f(Width<256>());
    } else if (!queue->failed) {
        queue->failed = true;
        err_set(&queue->err,
                "attention on the GPU takes heads of at most %d, this model has %lld; use "
                "--device cpu",
                HEAD_SIZE_MAX, (long long)D);
    }
}

/* Whether rows of D elements of this tensor move in units of 16 bytes. */
static inline bool rows_aligned(const Tensor *t)
{
    return (uintptr_t)t->data % 16 == 0 && (size_t)tensor_cols(t) * dtype_bytes(t->dtype) % 16 == 0;
}

#endif
