/* What both kernels of decode attention (attn_decode_mma.cuh, attn_decode_plain.cuh) share: which
 * queries a block has, which keys it reads, and how these come to shared memory. */
#ifndef CAMBIUM_CORE_CUDA_PAGED_CUH
#define CAMBIUM_CORE_CUDA_PAGED_CUH

#include "core/cuda/device.cuh"

enum { PAGED_THREADS = 128, PAGED_WARPS = PAGED_THREADS / WARP };

struct PagedParams {
    const void *q; /* (N, H, D) float32 or bfloat16 */
    bool q_f32;
    const int32_t *rows, *limits, *table;
    const void *pages[2]; /* k and v (pages, K, page_size, D) */
    const float *scales[2];
    void *out;           /* (splits, N, H, D) */
    float *lse;          /* (splits, N, H), or NULL */
    bool out_f32, whole; /* rows of pages may move as aligned 16 bytes */
    int64_t N;
    int H, K, D, page_size, max_pages;
    int heads, head_tiles; /* query heads per block; blocks per KV head */
    int tokens, splits;    /* query rows per block; blocks that share a block's keys */
    float scale;
};

/* The queries of a block: query i is head head0 + i % heads of row n0 + i / heads. A block is
 * (token tile from the last to the first, as later rows usually have more to do, and split; KV head
 * and head tile). */
struct PagedQueries {
    int64_t n0;
    int n_tokens, n_heads, head0, kv, split;

    __device__ __forceinline__ PagedQueries(const PagedParams &p)
    {
        int64_t tiles = gridDim.x / (unsigned)p.splits;
        int group = p.H / p.K, tile = (int)blockIdx.y % p.head_tiles;
        n0 = (tiles - 1 - blockIdx.x / (unsigned)p.splits) * p.tokens;
        split = (int)(blockIdx.x % (unsigned)p.splits);
        n_tokens = (int)(p.N - n0 < p.tokens ? p.N - n0 : p.tokens);
        kv = (int)blockIdx.y / p.head_tiles;
        head0 = kv * group + tile * p.heads;
        n_heads = min(p.heads, group - tile * p.heads);
    }

    /* The index of query i among (N, H), or -1 where there is none. */
    __device__ __forceinline__ int64_t at(const PagedParams &p, int i) const
    {
        int token = i / p.heads, head = i % p.heads;
        return token < n_tokens && head < n_heads ? (n0 + token) * p.H + head0 + head : -1;
    }
};

/* Rows of one block that follow each other and belong to one sequence: tokens [first, last), of
 * which the longest limit tells where the keys end, and this split's part of them. */
struct PagedRun {
    int first, last, begin, end;
    const int32_t *table;

    __device__ __forceinline__ PagedRun(const PagedParams &p, const PagedQueries &b, int token,
                                        int tile_keys)
    {
        int row = p.rows[b.n0 + token], limit = 0;
        first = last = token;
        for (; last < b.n_tokens && p.rows[b.n0 + last] == row; last++)
            limit = max(limit, p.limits[b.n0 + last]);
        int tiles = (limit + tile_keys - 1) / tile_keys;
        int share = (tiles + p.splits - 1) / p.splits * tile_keys;
        /* Positions fit 31 bits, their product with the splits need not. */
        begin = (int)min((int64_t)b.split * share, (int64_t)limit);
        end = (int)min((int64_t)begin + share, (int64_t)limit);
        table = p.table + (int64_t)row * p.max_pages;
    }

    /* What query i sees of this run. */
    __device__ __forceinline__ int limit(const PagedParams &p, const PagedQueries &b, int i) const
    {
        int token = i / p.heads;
        return token >= first && token < last ? p.limits[b.n0 + token] : 0;
    }
};

/* Tiles of KEYS keys and values of type T, at most DP elements each, on their way through STAGES
 * stages of shared memory. The page of a key is looked up one tile before its copies start, and the
 * scale of an int8 row arrives one tile before it is used, so that no thread waits for either.
 * Columns up to the next multiple of 32 are zero, and so are rows beyond the end. */
template <typename T, int DP, int KEYS, int STAGES> struct PagedTiles {
    static constexpr int PER = 16 / (int)sizeof(T);
    static constexpr int STRIDE = DP + PER; /* elements; odd in 16 bytes: rows in other banks */
    static constexpr int SIDE = KEYS * STRIDE;
    static constexpr bool SCALED = sizeof(T) == 1;
    static constexpr int BYTES = STAGES * 2 * SIDE * (int)sizeof(T) +
                                 2 * KEYS * (int)sizeof(int64_t) +
                                 (SCALED ? STAGES * 2 * KEYS * (int)sizeof(float) : 0);
    static_assert(2 * KEYS <= PAGED_THREADS, "a thread has one scale at most");

    const PagedParams &p;
    const PagedRun &run;
    int kv, columns, n_tiles;
    T *data;          /* (STAGES, 2, KEYS, STRIDE) */
    int64_t *key_row; /* (2, KEYS): rows of pages, -1 beyond the end */
    float *scale;     /* (STAGES, 2, KEYS) */
    int64_t next_row; /* of this thread's key, of the tile whose copies start next */
    float next_scale; /* of the tile whose copies started last */

    __device__ __forceinline__ PagedTiles(const PagedParams &p_, const PagedRun &run_, int kv_,
                                          unsigned char *shared)
        : p(p_), run(run_), kv(kv_), columns((p_.D + 31) / 32 * 32),
          n_tiles((run_.end - run_.begin + KEYS - 1) / KEYS), data((T *)shared),
          key_row((int64_t *)(shared + STAGES * 2 * SIDE * sizeof(T))),
          scale((float *)(key_row + 2 * KEYS)), next_row(-1), next_scale(0.0f)
    {
        look_up(0);
        for (int tile = 0; tile < STAGES - 1; tile++) {
            advance(tile);
            __syncthreads();
            start(tile);
        }
    }

    __device__ __forceinline__ void look_up(int tile)
    {
        if ((int)threadIdx.x >= KEYS)
            return;
        int key = run.begin + tile * KEYS + (int)threadIdx.x;
        next_row = -1;
        if (key < run.end)
            next_row = ((int64_t)run.table[key / p.page_size] * p.K + kv) * p.page_size +
                       key % p.page_size;
    }

    /* Before the barrier that allows start(tile). */
    __device__ __forceinline__ void advance(int tile)
    {
        if ((int)threadIdx.x < KEYS)
            key_row[tile % 2 * KEYS + (int)threadIdx.x] = next_row;
        if (SCALED && tile > 0 && (int)threadIdx.x < 2 * KEYS)
            scale[(tile - 1) % STAGES * 2 * KEYS + (int)threadIdx.x] = next_scale;
    }

    __device__ __forceinline__ void start(int tile)
    {
        constexpr int CHUNKS = DP / PER;
        const int64_t *rows = key_row + tile % 2 * KEYS;
        T *stage = data + tile % STAGES * 2 * SIDE;
        int chunks = tile < n_tiles ? KEYS * CHUNKS : 0;
        for (int c = (int)threadIdx.x; c < chunks; c += PAGED_THREADS) {
            int key = c / CHUNKS, first = c % CHUNKS * PER;
            if (first >= columns)
                continue;
            for (int side = 0; side < 2; side++)
                fetch(stage + side * SIDE + key * STRIDE + first, (const T *)p.pages[side],
                      rows[key], first);
        }
        copy_commit();
        if (SCALED && (int)threadIdx.x < 2 * KEYS) {
            int64_t row = rows[(int)threadIdx.x % KEYS];
            next_scale = row < 0 ? 0.0f : p.scales[(int)threadIdx.x / KEYS][row];
        }
        look_up(tile + 1);
    }

    __device__ __forceinline__ void fetch(T *to, const T *pages, int64_t row, int first)
    {
        if (p.whole) {
            bool valid = row >= 0 && first < p.D;
            copy_async(to, valid ? pages + row * p.D + first : pages, valid);
            return;
        }
        for (int i = 0; i < PER; i++)
            to[i] = row >= 0 && first + i < p.D ? pages[row * p.D + first + i] : T{};
    }

    /* Waits for a tile and starts another; all threads call, for each tile in turn. */
    __device__ __forceinline__ void wait(int tile)
    {
        copy_wait<STAGES - 2>();
        advance(tile + STAGES - 1);
        __syncthreads();
        start(tile + STAGES - 1);
    }

    /* After the last tile: shared memory is free again. */
    __device__ __forceinline__ void finish()
    {
        copy_wait<0>();
        __syncthreads();
    }

    __device__ __forceinline__ const T *row(int tile, int side, int key) const
    {
        return data + (tile % STAGES * 2 + side) * SIDE + key * STRIDE;
    }

    __device__ __forceinline__ float row_scale(int tile, int side, int key) const
    {
        return SCALED ? scale[(tile % STAGES * 2 + side) * KEYS + key] : 1.0f;
    }
};

static __device__ __forceinline__ float paged_query(const PagedParams &p, int64_t at)
{
    return p.q_f32 ? ((const float *)p.q)[at] : to_f32(((const bf16 *)p.q)[at]);
}

/* Component d of query `at`, or its log-sum-exp; split by split where there are several. */
static __device__ __forceinline__ void paged_store(const PagedParams &p, int split, int64_t at,
                                                   int d, float value)
{
    int64_t i = (split * p.N * p.H + at) * p.D + d;
    if (p.out_f32)
        ((float *)p.out)[i] = value;
    else
        ((bf16 *)p.out)[i] = from_f32<bf16>(value);
}

static __device__ __forceinline__ void paged_store_lse(const PagedParams &p, int split, int64_t at,
                                                       float value)
{
    if (p.lse)
        p.lse[split * p.N * p.H + at] = value;
}

#endif
