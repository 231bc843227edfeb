/* Matrix products through cuBLASLt. It counts columns first, so a row-major c = a b is asked for as
 * c^T = b^T a^T: b is its A, a its B, and its D has N rows and M columns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cublasLt.h>

#include "core/cuda/libraries.h"
#include "core/cuda/products.h"

enum { PLANS = 256, WORKSPACE = 32 << 20 }; /* bytes: what NVIDIA recommends for Hopper */

/* All that a plan depends on; compared as bytes, so it starts as zeros. */
struct PlanKey {
    int64_t M, N, K;
    int32_t in, out; /* DType */
    int32_t a_transposed, b_transposed, bias;
    int32_t a_align, b_align, c_align; /* bytes, at most 256 */
};

struct Plan {
    PlanKey key;
    bool used, refused; /* refused: cuBLASLt knows no way */
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm;
};

struct LtCache {
    cublasLtHandle_t handle; /* NULL: the library did not start */
    void *workspace;
    int n_plans;
    Plan plans[PLANS];
};

static bool done(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS;
}

static void plan_clear(Plan *plan)
{
    if (plan->product)
        cublasLtMatmulDescDestroy(plan->product);
    cublasLtMatrixLayout_t layouts[] = {plan->a, plan->b, plan->d};
    for (int i = 0; i < 3; i++)
        if (layouts[i])
            cublasLtMatrixLayoutDestroy(layouts[i]);
    memset(plan, 0, sizeof *plan);
}

size_t products_workspace()
{
    return WORKSPACE;
}

void products_free(LtCache *cache)
{
    if (!cache)
        return;
    for (int i = 0; i < PLANS; i++)
        plan_clear(&cache->plans[i]);
    if (cache->handle)
        cublasLtDestroy(cache->handle);
    cudaFree(cache->workspace);
    free(cache);
}

void products_library(Worker *out)
{
    size_t version = cublasLtGetVersion(); /* linked: without it there is no plug-in */
    snprintf(out->version, sizeof out->version, "cuBLASLt %zu.%zu.%zu", version / 10000,
             version / 100 % 100, version % 100);
}

/* The queue's cache, made by its first product; NULL, and a failed queue, where there is no memory
 * for it. */
static LtCache *cache_of(Queue *queue)
{
    if (queue->products)
        return queue->products;
    CHECK(!queue->capturing, "a queue's first product while work is being recorded");
    void *workspace = queue_memory(queue, WORKSPACE, "the workspace of matrix products");
    if (!workspace)
        return NULL;
    LtCache *cache = (LtCache *)xcalloc(1, sizeof *cache);
    cache->workspace = workspace;
    if (!done(cublasLtCreate(&cache->handle)))
        cache->handle = NULL;
    queue->products = cache;
    return cache;
}

/* The largest power of two, up to 256, that divides an address. */
static int32_t alignment_of(const void *data)
{
    int32_t align = 256;
    while ((uintptr_t)data % (uintptr_t)align)
        align /= 2;
    return align;
}

static PlanKey key_of(const GemmArgs *args, GemmDims d)
{
    PlanKey key;
    memset(&key, 0, sizeof key);
    key.M = d.M, key.N = d.N, key.K = d.K;
    key.in = args->a.dtype, key.out = args->c.dtype;
    key.a_transposed = args->a_transposed, key.b_transposed = args->b_transposed;
    key.bias = args->bias.data != NULL;
    key.a_align = alignment_of(args->a.data);
    key.b_align = alignment_of(args->b.data);
    key.c_align = alignment_of(args->c.data);
    return key;
}

static cudaDataType_t type_of(int32_t dtype)
{
    return dtype == DTYPE_F32 ? CUDA_R_32F : CUDA_R_16BF;
}

static bool set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t what,
                const void *value, size_t bytes)
{
    return done(cublasLtMatmulDescSetAttribute(product, what, value, bytes));
}

/* Descriptors. A row-major (rows, cols) is a column-major (cols, rows). float32 stays float32: TF32
 * would be faster and keeps 10 bits. */
static bool describe(Plan *plan, const PlanKey *k)
{
    cublasOperation_t a_op = k->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t b_op = k->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    uint64_t M = (uint64_t)k->M, N = (uint64_t)k->N, K = (uint64_t)k->K;
    cudaDataType_t in = type_of(k->in), out = type_of(k->out);
    return done(cublasLtMatmulDescCreate(&plan->product, CUBLAS_COMPUTE_32F, CUDA_R_32F)) &&
           set(plan->product, CUBLASLT_MATMUL_DESC_TRANSA, &a_op, sizeof a_op) &&
           set(plan->product, CUBLASLT_MATMUL_DESC_TRANSB, &b_op, sizeof b_op) &&
           (!k->bias ||
            set(plan->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue)) &&
           done(cublasLtMatrixLayoutCreate(&plan->a, in, k->b_transposed ? K : N,
                                           k->b_transposed ? N : K,
                                           (int64_t)(k->b_transposed ? K : N))) &&
           done(cublasLtMatrixLayoutCreate(&plan->b, in, k->a_transposed ? M : K,
                                           k->a_transposed ? K : M,
                                           (int64_t)(k->a_transposed ? M : K))) &&
           done(cublasLtMatrixLayoutCreate(&plan->d, out, N, M, (int64_t)N));
}

static bool prefer(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t what,
                   const void *value, size_t bytes)
{
    return done(cublasLtMatmulPreferenceSetAttribute(p, what, value, bytes));
}

/* The first algorithm that the heuristic names: the same one in every run, which a choice by timing
 * would not be. Its sums are made in one order: parts of a split sum go through the workspace,
 * which only this queue's stream uses, as float32 (in bfloat16, the output's type, they would lose
 * what the accumulation in float32 is for). */
static bool choose_algorithm(LtCache *cache, Plan *plan, const PlanKey *k)
{
    cublasLtMatmulPreference_t preference;
    if (!done(cublasLtMatmulPreferenceCreate(&preference)))
        return false;
    uint64_t workspace = WORKSPACE;
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* or none */
    uint32_t a = (uint32_t)k->b_align, b = (uint32_t)k->a_align, d = (uint32_t)k->c_align;
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    bool chosen =
        prefer(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
               sizeof workspace) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
               sizeof reductions) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &a, sizeof a) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &b, sizeof b) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &d, sizeof d) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &d, sizeof d) &&
        done(cublasLtMatmulAlgoGetHeuristic(cache->handle, plan->product, plan->a, plan->b, plan->d,
                                            plan->d, preference, 1, &found, &count)) &&
        count > 0 && done(found.state);
    if (chosen)
        plan->algorithm = found.algo;
    cublasLtMatmulPreferenceDestroy(preference);
    return chosen;
}

/* FNV-1a over the key's bytes. */
static unsigned hash_of(const PlanKey *key)
{
    unsigned hash = 2166136261u;
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ ((const unsigned char *)key)[i]) * 16777619u;
    return hash;
}

/* The plan of a product, made when it is new. When the table is three quarters full it starts anew:
 * recorded graphs hold kernels and addresses, no plans. */
static Plan *plan_of(LtCache *cache, const PlanKey *key)
{
    unsigned at = hash_of(key) % PLANS;
    for (; cache->plans[at].used; at = (at + 1) % PLANS)
        if (memcmp(&cache->plans[at].key, key, sizeof *key) == 0)
            return &cache->plans[at];
    if (cache->n_plans >= PLANS * 3 / 4) {
        for (int i = 0; i < PLANS; i++)
            plan_clear(&cache->plans[i]);
        cache->n_plans = 0;
        at = hash_of(key) % PLANS;
    }
    Plan *plan = &cache->plans[at];
    cache->n_plans++;
    plan->key = *key;
    plan->used = true;
    plan->refused = !describe(plan, key) || !choose_algorithm(cache, plan, key);
    return plan;
}

static bool refused(Queue *queue, const char *why)
{
    library_refused(queue, WORK_PRODUCTS, why);
    return false;
}

bool products_run(Queue *queue, const GemmArgs *args)
{
    GemmDims d = gemm_dims(args);
    CHECK(args->act == ACT_NONE && (!args->bias.data || args->c.dtype == DTYPE_F32),
          "not a product of cuBLASLt's");
    if (d.M == 0 || d.N == 0 || d.K == 0 || queue->failed)
        return false;
    LtCache *cache = cache_of(queue);
    if (!cache)
        return false;
    if (!cache->handle)
        return refused(queue, "cuBLASLt did not start");
    PlanKey key = key_of(args, d);
    Plan *plan = plan_of(cache, &key);
    if (plan->refused)
        return refused(queue, "cuBLASLt has no way to do a product of this shape");
    const void *bias = args->bias.data;
    if (bias && !set(plan->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias))
        return refused(queue, "cuBLASLt takes no bias");
    float one = 1.0f, beta = args->accumulate ? 1.0f : 0.0f;
    plan->refused = !done(cublasLtMatmul(cache->handle, plan->product, &one, args->b.data, plan->a,
                                         args->a.data, plan->b, &beta, args->c.data, plan->d,
                                         args->c.data, plan->d, &plan->algorithm, cache->workspace,
                                         WORKSPACE, queue->stream));
    if (plan->refused)
        return refused(queue, "cuBLASLt could not launch a product");
    library_did(WORK_PRODUCTS);
    return true;
}
