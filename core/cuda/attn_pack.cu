/* Partial attentions packed for their way between ranks: copies by words of 32 bits. */
#include "core/cuda/cuda.h"

struct PackParams {
    const uint32_t *values, *lse;
    uint32_t *packed;
    int64_t N;
    int H, words; /* of one head's output */
    int n_chunks;
    int32_t cuts[ATTN_PACK_CHUNKS + 1];
};

/* One block a row of the grid's x, one head of its y. */
__global__ void attn_pack_kernel(PackParams p)
{
    int64_t n = blockIdx.x;
    int h = (int)blockIdx.y, c = 0;
    while (p.cuts[c + 1] <= h)
        c++;
    int64_t width = p.cuts[c + 1] - p.cuts[c];
    int64_t row = p.N * p.cuts[c] + n * width + (h - p.cuts[c]);
    const uint32_t *from = p.values + (n * p.H + h) * p.words;
    uint32_t *to = p.packed + row * (p.words + 1);
    for (int i = (int)threadIdx.x; i < p.words; i += (int)blockDim.x)
        to[i] = from[i];
    if (threadIdx.x == 0)
        to[p.words] = p.lse[n * p.H + h];
}

__global__ void attn_unpack_kernel(const uint32_t *packed, uint32_t *values, uint32_t *lse,
                                   int words)
{
    int64_t row = blockIdx.x;
    const uint32_t *from = packed + row * (words + 1);
    for (int i = (int)threadIdx.x; i < words; i += (int)blockDim.x)
        values[row * words + i] = from[i];
    if (threadIdx.x == 0)
        lse[row] = from[words];
}

/* 32-bit words of one head's output in packed rows. */
static int words_of(const Tensor *packed)
{
    return (int)((size_t)packed->shape[1] * dtype_bytes(packed->dtype) / sizeof(uint32_t)) - 1;
}

void cuda_attn_pack(Queue *queue, const AttnPackArgs *args)
{
    attn_pack_check(args);
    PackParams p = {};
    p.values = device_at<const uint32_t>(&args->values);
    p.lse = device_at<const uint32_t>(&args->lse);
    p.packed = device_at<uint32_t>(&args->packed);
    p.N = args->values.shape[0];
    p.H = (int)args->values.shape[1];
    p.words = words_of(&args->packed);
    p.n_chunks = args->n_chunks;
    memcpy(p.cuts, args->cuts, (size_t)(args->n_chunks + 1) * sizeof *p.cuts);
    if (p.N * p.H == 0)
        return;
    dim3 grid((unsigned)p.N, (unsigned)p.H);
    launch<attn_pack_kernel>(queue, grid, row_threads(p.words, 128), 0, p);
}

void cuda_attn_unpack(Queue *queue, const AttnUnpackArgs *args)
{
    attn_unpack_check(args);
    int words = words_of(&args->packed);
    if (args->packed.shape[0] == 0)
        return;
    launch<attn_unpack_kernel>(queue, (unsigned)args->packed.shape[0], row_threads(words, 128), 0,
                               device_at<const uint32_t>(&args->packed),
                               device_at<uint32_t>(&args->values), device_at<uint32_t>(&args->lse),
                               words);
}
