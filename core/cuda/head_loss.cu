/* Fused head, softmax and cross-entropy: logits are made for some rows at a time. */
#include "core/cuda/sum_rows.h"

enum { LOSS_ROWS = 64, LOSS_THREADS = 1024 };
static const int64_t LOSS_BYTES = (int64_t)256 << 20; /* of logits at a time */

/* One block a row of logits (rows, V): the loss, and, with GRADIENT, in place of the logits their
 * gradient (softmax - one hot) * grad_scale. A row whose target is negative has neither. */
template <typename T, bool GRADIENT>
__global__ void loss_kernel(T *logits, const int32_t *targets, float *losses, int64_t V,
                            float grad_scale)
{
    __shared__ float partial[WARP];
    T *row = logits + (int64_t)blockIdx.x * V;
    int32_t target = targets[blockIdx.x];
    if (target < 0) {
        if (threadIdx.x == 0)
            losses[blockIdx.x] = 0.0f;
        for (int64_t v = threadIdx.x; GRADIENT && v < V; v += blockDim.x)
            row[v] = from_f32<T>(0.0f);
        return;
    }
    /* Each thread keeps its largest value and the sum relative to it: one pass over the logits. */
    float max = -INFINITY, sum = 0.0f;
    for (int64_t v = threadIdx.x; v < V; v += blockDim.x) {
        float x = to_f32(row[v]);
        if (x > max) {
            sum = sum * expf(max - x) + 1.0f;
            max = x;
        } else {
            sum += x == -INFINITY ? 0.0f : expf(x - max);
        }
    }
    float largest = block_max(max, partial);
    sum = block_sum(max == -INFINITY ? 0.0f : sum * expf(max - largest), partial);
    float of_target = to_f32(row[target]);
    __syncthreads(); /* nobody overwrites it before all have read it */
    if (threadIdx.x == 0)
        losses[blockIdx.x] = largest - of_target + logf(sum);
    if (!GRADIENT)
        return;
    float scale = grad_scale / sum;
    for (int64_t v = threadIdx.x; v < V; v += blockDim.x) {
        float p = expf(to_f32(row[v]) - largest) * scale;
        row[v] = from_f32<T>(v == target ? p - grad_scale : p);
    }
}

static unsigned loss_threads(int64_t V)
{
    return V >= LOSS_THREADS ? (unsigned)LOSS_THREADS : (unsigned)(ceil_div(V, WARP) * WARP);
}

/* The rows whose logits are made at once. */
static int64_t chunk_rows(int64_t N, int64_t V, DType type)
{
    int64_t rows = LOSS_BYTES / (V * (int64_t)dtype_bytes(type)) / LOSS_ROWS * LOSS_ROWS;
    rows = rows < LOSS_ROWS ? (int64_t)LOSS_ROWS : rows;
    return rows < N ? rows : N;
}

/* Rows [begin, begin + rows) of an optional tensor. */
static Tensor part_of(const Tensor *t, int64_t begin, int64_t rows)
{
    return t->data ? tensor_slice(t, begin, rows) : *t;
}

static void chunk_gradients(Queue *queue, const HeadLossArgs *args, const Tensor *dlogits,
                            const Tensor *x, const Tensor *dx, bool first, float *scratch)
{
    bool add = args->accumulate || !first;
    if (dx->data) {
        GemmArgs product = {};
        product.a = *dlogits, product.b = args->weight, product.c = *dx;
        cuda_gemm(queue, &product);
    }
    if (args->dweight.data) {
        GemmArgs product = {};
        product.a = *dlogits, product.b = *x, product.c = args->dweight;
        product.a_transposed = true;
        product.accumulate = add;
        cuda_gemm(queue, &product);
    }
    if (args->dbias.data) {
        SumRowsArgs sum = {};
        sum.x = *dlogits, sum.out = args->dbias, sum.accumulate = add;
        sum_rows_with(queue, &sum, scratch);
    }
}

void cuda_head_loss(Queue *queue, const HeadLossArgs *args)
{
    head_loss_check(args);
    int64_t N = tensor_rows(&args->x), V = tensor_rows(&args->weight), C = tensor_cols(&args->x);
    bool gradient = args->dx.data || args->dweight.data || args->dbias.data;
    /* In training bfloat16 logits halve the memory that the loss moves; their rounding (2^-9 of a
     * logit) averages out over tokens. Where losses are the result, they are float32. */
    DType type = gradient ? args->x.dtype : DTYPE_F32;
    int64_t chunk = chunk_rows(N, V, type);
    size_t logits_bytes = (size_t)(chunk * V) * dtype_bytes(type);
    logits_bytes = (logits_bytes + 255) / 256 * 256;
    char *scratch =
        (char *)queue_scratch(queue, logits_bytes + sum_rows_scratch(chunk, V), "the loss");
    if (!scratch)
        return;
    Tensor x_all = tensor_as_2d(&args->x, N, C);
    for (int64_t begin = 0; begin < N; begin += chunk) {
        int64_t rows = N - begin < chunk ? N - begin : chunk;
        Tensor logits = tensor_2d(scratch, type, rows, V);
        Tensor x = tensor_slice(&x_all, begin, rows);
        Tensor dx = {};
        if (args->dx.data) {
            dx = tensor_as_2d(&args->dx, N, C);
            dx = part_of(&dx, begin, rows);
        }
        GemmArgs product = {};
        product.a = x, product.b = args->weight, product.c = logits, product.bias = args->bias;
        product.b_transposed = true;
        cuda_gemm(queue, &product);
        const int32_t *targets = device_at<const int32_t>(&args->targets, begin);
        float *losses = device_at<float>(&args->losses, begin);
        with_type(type, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if (gradient)
                launch<loss_kernel<T, true>>(queue, (unsigned)rows, loss_threads(V), 0,
                                             (T *)scratch, targets, losses, V, args->grad_scale);
        });
        if (!gradient)
            launch<loss_kernel<float, false>>(queue, (unsigned)rows, loss_threads(V), 0,
                                              (float *)scratch, targets, losses, V, 0.0f);
        else
            chunk_gradients(queue, args, &logits, &x, &dx, begin == 0,
                            (float *)(scratch + logits_bytes));
    }
}
