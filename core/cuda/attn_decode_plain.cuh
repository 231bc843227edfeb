/* Decode attention in float32: float32 queries, float32 pages, or heads too wide for the other. */
#ifndef CAMBIUM_CORE_CUDA_ATTN_DECODE_PLAIN_CUH
#define CAMBIUM_CORE_CUDA_ATTN_DECODE_PLAIN_CUH

#include "core/cuda/paged.cuh"

/* A block has 16 queries, every warp four of them. For the scores, two lanes share a key, each with
 * every other 16 bytes of it; for the weighted values, a lane has every 32nd component. Queries and
 * sums lie in shared memory after the tiles. SMALL halves queries and keys for GPUs that have too
 * little of it: four lanes share a key then. */
template <typename T, int DP, bool SMALL> struct PlainShape {
    static constexpr int KEYS = SMALL ? 8 : 16, QUERIES = KEYS;
    static constexpr int PER_WARP = QUERIES / PAGED_WARPS;
    using Tiles = PagedTiles<T, DP, KEYS, 2>;
    static constexpr int BYTES =
        Tiles::BYTES + (2 * QUERIES * DP + PAGED_WARPS * KEYS) * (int)sizeof(float);
};

template <int KEYS, typename T>
__device__ __forceinline__ float plain_score(const T *key, const float *query, int columns)
{
    constexpr int PER = pack_size<T>();
    float sum = 0.0f;
    for (int d = lane_id() / KEYS * PER; d < columns; d += WARP / KEYS * PER) {
        Pack<T, PER> x = *(const Pack<T, PER> *)(key + d);
        for (int j = 0; j < PER; j++)
            sum += query[d + j] * to_f32(x.at[j]);
    }
    for (int step = KEYS; step < WARP; step *= 2)
        sum += __shfl_xor_sync(FULL_WARP, sum, step);
    return sum;
}

template <typename T, int DP, bool SMALL>
__global__ void __launch_bounds__(PAGED_THREADS) attn_decode_plain_kernel(PagedParams p)
{
    using Shape = PlainShape<T, DP, SMALL>;
    constexpr int KEYS = Shape::KEYS;
    unsigned char *shared = shared_memory();
    float *query = (float *)(shared + Shape::Tiles::BYTES); /* (QUERIES, DP), zeros beyond D */
    float *sums = query + Shape::QUERIES * DP;              /* (QUERIES, DP) */
    float *weight = sums + Shape::QUERIES * DP + warp_id() * KEYS;
    PagedQueries block(p);
    for (int i = (int)threadIdx.x; i < Shape::QUERIES * DP; i += PAGED_THREADS) {
        int64_t at = block.at(p, i / DP);
        query[i] = at >= 0 && i % DP < p.D ? paged_query(p, at * p.D + i % DP) : 0.0f;
        sums[i] = 0.0f;
    }
    float largest[Shape::PER_WARP], total[Shape::PER_WARP];
    for (int i = 0; i < Shape::PER_WARP; i++) {
        largest[i] = -INFINITY;
        total[i] = 0.0f;
    }
    __syncthreads();
    for (int token = 0; token < block.n_tokens;) {
        PagedRun run(p, block, token, KEYS);
        token = run.last;
        if (run.begin >= run.end)
            continue;
        typename Shape::Tiles tiles(p, run, block.kv, shared);
        for (int tile = 0; tile < tiles.n_tiles; tile++) {
            tiles.wait(tile);
            int key = lane_id() % KEYS, position = run.begin + tile * KEYS;
#pragma unroll
            for (int i = 0; i < Shape::PER_WARP; i++) {
                int number = warp_id() + i * PAGED_WARPS, limit = run.limit(p, block, number);
                if (position >= limit || block.at(p, number) < 0)
                    continue;
                float score =
                    plain_score<KEYS>(tiles.row(tile, 0, key), query + number * DP, tiles.columns) *
                    p.scale * tiles.row_scale(tile, 0, key);
                score = position + key < limit ? score : -INFINITY;
                float most = fmaxf(warp_max(score), largest[i]);
                float base = most == -INFINITY ? 0.0f : most, shrink = expf(largest[i] - base);
                float share = expf(score - base);
                largest[i] = most;
                total[i] = total[i] * shrink + warp_sum(lane_id() < KEYS ? share : 0.0f);
                if (lane_id() < KEYS)
                    weight[key] = share * tiles.row_scale(tile, 1, key);
                __syncwarp();
                for (int d = lane_id(); d < p.D; d += WARP) {
                    float sum = sums[number * DP + d] * shrink;
                    for (int j = 0; j < KEYS; j++)
                        sum += weight[j] * to_f32(tiles.row(tile, 1, j)[d]);
                    sums[number * DP + d] = sum;
                }
                __syncwarp();
            }
        }
        tiles.finish();
    }
#pragma unroll
    for (int i = 0; i < Shape::PER_WARP; i++) {
        int number = warp_id() + i * PAGED_WARPS;
        int64_t at = block.at(p, number);
        if (at < 0)
            continue;
        bool none = total[i] == 0.0f;
        for (int d = lane_id(); d < p.D; d += WARP)
            paged_store(p, block.split, at, d, none ? 0.0f : sums[number * DP + d] / total[i]);
        if (lane_id() == 0)
            paged_store_lse(p, block.split, at, none ? -INFINITY : largest[i] + logf(total[i]));
    }
}

#endif
