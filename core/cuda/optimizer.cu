/* AdamW and the norm of the gradients, over many tensors in few launches: the list travels in the
 * kernel's parameters, and each block looks up which part of which tensor is its own. */
#include "core/cuda/cuda.h"

enum { LIST_MOST = 48, CHUNK = 16384, LIST_THREADS = 256 };

/* Where the blocks of each tensor begin; the last entry is the number of blocks. */
struct BlockList {
    int64_t count[LIST_MOST]; /* elements */
    int first[LIST_MOST + 1];
    int n;
};

static void list_add(BlockList *list, int64_t count)
{
    list->count[list->n] = count;
    list->first[list->n + 1] = list->first[list->n] + (int)ceil_div(count, CHUNK);
    list->n++;
}

/* The tensor of this block, and its elements [begin, end). */
static __device__ __forceinline__ int find_tensor(const BlockList &list, int64_t *begin,
                                                  int64_t *end)
{
    int block = (int)blockIdx.x, k = 0;
    while (block >= list.first[k + 1])
        k++;
    *begin = (int64_t)(block - list.first[k]) * CHUNK;
    *end = *begin + CHUNK < list.count[k] ? *begin + CHUNK : list.count[k];
    return k;
}

/* ---- AdamW ---------------------------------------------------------------------------------- */

struct AdamwTensor {
    float *param, *m, *v;
    const float *grad;
    void *copy;
    float weight_decay;
    bool narrow_copy; /* bfloat16 */
};

struct AdamwRule {
    float lr, beta1, beta2, rest1, rest2, eps, correction1, correction2;
    const float *grad_scale;
};

enum { ADAMW_MOST = 32 };

struct AdamwList {
    BlockList blocks;
    AdamwTensor tensors[ADAMW_MOST];
};

/* Decoupled weight decay (Loshchilov and Hutter, 2019). */
__global__ void adamw_kernel(AdamwList list, AdamwRule rule)
{
    int64_t begin, end;
    const AdamwTensor &t = list.tensors[find_tensor(list.blocks, &begin, &end)];
    float scale = rule.grad_scale ? *rule.grad_scale : 1.0f;
    float keep = 1.0f - rule.lr * t.weight_decay;
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
        float g = t.grad[i] * scale;
        float m = rule.beta1 * t.m[i] + rule.rest1 * g;
        float v = rule.beta2 * t.v[i] + rule.rest2 * g * g;
        t.m[i] = m;
        t.v[i] = v;
        float root = sqrtf(v / rule.correction2) + rule.eps;
        float p = t.param[i] * keep - rule.lr * (m / rule.correction1) / root;
        t.param[i] = p;
        if (t.copy && t.narrow_copy)
            ((bf16 *)t.copy)[i] = from_f32<bf16>(p);
        else if (t.copy)
            ((float *)t.copy)[i] = p;
    }
}

void cuda_adamw(Queue *queue, const AdamwArgs *args)
{
    adamw_check(args);
    double beta1 = (double)args->beta1, beta2 = (double)args->beta2;
    AdamwRule rule = {args->lr,
                      args->beta1,
                      args->beta2,
                      (float)(1.0 - beta1),
                      (float)(1.0 - beta2),
                      args->eps,
                      (float)(1.0 - pow(beta1, (double)args->step)),
                      (float)(1.0 - pow(beta2, (double)args->step)),
                      device_at<float>(&args->grad_scale)};
    for (int64_t at = 0; at < args->n_items; at += ADAMW_MOST) {
        AdamwList list = {};
        for (int64_t k = at; k < args->n_items && k < at + ADAMW_MOST; k++) {
            const AdamwItem *item = &args->items[k];
            list.tensors[list.blocks.n] = {device_at<float>(&item->param),
                                           device_at<float>(&item->m),
                                           device_at<float>(&item->v),
                                           device_at<float>(&item->grad),
                                           item->copy.data,
                                           item->weight_decay,
                                           item->copy.dtype == DTYPE_BF16};
            list_add(&list.blocks, tensor_count(&item->param));
        }
        launch<adamw_kernel>(queue, (unsigned)list.blocks.first[list.blocks.n], LIST_THREADS, 0,
                             list, rule);
    }
}

/* ---- the norm ------------------------------------------------------------------------------- */

struct SquaresList {
    BlockList blocks;
    const float *x[LIST_MOST];
};

__global__ void squares_kernel(SquaresList list, double *partial)
{
    __shared__ double shared[WARP];
    int64_t begin, end;
    const float *x = list.x[find_tensor(list.blocks, &begin, &end)];
    double sum = 0.0;
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x)
        sum += (double)x[i] * (double)x[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = sum;
}

/* One block adds up what the others left, always in the same order. */
__global__ void norm_finish_kernel(const double *partial, int64_t n, float max_norm, float *norm,
                                   float *clip)
{
    __shared__ double shared[WARP];
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += partial[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x != 0)
        return;
    double root = sqrt(sum);
    *norm = (float)root;
    if (max_norm > 0.0f)
        *clip = (float)fmin(1.0, (double)max_norm / (root + 1e-6));
}

void cuda_grad_norm(Queue *queue, const GradNormArgs *args)
{
    int64_t blocks = 0;
    for (int64_t k = 0; k < args->n_items; k++)
        blocks += ceil_div(tensor_count(&args->items[k]), CHUNK);
    double *partial = (double *)queue_scratch(queue, (size_t)(blocks + 1) * sizeof(double),
                                              "the gradient's norm");
    if (!partial)
        return;
    int64_t done = 0;
    for (int64_t at = 0; at < args->n_items; at += LIST_MOST) {
        SquaresList list = {};
        for (int64_t k = at; k < args->n_items && k < at + LIST_MOST; k++) {
            CHECK(args->items[k].dtype == DTYPE_F32, "grad_norm: tensor %lld", (long long)k);
            list.x[list.blocks.n] = device_at<float>(&args->items[k]);
            list_add(&list.blocks, tensor_count(&args->items[k]));
        }
        int own = list.blocks.first[list.blocks.n];
        launch<squares_kernel>(queue, (unsigned)own, LIST_THREADS, 0, list, partial + done);
        done += own;
    }
    launch<norm_finish_kernel>(queue, 1, row_threads(blocks), 0, (const double *)partial, blocks,
                               args->max_norm, device_at<float>(&args->norm),
                               device_at<float>(&args->clip));
}
