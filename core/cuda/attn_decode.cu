/* Attention over paged keys and values: decoding and prefill.
 *
 * Decoding reads each sequence's keys once per row: a block has the heads of one KV head of one
 * row, and the keys are shared out over as many blocks ("splits") as fill the GPU; their partial
 * results are merged by log-sum-exp. Where there are many rows (a prompt's), a block has several,
 * which share what it reads. How many splits there are depends on shapes only, so that a recorded
 * graph stays valid; how long each is, the device works out from the row's limit. */
#include "core/cuda/attn_decode_mma.cuh"
#include "core/cuda/attn_decode_plain.cuh"
#include "core/cuda/cuda.h"

enum {
    MANY_ROWS = 64,  /* beyond: blocks share what they read among rows */
    LEAST_KEYS = 128 /* a shorter split costs more in the merge than it saves */
};

/* Splits are made for so many blocks as fill the GPU a few times. */
enum { ROUNDS = 4, BLOCKS = 2, MOST_QUERIES = 16 * PAGED_WARPS };

size_t attn_decode_scratch(int64_t head_dim)
{
    int64_t rows = (int64_t)ROUNDS * BLOCKS * device_processors() * MOST_QUERIES;
    return (size_t)(rows * (head_dim + 1)) * sizeof(float);
}

/* The least number of splits that leaves hardly more processors idle in the last round than the
 * best number does; `blocks` without splits, `places` for blocks at a time. */
static int choose_splits(int64_t blocks, int64_t places, int64_t keys)
{
    int64_t most = ceil_div(keys, LEAST_KEYS), bound = ROUNDS * places / blocks;
    most = most < bound ? most : bound;
    auto busy = [&](int64_t splits) {
        int64_t rounds = ceil_div(blocks * splits, places);
        return (double)(blocks * splits) / (double)(rounds * places);
    };
    double best = 0.0;
    for (int64_t splits = 1; splits <= most; splits++)
        best = fmax(best, busy(splits));
    int64_t splits = 1;
    while (splits < most && busy(splits) < 0.98 * best)
        splits++;
    return (int)splits;
}

/* Blocks of at most `queries` queries, several rows in each when there are many. A processor takes
 * two blocks at a time, or one that needs more than half its shared memory. */
static void share_out(PagedParams *p, int queries, bool many, int shared)
{
    int group = p->H / p->K;
    p->heads = group < queries ? group : queries;
    p->head_tiles = (int)ceil_div(group, p->heads);
    p->tokens = many ? queries / p->heads : 1;
    int64_t blocks = ceil_div(p->N, p->tokens) * p->K * p->head_tiles;
    int64_t places = (int64_t)device_processors() *
                     (2 * (shared + 1024) > (int64_t)device_processor_shared() ? 1 : BLOCKS);
    p->splits = choose_splits(blocks, places, (int64_t)p->max_pages * p->page_size);
}

/* Launches a kernel whose splits, where there are several, leave their results in scratch, and
 * merges them. */
template <auto Kernel>
static void run(Queue *queue, PagedParams p, const AttnDecodeArgs *args, int shared)
{
    int64_t rows = p.N * p.H;
    AttnMergeArgs merge = {{}, {}, args->out, args->lse};
    if (p.splits > 1) {
        size_t values = (size_t)(p.splits * rows * p.D);
        float *scratch = (float *)queue_scratch(
            queue, (values + (size_t)(p.splits * rows)) * sizeof(float), "decode attention");
        if (!scratch)
            return;
        merge.parts = tensor_4d(scratch, DTYPE_F32, p.splits, p.N, p.H, p.D);
        merge.part_lse = tensor_3d(scratch + values, DTYPE_F32, p.splits, p.N, p.H);
        p.out = scratch;
        p.lse = scratch + values;
        p.out_f32 = true;
    }
    dim3 grid((unsigned)(ceil_div(p.N, p.tokens) * p.splits), (unsigned)(p.K * p.head_tiles));
    launch<Kernel>(queue, grid, PAGED_THREADS, (size_t)shared, p);
    if (p.splits > 1)
        cuda_attn_merge(queue, &merge);
}

template <typename T, int DP, bool SMALL = false>
static void run_mma(Queue *queue, PagedParams p, const AttnDecodeArgs *args)
{
    bool many = p.N > MANY_ROWS, wide = many || p.H / p.K > 16;
    constexpr int shared = MmaShape<T, DP, SMALL>::BYTES;
    if constexpr (shared > BLOCK_SHARED_LEAST)
        if (shared > device_block_shared())
            return run_mma<T, DP, true>(queue, p, args);
    share_out(&p, wide ? 16 * PAGED_WARPS : 16, many, shared);
    if (wide)
        run<attn_decode_mma_kernel<T, DP, true, SMALL>>(queue, p, args, shared);
    else
        run<attn_decode_mma_kernel<T, DP, false, SMALL>>(queue, p, args, shared);
}

template <typename T, int DP, bool SMALL = false>
static void run_plain(Queue *queue, PagedParams p, const AttnDecodeArgs *args)
{
    using Shape = PlainShape<T, DP, SMALL>;
    constexpr int shared = Shape::BYTES;
    if constexpr (shared > BLOCK_SHARED_LEAST)
        if (shared > device_block_shared())
            return run_plain<T, DP, true>(queue, p, args);
    share_out(&p, Shape::QUERIES, p.N > MANY_ROWS, shared);
    run<attn_decode_plain_kernel<T, DP, SMALL>>(queue, p, args, shared);
}

/* Kernels exist for a few sizes of head; a smaller head leaves out what it does not have. */
template <typename T>
static void choose_kernel(Queue *queue, const PagedParams *p, const AttnDecodeArgs *args)
{
    if constexpr (sizeof(T) < sizeof(float)) {
        if (!p->q_f32 && p->D <= 64)
            return run_mma<T, 64>(queue, *p, args);
        if (!p->q_f32 && p->D <= 128)
            return run_mma<T, 128>(queue, *p, args);
        if (!p->q_f32 && p->D <= 256)
            return run_mma<T, 256>(queue, *p, args);
    }
    if (p->D <= 128)
        return run_plain<T, 128>(queue, *p, args);
    if (p->D <= 512)
        return run_plain<T, 512>(queue, *p, args);
    queue->failed = true;
    err_set(&queue->err, "the GPU's attention knows heads of at most 512, not %d; use --device cpu",
            p->D);
}

void cuda_attn_decode(Queue *queue, const AttnDecodeArgs *args)
{
    attn_decode_check(args);
    const KvPages *kv = &args->kv;
    const Tensor *pages = &kv->k_pages;
    if (queue->failed || tensor_count(&args->q) == 0)
        return;
    PagedParams p = {};
    p.q = args->q.data;
    p.q_f32 = args->q.dtype == DTYPE_F32;
    p.rows = device_at<int32_t>(&args->rows);
    p.limits = device_at<int32_t>(&args->limits);
    p.table = device_at<int32_t>(&kv->page_table);
    p.pages[0] = kv->k_pages.data;
    p.pages[1] = kv->v_pages.data;
    p.scales[0] = device_at<float>(&kv->k_scales);
    p.scales[1] = device_at<float>(&kv->v_scales);
    p.out = args->out.data;
    p.lse = device_at<float>(&args->lse);
    p.out_f32 = args->out.dtype == DTYPE_F32;
    p.N = args->q.shape[0];
    p.H = (int)args->q.shape[1];
    p.K = (int)pages->shape[1];
    p.D = (int)args->q.shape[2];
    p.page_size = (int)pages->shape[2];
    p.max_pages = (int)kv->page_table.shape[1];
    p.scale = args->scale;
    p.whole = (size_t)p.D * dtype_bytes(pages->dtype) % 16 == 0 && aligned_to(p.pages[0], 16) &&
              aligned_to(p.pages[1], 16);
    with_page_type(pages->dtype, [&](auto type) {
        choose_kernel<typename decltype(type)::type>(queue, &p, args);
    });
}
