/* Fused head, softmax and cross-entropy: logits are made for some rows at a time. */
#include "core/cuda/attn_groups.h"
#include "core/cuda/libraries.h"
#include "core/cuda/map.cuh"
#include "core/cuda/products.h"
#include "core/cuda/row.cuh"
#include "core/cuda/sum_rows.h"

enum { LOSS_ROWS = 64 };
/* Bytes of logits at a time; few under emulation, so that tests meet several chunks. */
#ifdef CAMBIUM_EMULATE
static const int64_t LOSS_BYTES = 64 << 10;
#else
static const int64_t LOSS_BYTES = 256 << 20;
#endif

/* exp as exact as the logits: bfloat16 ones are off by far more than the quick one is. */
template <typename T> __device__ __forceinline__ float exp_of(float x)
{
    return sizeof(T) == sizeof(float) ? expf(x) : fast_exp(x);
}

/* What a logit is measured from: the largest one, unless all are minus infinity (or not numbers,
 * which then stay visible in the sum). */
static __device__ __forceinline__ float base_of(float largest)
{
    return largest == -INFINITY ? 0.0f : largest;
}

/* One block a row of logits (rows, V): the loss, and, with GRADIENT, in place of the logits their
 * gradient (softmax - one hot) * grad_scale. A row whose target is negative has neither; one whose
 * target is no word has the loss NaN. W logits are read at once. */
template <typename T, int W, bool GRADIENT>
__global__ void loss_kernel(T *logits, const int32_t *targets, float *losses, int64_t V,
                            float grad_scale)
{
    __shared__ float partial[WARP];
    T *row = logits + (int64_t)blockIdx.x * V;
    int32_t target = targets[blockIdx.x];
    int64_t first = (int64_t)threadIdx.x * W, step = (int64_t)blockDim.x * W;
    float x[W];
    if (target < 0) {
        if (threadIdx.x == 0)
            losses[blockIdx.x] = 0.0f;
        for (int i = 0; i < W; i++)
            x[i] = 0.0f;
        for (int64_t v = first; GRADIENT && v < V; v += step)
            store_f32<W>(row, v, x);
        return;
    }
    /* Each thread keeps its largest value and the sum relative to it: one pass over the logits. */
    float max = -INFINITY, sum = 0.0f;
    for (int64_t v = first; v < V; v += step) {
        load_f32<W>(row, v, x);
        float before = max;
        for (int i = 0; i < W; i++)
            max = fmaxf(max, x[i]);
        float base = base_of(max);
        sum *= exp_of<T>(before - base);
        for (int i = 0; i < W; i++)
            sum += exp_of<T>(x[i] - base);
    }
    float base = base_of(block_max(max, partial));
    sum = block_sum(sum * exp_of<T>(max - base), partial);
    if (threadIdx.x == 0)
        losses[blockIdx.x] = target < V ? base - to_f32(row[target]) + logf(sum) : NAN;
    if (!GRADIENT)
        return;
    __syncthreads(); /* the target's logit has been read */
    float scale = grad_scale / sum;
    for (int64_t v = first; v < V; v += step) {
        load_f32<W>(row, v, x);
        for (int i = 0; i < W; i++) {
            x[i] = exp_of<T>(x[i] - base) * scale;
            x[i] -= v + i == target ? grad_scale : 0.0f;
        }
        store_f32<W>(row, v, x);
    }
}

template <typename T, bool GRADIENT>
static void launch_loss(Queue *queue, const HeadLossArgs *args, const Tensor *logits, int64_t begin)
{
    unsigned rows = (unsigned)logits->shape[0];
    int64_t V = logits->shape[1];
    T *data = (T *)logits->data;
    const int32_t *targets = device_at<const int32_t>(&args->targets, begin);
    float *losses = device_at<float>(&args->losses, begin);
    if (V % MAP_WIDTH == 0)
        launch<loss_kernel<T, MAP_WIDTH, GRADIENT>>(queue, rows,
                                                    row_threads(V / MAP_WIDTH, VOCAB_THREADS), 0,
                                                    data, targets, losses, V, args->grad_scale);
    else
        launch<loss_kernel<T, 1, GRADIENT>>(queue, rows, row_threads(V, VOCAB_THREADS), 0, data,
                                            targets, losses, V, args->grad_scale);
}

/* The rows whose logits are made at once. */
static int64_t chunk_rows(int64_t N, int64_t V, DType type)
{
    int64_t rows = LOSS_BYTES / (V * (int64_t)dtype_bytes(type)) / LOSS_ROWS * LOSS_ROWS;
    rows = rows < LOSS_ROWS ? (int64_t)LOSS_ROWS : rows;
    return rows < N ? rows : N;
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

static bool wants_gradient(const HeadLossArgs *args)
{
    return args->dx.data || args->dweight.data || args->dbias.data;
}

/* In training bfloat16 logits halve the memory that the loss moves; their rounding (2^-9 of a
 * logit) averages out over tokens. Where losses are the result, they are float32. */
static DType logits_type(const HeadLossArgs *args)
{
    return wants_gradient(args) ? args->x.dtype : DTYPE_F32;
}

/* Bytes of a chunk's logits; what sums over its rows need lies behind them. */
static size_t logits_bytes(const HeadLossArgs *args, int64_t chunk)
{
    size_t bytes = (size_t)(chunk * tensor_rows(&args->weight)) * dtype_bytes(logits_type(args));
    return (bytes + 255) / 256 * 256;
}

static size_t own_scratch(const HeadLossArgs *args, int64_t chunk)
{
    return logits_bytes(args, chunk) + sum_rows_scratch(chunk, tensor_rows(&args->weight));
}

static size_t whole_scratch(const HeadLossArgs *args)
{
    int64_t N = tensor_rows(&args->x), V = tensor_rows(&args->weight);
    return own_scratch(args, chunk_rows(N, V, logits_type(args)));
}

/* Beside what is asked for: kernels, which are loaded when they are first run, and recorded graphs.
 */
#ifdef CAMBIUM_EMULATE
static const size_t LOADED_BYTES = 0;
#else
static const size_t LOADED_BYTES = 256 << 20;
#endif

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* What cuDNN takes for attention's backward; our own kernel takes nothing. */
static size_t attention_scratch(const AttnShape *attn, DType type)
{
    Worker worker = {};
    cuda_worker(WORK_ATTENTION_GRADIENT, type, &worker);
    return attn && worker.version[0] ? attn_groups(attn).workspace : 0;
}

/* One buffer serves all operations of a queue: the largest wish counts. That is the loss's, a
 * training pass's or an evaluation's, whose logits are wider, or that of attention's backward. */
size_t cuda_loss_scratch(const HeadLossArgs *shapes, const AttnShape *attn)
{
    HeadLossArgs evaluation = *shapes;
    evaluation.dx.data = evaluation.dweight.data = evaluation.dbias.data = NULL;
    size_t most = larger(whole_scratch(shapes), whole_scratch(&evaluation));
    most = larger(most, attention_scratch(attn, shapes->x.dtype));
    return scratch_size(most) + products_workspace() + LOADED_BYTES;
}

size_t cuda_decode_scratch(const HeadLossArgs *scoring, int64_t head_dim, DType weights)
{
    size_t most = larger(whole_scratch(scoring), attn_decode_scratch(head_dim));
    if (weights == DTYPE_I8)
        most = larger(most, gemm_i8_scratch());
    return scratch_size(most) + products_workspace() + LOADED_BYTES;
}

void cuda_head_loss(Queue *queue, const HeadLossArgs *args)
{
    head_loss_check(args);
    int64_t N = tensor_rows(&args->x), V = tensor_rows(&args->weight), C = tensor_cols(&args->x);
    bool gradient = wants_gradient(args);
    DType type = logits_type(args);
    int64_t chunk = chunk_rows(N, V, type);
    char *scratch = (char *)queue_scratch(queue, own_scratch(args, chunk), "the loss");
    if (!scratch)
        return;
    Tensor x_all = tensor_as_2d(&args->x, N, C);
    int64_t begin = 0;
    do { /* once even without rows: gradients that are not added to become zero */
        int64_t rows = N - begin < chunk ? N - begin : chunk;
        Tensor logits = tensor_2d(scratch, type, rows, V), dx = {};
        Tensor x = tensor_slice(&x_all, begin, rows);
        if (args->dx.data) {
            dx = tensor_as_2d(&args->dx, N, C);
            dx = tensor_slice(&dx, begin, rows);
        }
        GemmArgs product = {};
        product.a = x, product.b = args->weight, product.c = logits, product.bias = args->bias;
        product.b_transposed = true;
        cuda_gemm(queue, &product);
        if (!gradient) {
            launch_loss<float, false>(queue, args, &logits, begin);
        } else {
            with_type(type, [&](auto tag) {
                launch_loss<typename decltype(tag)::type, true>(queue, args, &logits, begin);
            });
            chunk_gradients(queue, args, &logits, &x, &dx, begin == 0,
                            (float *)(scratch + logits_bytes(args, chunk)));
        }
        begin += chunk;
    } while (begin < N);
}
