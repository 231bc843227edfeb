/* Partial attentions merged by their log-sum-exp. */
#include "core/cuda/cuda.h"

struct MergeParams {
    const void *parts;
    const float *part_lse;
    float *lse;
    void *out;
    int64_t rows; /* N * H */
    int S, D;
};

/* A block merges 32 components (the grid's y) of one (n, head): each warp sums every n_warps'th
 * part, then the first warp sums the warps, always in that order. The weights, S of them, lie in
 * shared memory before one sum of 32 components per warp. Parts of weight 0 are not read. */
template <typename P, typename O> __global__ void attn_merge_kernel(MergeParams p)
{
    __shared__ float partial[WARP];
    float *weight = (float *)shared_memory(), *sums = weight + p.S;
    int64_t row = blockIdx.x;
    int n_warps = (int)blockDim.x / WARP;
    float largest = -INFINITY;
    for (int s = (int)threadIdx.x; s < p.S; s += (int)blockDim.x)
        largest = fmaxf(largest, p.part_lse[s * p.rows + row]);
    largest = block_max(largest, partial);
    float base = largest == -INFINITY ? 0.0f : largest, total = 0.0f;
    for (int s = (int)threadIdx.x; s < p.S; s += (int)blockDim.x) {
        weight[s] = expf(p.part_lse[s * p.rows + row] - base);
        total += weight[s];
    }
    total = block_sum(total, partial);
    __syncthreads(); /* for the weights: a block of one warp sums without a barrier */
    int d = (int)blockIdx.y * WARP + lane_id();
    float sum = 0.0f;
#pragma unroll 8
    for (int s = warp_id(); s < p.S; s += n_warps)
        if (weight[s] != 0.0f && d < p.D)
            sum += weight[s] * to_f32(((const P *)p.parts)[(s * p.rows + row) * p.D + d]);
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (warp_id() > 0)
        return;
    for (int w = 1; w < n_warps; w++)
        sum += sums[w * WARP + lane_id()];
    if (d < p.D)
        ((O *)p.out)[row * p.D + d] = from_f32<O>(total == 0.0f ? 0.0f : sum / total);
    if (p.lse && d == 0)
        p.lse[row] = total == 0.0f ? -INFINITY : base + logf(total);
}

void cuda_attn_merge(Queue *queue, const AttnMergeArgs *args)
{
    enum { MOST_WARPS = 16 };
    attn_merge_check(args);
    int S = (int)args->parts.shape[0];
    MergeParams p = {args->parts.data,
                     device_at<float>(&args->part_lse),
                     device_at<float>(&args->lse),
                     args->out.data,
                     args->parts.shape[1] * args->parts.shape[2],
                     S,
                     (int)args->parts.shape[3]};
    unsigned threads = (unsigned)(S < 1 ? 1 : S < MOST_WARPS ? S : MOST_WARPS) * WARP;
    dim3 grid((unsigned)p.rows, (unsigned)ceil_div(p.D, WARP));
    size_t shared = ((size_t)S + threads) * sizeof(float);
    with_type(args->parts.dtype, [&](auto parts) {
        with_type(args->out.dtype, [&](auto out) {
            using P = typename decltype(parts)::type;
            using O = typename decltype(out)::type;
            launch<attn_merge_kernel<P, O>>(queue, grid, threads, shared, p);
        });
    });
}
