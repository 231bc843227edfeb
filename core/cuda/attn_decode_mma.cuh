/* Decode attention on tensor cores: bfloat16 queries over bfloat16 or int8 pages. */
#ifndef CAMBIUM_CORE_CUDA_ATTN_DECODE_MMA_CUH
#define CAMBIUM_CORE_CUDA_ATTN_DECODE_MMA_CUH

#include "core/cuda/int8_pairs.cuh"
#include "core/cuda/paged.cuh"

/* 16 queries of one warp against 16 keys at a time: scores by one product, the softmax online
 * (Milakov and Gimelshein, 2018), the weighted values by another, whose left operand is the scores'
 * registers as they lie. A lane has rows g = lane / 4 and g + 8.
 *
 * The order of the summed-over components is free as long as both operands share it, and so is the
 * order of output columns. Int8 rows use that: a lane reads whole words of four components. */
template <typename T, int DP> struct MmaQueries {
    static constexpr bool INT8 = sizeof(T) == 1;
    uint32_t q[DP / 16][4];
    float out[DP / 8][4];
    float largest[2], total[2];

    __device__ __forceinline__ void begin(const PagedParams &p, const PagedQueries &b, int first)
    {
        int t = lane_id() % 4;
        const bf16 *rows[2];
        for (int r = 0; r < 2; r++) {
            int64_t at = b.at(p, first + lane_id() / 4 + 8 * r);
            rows[r] = at < 0 ? NULL : (const bf16 *)p.q + at * p.D;
            largest[r] = -INFINITY;
            total[r] = 0.0f;
        }
#pragma unroll
        for (int i = 0; i < DP / 16; i++)
            for (int j = 0; j < 4; j++) {
                int d = 16 * i + (INT8 ? 4 * t + j / 2 * 2 : 2 * t + j / 2 * 8);
                uint32_t low = rows[j % 2] && d < p.D ? rows[j % 2][d].bits : 0u;
                uint32_t high = rows[j % 2] && d + 1 < p.D ? rows[j % 2][d + 1].bits : 0u;
                q[i][j] = low | high << 16;
            }
#pragma unroll
        for (int i = 0; i < DP / 8; i++)
            for (int j = 0; j < 4; j++)
                out[i][j] = 0.0f;
    }

    /* Operand b of the first product: components 16 i.. of 16 keys, as two tiles of 8. */
    __device__ __forceinline__ static void key_pairs(uint32_t b[4], const bf16 *keys, int stride,
                                                     int i)
    {
        int l = lane_id();
        load_matrices(b, keys + (l % 8 + l / 16 * 8) * stride + 16 * i + l / 8 % 2 * 8);
    }

    __device__ __forceinline__ static void key_pairs(uint32_t b[4], const int8_t *keys, int stride,
                                                     int i)
    {
        for (int half = 0; half < 2; half++) {
            const int8_t *key = keys + (lane_id() / 4 + 8 * half) * stride;
            uint32_t word = *(const uint32_t *)(key + 16 * i + 4 * (lane_id() % 4));
            b[2 * half] = int8_pair(word, word, 0, 1);
            b[2 * half + 1] = int8_pair(word, word, 2, 3);
        }
    }

    /* Operands b of the second product: 32 columns (32 i..) of 16 keys, as four tiles of 8. */
    __device__ __forceinline__ static void value_pairs(uint32_t b[8], const bf16 *values,
                                                       int stride, int i)
    {
        int l = lane_id();
        const bf16 *row = values + (l % 8 + l / 8 % 2 * 8) * stride + 32 * i + l / 16 * 8;
        load_matrices_transposed(b, row);
        load_matrices_transposed(b + 4, row + 16);
    }

    __device__ __forceinline__ static void value_pairs(uint32_t b[8], const int8_t *values,
                                                       int stride, int i)
    {
        uint32_t word[4];
        for (int j = 0; j < 4; j++) {
            int key = 2 * (lane_id() % 4) + j % 2 + j / 2 * 8;
            word[j] = *(const uint32_t *)(values + key * stride + 32 * i + 4 * (lane_id() / 4));
        }
        for (int tile = 0; tile < 4; tile++) {
            b[2 * tile] = int8_pair(word[0], word[1], tile, tile);
            b[2 * tile + 1] = int8_pair(word[2], word[3], tile, tile);
        }
    }

    /* Which component column `c` of output tile `i` (8 columns) is. */
    __device__ __forceinline__ static int component(int i, int c)
    {
        return INT8 ? i / 4 * 32 + 4 * c + i % 4 : 8 * i + c;
    }

    /* Keys [key, key + 16) of tile `tile`, which are `position`.. of the sequence; rows g and g + 8
     * see what lies below their limit. */
    template <typename Tiles>
    __device__ __forceinline__ void step(const Tiles &tiles, int tile, int key, int position,
                                         const int limit[2])
    {
        int t = lane_id() % 4, D = tiles.p.D;
        float s[2][4] = {};
        const T *keys = tiles.row(tile, 0, key);
#pragma unroll
        for (int i = 0; i < DP / 16; i++)
            if (16 * i < D) {
                uint32_t b[4];
                key_pairs(b, keys, Tiles::STRIDE, i);
                mma_bf16(s[0], q[i], b);
                mma_bf16(s[1], q[i], b + 2);
            }
        float most[2] = {-INFINITY, -INFINITY};
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++) {
                int k = 8 * i + 2 * t + j % 2;
                s[i][j] = position + k < limit[j / 2]
                              ? s[i][j] * tiles.p.scale * tiles.row_scale(tile, 0, key + k)
                              : -INFINITY;
                most[j / 2] = fmaxf(most[j / 2], s[i][j]);
            }
        float base[2], shrink[2];
        bool grown = false;
        for (int r = 0; r < 2; r++) {
            most[r] = fmaxf(most[r], __shfl_xor_sync(FULL_WARP, most[r], 1));
            most[r] = fmaxf(most[r], __shfl_xor_sync(FULL_WARP, most[r], 2));
            most[r] = fmaxf(most[r], largest[r]);
            base[r] = most[r] == -INFINITY ? 0.0f : most[r];
            grown = grown || most[r] > largest[r];
            shrink[r] = fast_exp(largest[r] - base[r]);
            largest[r] = most[r];
            total[r] *= shrink[r];
        }
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++) {
                s[i][j] = fast_exp(s[i][j] - base[j / 2]);
                total[j / 2] += s[i][j];
                s[i][j] *= tiles.row_scale(tile, 1, key + 8 * i + 2 * t + j % 2);
            }
        uint32_t a[4];
        for (int j = 0; j < 4; j++)
            a[j] = pack_bf16(s[j / 2][j % 2 * 2], s[j / 2][j % 2 * 2 + 1]);
        if (__any_sync(FULL_WARP, grown)) {
#pragma unroll
            for (int i = 0; i < DP / 8; i++)
                for (int j = 0; j < 4; j++)
                    out[i][j] *= shrink[j / 2];
        }
        const T *values = tiles.row(tile, 1, key);
#pragma unroll
        for (int i = 0; i < DP / 32; i++)
            if (32 * i < D) {
                uint32_t b[8];
                value_pairs(b, values, Tiles::STRIDE, i);
                for (int j = 0; j < 4; j++)
                    mma_bf16(out[4 * i + j], a, b + 2 * j);
            }
    }

    /* Leaves the sums in shared memory: to (16, DP), stats (16, 2) maxima and totals. */
    __device__ __forceinline__ void leave(float *to, float *stats)
    {
        int g = lane_id() / 4, t = lane_id() % 4;
        for (int r = 0; r < 2; r++) {
            total[r] += __shfl_xor_sync(FULL_WARP, total[r], 1);
            total[r] += __shfl_xor_sync(FULL_WARP, total[r], 2);
            if (t == 0) {
                stats[2 * (g + 8 * r)] = largest[r];
                stats[2 * (g + 8 * r) + 1] = total[r];
            }
        }
#pragma unroll
        for (int i = 0; i < DP / 8; i++)
            for (int j = 0; j < 4; j++)
                to[(g + j / 2 * 8) * DP + component(i, 2 * t + j % 2)] = out[i][j];
    }
};

/* The block's queries are 16, whose keys the warps share (WIDE false: decoding, where reading the
 * keys is the work), or 64, of which each warp has 16 and sees all keys (prefill). */
template <typename T, int DP, bool SMALL> struct MmaShape {
    /* Bytes on their way are what hides the memory's latency: about 64 KB per processor and more.
     * SMALL is for GPUs that have too little shared memory for that. */
    static constexpr int KEYS = SMALL && DP * sizeof(T) > 256 ? 32 : 64;
    static constexpr int STAGES = SMALL ? 2 : sizeof(T) == 1 ? 4 : 3;
    using Tiles = PagedTiles<T, DP, KEYS, STAGES>;
    static constexpr int SUMS = PAGED_WARPS * 16 * (DP + 2) * (int)sizeof(float);
    static constexpr int BYTES = Tiles::BYTES > SUMS ? Tiles::BYTES : SUMS;
};

template <typename T, int DP, bool WIDE, bool SMALL>
__global__ void __launch_bounds__(PAGED_THREADS) attn_decode_mma_kernel(PagedParams p)
{
    using Shape = MmaShape<T, DP, SMALL>;
    unsigned char *shared = shared_memory();
    PagedQueries block(p);
    MmaQueries<T, DP> queries;
    int first = WIDE ? warp_id() * 16 : 0;
    queries.begin(p, block, first);
    for (int token = 0; token < block.n_tokens;) {
        PagedRun run(p, block, token, Shape::KEYS);
        token = run.last;
        if (run.begin >= run.end)
            continue;
        int limit[2];
        for (int r = 0; r < 2; r++)
            limit[r] = run.limit(p, block, first + lane_id() / 4 + 8 * r);
        int furthest = max(limit[0], limit[1]);
        typename Shape::Tiles tiles(p, run, block.kv, shared);
        for (int tile = 0; tile < tiles.n_tiles; tile++) {
            tiles.wait(tile);
            int position = run.begin + tile * Shape::KEYS;
            for (int key = WIDE ? 0 : warp_id() * 16; key < Shape::KEYS;
                 key += WIDE ? 16 : 16 * PAGED_WARPS)
                if (__any_sync(FULL_WARP, position + key < furthest))
                    queries.step(tiles, tile, key, position + key, limit);
        }
        tiles.finish();
    }
    /* Sums (4 warps, 16, DP) and their maxima and totals (4, 16, 2). */
    float *sums = (float *)shared, *stats = sums + PAGED_WARPS * 16 * DP;
    queries.leave(sums + warp_id() * 16 * DP, stats + warp_id() * 32);
    __syncthreads();
    const int n_queries = WIDE ? 16 * PAGED_WARPS : 16, parts = WIDE ? 1 : PAGED_WARPS;
    for (int i = warp_id(); i < n_queries; i += PAGED_WARPS) {
        int64_t at = block.at(p, i);
        if (at < 0)
            continue;
        float largest = -INFINITY, weight[PAGED_WARPS], total = 0.0f;
        for (int part = 0; part < parts; part++)
            largest = fmaxf(largest, stats[2 * (16 * part + i)]);
        for (int part = 0; part < parts; part++) {
            const float *of = stats + 2 * (16 * part + i);
            weight[part] = of[0] == -INFINITY ? 0.0f : fast_exp(of[0] - largest);
            total += weight[part] * of[1];
        }
        for (int d = lane_id(); d < p.D; d += WARP) {
            float sum = 0.0f;
            for (int part = 0; part < parts; part++)
                sum += weight[part] * sums[(16 * part + i) * DP + d];
            paged_store(p, block.split, at, d, total == 0.0f ? 0.0f : sum / total);
        }
        if (lane_id() == 0)
            paged_store_lse(p, block.split, at, total == 0.0f ? -INFINITY : largest + logf(total));
    }
}

#endif
