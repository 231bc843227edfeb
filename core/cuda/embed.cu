/* The embedding's gather and its gradient. */
#include "core/cuda/cuda.h"

/* One block a token. `repeat`: components of out that one of the table serves. */
template <typename T>
__global__ void embed_kernel(const int32_t *ids, const T *table, float *out, int64_t C,
                             int64_t repeat, float scale)
{
    const T *from = table + (int64_t)ids[blockIdx.x] * (C / repeat);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        out[(int64_t)blockIdx.x * C + c] = scale * to_f32(from[repeat == 1 ? c : c / repeat]);
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
                                      device_at<const uint8_t>(table), out, C, repeat, args->scale);
    else
        with_type(table->dtype, [&](auto type) {
            using T = typename decltype(type)::type;
            launch<embed_kernel<T>>(queue, (unsigned)N, row_threads(C), 0, ids,
                                    device_at<const T>(table), out, C, repeat, args->scale);
        });
}

/* One block a token, which works only where it is the first of its id: it adds up all tokens of
 * that id in their order, so that the sum is the same in every run. */
__global__ void embed_backward_kernel(const int32_t *ids, const float *dout, float *dtable,
                                      int64_t N, int64_t C, int64_t repeat, float scale)
{
    int64_t first = blockIdx.x;
    int32_t id = ids[first];
    int earlier = 0;
    for (int64_t i = threadIdx.x; i < first; i += blockDim.x)
        earlier |= ids[i] == id;
    if (__syncthreads_or(earlier))
        return;
    int64_t n_embed = C / repeat;
    for (int64_t i = first; i < N; i++) {
        if (ids[i] != id)
            continue;
        for (int64_t e = threadIdx.x; e < n_embed; e += blockDim.x) {
            float sum = 0.0f;
            for (int64_t r = 0; r < repeat; r++)
                sum += dout[i * C + e * repeat + r];
            dtable[(int64_t)id * n_embed + e] += scale * sum;
        }
    }
}

void cuda_embed_backward(Queue *queue, const EmbedBackwardArgs *args)
{
    int64_t N = tensor_rows(&args->dout), C = tensor_cols(&args->dout);
    const Tensor *table = &args->dtable;
    CHECK(args->ids.dtype == DTYPE_I32 && tensor_count(&args->ids) == N &&
              args->dout.dtype == DTYPE_F32 && table->dtype == DTYPE_F32 && table->n_dims == 2 &&
              C % table->shape[1] == 0,
          "embed_backward: shapes or types");
    launch<embed_backward_kernel>(queue, (unsigned)N, row_threads(C), 0,
                                  device_at<const int32_t>(&args->ids),
                                  device_at<const float>(&args->dout), device_at<float>(table), N,
                                  C, C / table->shape[1], args->scale);
}
