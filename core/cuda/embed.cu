/* The embedding's gather and its gradient. */
#include "core/cuda/cuda.h"

/* One block a token; an id that is none gives NaN. `repeat`: components of out that one of the
 * table serves. */
template <typename T>
__global__ void embed_kernel(const int32_t *ids, const T *table, float *out, int64_t V, int64_t C,
                             int64_t repeat, float scale)
{
    int32_t id = ids[blockIdx.x];
    bool known = id >= 0 && id < V;
    const T *from = table + (known ? id : 0) * (C / repeat);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        out[(int64_t)blockIdx.x * C + c] =
            known ? scale * to_f32(from[repeat == 1 ? c : c / repeat]) : NAN;
}

void cuda_embed(Queue *queue, const EmbedArgs *args)
{
    int64_t N = tensor_rows(&args->out), C = tensor_cols(&args->out);
    const Tensor *table = &args->table;
    CHECK(args->ids.dtype == DTYPE_I32 && tensor_count(&args->ids) == N &&
              args->out.dtype == DTYPE_F32 && table->n_dims == 2 && C % table->shape[1] == 0,
          "embed: shapes or types");
    int64_t repeat = C / table->shape[1];
    const int32_t *ids = device_at<const int32_t>(&args->ids);
    float *out = device_at<float>(&args->out);
    if (table->dtype == DTYPE_U8)
        launch<embed_kernel<uint8_t>>(queue, (unsigned)N, row_threads(C), 0, ids,
                                      device_at<const uint8_t>(table), out, table->shape[0], C,
                                      repeat, args->scale);
    else
        with_type(table->dtype, [&](auto type) {
            using T = typename decltype(type)::type;
            launch<embed_kernel<T>>(queue, (unsigned)N, row_threads(C), 0, ids,
                                    device_at<const T>(table), out, table->shape[0], C, repeat,
                                    args->scale);
        });
}

/* ---- gradient: tokens sorted by id, then a sum per id -----------------------------------------
 */

enum { RANK_THREADS = 128, BATCH = 8 };

/* order (N): tokens by id, those of one id in their order; sorted (N): their ids. A token's place
 * is the number of those that come before it, counted: N^2 comparisons take less time than a sort's
 * launches do for the tens of thousands of tokens that a step has. */
__global__ void __launch_bounds__(RANK_THREADS)
    rank_kernel(const int32_t *ids, int32_t *order, int32_t *sorted, int N)
{
    __shared__ int32_t tile[RANK_THREADS];
    int me = (int)(blockIdx.x * RANK_THREADS + threadIdx.x), rank = 0;
    int32_t id = me < N ? ids[me] : 0;
    for (int base = 0; base < N; base += RANK_THREADS) {
        int other = base + (int)threadIdx.x;
        tile[threadIdx.x] = other < N ? ids[other] : INT32_MAX;
        __syncthreads();
        for (int j = 0; j < RANK_THREADS; j++)
            rank += tile[j] < id || (tile[j] == id && base + j < me);
        __syncthreads();
    }
    if (me < N) {
        order[rank] = me;
        sorted[rank] = id;
    }
}

struct EmbedSumParams {
    const int32_t *order, *sorted;
    const float *dout;
    float *dtable;
    int64_t N, V, n_embed, repeat;
    float scale;
};

/* Block (p, part) adds up all tokens of the id at place p where that is the id's first, one
 * component of the table a thread. BATCH tokens are asked for at once, and added in order. */
__global__ void embed_sum_kernel(EmbedSumParams p)
{
    int64_t at = blockIdx.x, e = (int64_t)blockIdx.y * blockDim.x + threadIdx.x;
    int32_t id = p.sorted[at];
    if ((at > 0 && p.sorted[at - 1] == id) || id < 0 || id >= p.V || e >= p.n_embed)
        return;
    double sum = 0.0;
    for (bool more = true; more; at += BATCH) {
        float x[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            more = at + i < p.N && p.sorted[at + i] == id;
            x[i] = 0.0f;
            if (!more)
                continue;
            const float *from = p.dout + (p.order[at + i] * p.n_embed + e) * p.repeat;
            for (int64_t r = 0; r < p.repeat; r++)
                x[i] += from[r];
        }
        for (int i = 0; i < BATCH; i++)
            sum += (double)x[i];
    }
    p.dtable[id * p.n_embed + e] += (float)((double)p.scale * sum);
}

void cuda_embed_backward(Queue *queue, const EmbedBackwardArgs *args)
{
    int64_t N = tensor_rows(&args->dout), C = tensor_cols(&args->dout);
    const Tensor *table = &args->dtable;
    CHECK(args->ids.dtype == DTYPE_I32 && tensor_count(&args->ids) == N &&
              args->dout.dtype == DTYPE_F32 && table->dtype == DTYPE_F32 && table->n_dims == 2 &&
              C % table->shape[1] == 0,
          "embed_backward: shapes or types");
    CHECK(N < INT32_MAX, "embed_backward: %lld tokens", (long long)N);
    int32_t *order =
        (int32_t *)queue_scratch(queue, (size_t)N * 2 * sizeof *order, "embed_backward");
    if (!order)
        return;
    int32_t *sorted = order + N;
    int64_t n_embed = table->shape[1];
    launch<rank_kernel>(queue, (unsigned)ceil_div(N, RANK_THREADS), RANK_THREADS, 0,
                        device_at<const int32_t>(&args->ids), order, sorted, (int)N);
    EmbedSumParams p = {order,
                        sorted,
                        device_at<const float>(&args->dout),
                        device_at<float>(table),
                        N,
                        table->shape[0],
                        n_embed,
                        C / n_embed,
                        args->scale};
    unsigned threads = row_threads(n_embed);
    launch<embed_sum_kernel>(queue, dim3((unsigned)N, (unsigned)ceil_div(n_embed, threads)),
                             threads, 0, p);
}
