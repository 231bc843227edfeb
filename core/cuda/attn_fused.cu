/* Attention of whole sequences through cuDNN: bfloat16, causal, forward and backward.
 *
 * cuDNN has operations for all of attention (CUDNN_BACKEND_OPERATION_SDPA_*), but those of 9.19
 * take no causal mask; what its fused engines know is the pattern of single operations below. The
 * statistics are natural, max + log(sum of exponentials), which is our log-sum-exp. */
#include "core/cuda/attn_fused.h"

#include "core/cuda/attn_groups.h"
#include "core/cuda/libraries.h"

#if __has_include(<cudnn_graph.h>)
#include <float.h>

#include "core/cuda/cudnn_graph.cuh"

enum { OLDEST_VERSION = 90100, PLANS = 32, TENSORS = 16 };
/* What a forward plan may take, and a backward one beyond what its pieces are expected to take;
 * the smallest piece may be large, and is still faster than our own kernel. */
static const int64_t SPARE_WORKSPACE = (int64_t)64 << 20, MOST_WORKSPACE = (int64_t)4 << 30;

/* The tensors that a graph meets from outside. */
enum {
    ID_Q = 1,
    ID_K,
    ID_V,
    ID_OUT,
    ID_LSE,
    ID_SCALE,
    ID_LOWEST,
    ID_ONE,
    ID_DOUT,
    ID_DELTA,
    ID_DQ,
    ID_DK,
    ID_DV
};

/* What one plan does: heads of a tensor that has `splits` times as many. */
struct Piece : AttnShape {
    int64_t splits;
};

typedef struct Plan {
    Piece shape;
    bool backward, with_lse;
    CudnnGraph graph; /* failed: cuDNN refuses the shape */
} Plan;

struct FusedCache {
    cudnnHandle_t handle; /* NULL: cuDNN cannot be used */
    char why[300];
    int n_plans;
    Plan *plans[PLANS];
};

/* ---- graphs ---------------------------------------------------------------------------------- */

/* Some heads of a (B, T, heads * splits, D) tensor as (B, heads, T, D), or (B, heads, D, T) where
 * transposed. */
static Descriptor rows(CudnnGraph *g, int64_t id, const Piece &s, int64_t heads,
                       bool transposed = false)
{
    Extent dims = {{s.B, heads, s.T, s.D}};
    int64_t position = heads * s.splits * s.D;
    Extent strides = {{s.T * position, s.D, position, 1}};
    if (transposed) {
        dims = {{s.B, heads, s.D, s.T}};
        strides = {{s.T * position, s.D, 1, position}};
    }
    return graph_tensor(g, TENSOR_STORED, id, CUDNN_DATA_BFLOAT16, dims, strides);
}

static Extent statistic_dims(const Piece &s)
{
    return {{s.B, s.H, s.T, 1}};
}

static Extent statistic_strides(const Piece &s)
{
    return {{s.H * s.splits * s.T, s.T, 1, 1}};
}

/* A value a query row: (B, H, T) float32, or on the way to another operation. */
static Descriptor statistic(CudnnGraph *g, int64_t id, const Piece &s)
{
    return graph_tensor(g, TENSOR_STORED, id, CUDNN_DATA_FLOAT, statistic_dims(s),
                        statistic_strides(s));
}

static Descriptor row_values(CudnnGraph *g, const Piece &s)
{
    return graph_virtual(g, CUDNN_DATA_FLOAT, statistic_dims(s), statistic_strides(s));
}

/* A value a query and key, (B, H, T, T), on its way. */
static Descriptor scores(CudnnGraph *g, const Piece &s, cudnnDataType_t type = CUDNN_DATA_FLOAT)
{
    return graph_virtual(g, type, {{s.B, s.H, s.T, s.T}}, {{s.H * s.T * s.T, s.T * s.T, s.T, 1}});
}

static Descriptor score_op(CudnnGraph *g, const Piece &s, cudnnPointwiseMode_t mode, Descriptor x,
                           Descriptor b = NULL)
{
    Descriptor y = scores(g, s);
    graph_pointwise(g, mode, CUDNN_DATA_FLOAT, y, x, b);
    return y;
}

/* Scores of keys behind the query become the lowest number. */
static Descriptor causal(CudnnGraph *g, const Piece &s, Descriptor x)
{
    Descriptor row = scores(g, s, CUDNN_DATA_INT32), col = scores(g, s, CUDNN_DATA_INT32);
    Descriptor seen = scores(g, s, CUDNN_DATA_BOOLEAN), y = scores(g, s);
    graph_pointwise(g, CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, row, x, NULL, NULL, 2);
    graph_pointwise(g, CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, col, x, NULL, NULL, 3);
    graph_pointwise(g, CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_BOOLEAN, seen, row, col);
    graph_pointwise(g, CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, y, x,
                    graph_value(g, ID_LOWEST), seen);
    return y;
}

/* out = softmax(causal(scale q k^T)) v, lse = max + log(sum). */
static void build_forward(CudnnGraph *g, const Piece &s, bool with_lse)
{
    Descriptor products = scores(g, s);
    graph_matmul(g, products, rows(g, ID_Q, s, s.H), rows(g, ID_K, s, s.K, true));
    Descriptor x = score_op(g, s, CUDNN_POINTWISE_MUL, products, graph_value(g, ID_SCALE));
    x = causal(g, s, x);
    Descriptor max = row_values(g, s), sum = row_values(g, s);
    graph_reduce(g, CUDNN_REDUCE_TENSOR_MAX, max, x);
    x = score_op(g, s, CUDNN_POINTWISE_SUB, x, max);
    x = score_op(g, s, CUDNN_POINTWISE_EXP, x);
    graph_reduce(g, CUDNN_REDUCE_TENSOR_ADD, sum, x);
    /* The pattern has the statistics always; nobody reads them where they are not wanted. */
    Descriptor log = row_values(g, s), lse = with_lse ? statistic(g, ID_LSE, s) : row_values(g, s);
    graph_pointwise(g, CUDNN_POINTWISE_LOG, CUDNN_DATA_FLOAT, log, sum);
    graph_pointwise(g, CUDNN_POINTWISE_ADD, CUDNN_DATA_FLOAT, lse, max, log);
    Descriptor weights = scores(g, s, CUDNN_DATA_BFLOAT16);
    graph_pointwise(g, CUDNN_POINTWISE_DIV, CUDNN_DATA_FLOAT, weights, x, sum);
    graph_matmul(g, rows(g, ID_OUT, s, s.H), weights, rows(g, ID_V, s, s.K));
}

/* The gradient of keys or values, weights^T x; where query heads share them, of every query head
 * first and then summed. */
static void build_key_gradient(CudnnGraph *g, const Piece &s, int64_t id, Descriptor weights,
                               Descriptor x)
{
    Descriptor transposed = graph_virtual(g, CUDNN_DATA_BFLOAT16, {{s.B, s.H, s.T, s.T}},
                                          {{s.H * s.T * s.T, s.T * s.T, 1, s.T}});
    graph_reshape(g, transposed, weights);
    Descriptor out = rows(g, id, s, s.K);
    if (s.H == s.K) {
        graph_matmul(g, out, transposed, x);
        return;
    }
    Descriptor every = graph_virtual(g, CUDNN_DATA_BFLOAT16, {{s.B, s.H, s.T, s.D}},
                                     {{s.H * s.T * s.D, s.T * s.D, s.D, 1}});
    graph_matmul(g, every, transposed, x);
    graph_reduce(g, CUDNN_REDUCE_TENSOR_ADD, out, every);
}

/* With delta = rowsum(dout * out) and p = exp(causal(scale q k^T - lse)): dv = p^T dout,
 * ds = scale (dout v^T - delta) p, dk = ds^T q, dq = ds k. That ds k goes to dq directly, not to a
 * sum in float32 beside it, is what asks for the engine whose sums have one order. */
static void build_backward(CudnnGraph *g, const Piece &s)
{
    Descriptor q = rows(g, ID_Q, s, s.H), k = rows(g, ID_K, s, s.K, true);
    Descriptor dout = rows(g, ID_DOUT, s, s.H), scale = graph_value(g, ID_SCALE);
    Descriptor product = graph_virtual(g, CUDNN_DATA_FLOAT, {{s.B, s.H, s.T, s.D}},
                                       {{s.H * s.T * s.D, s.T * s.D, s.H * s.D, 1}});
    graph_pointwise(g, CUDNN_POINTWISE_MUL, CUDNN_DATA_FLOAT, product, dout,
                    rows(g, ID_OUT, s, s.H));
    Descriptor sum = row_values(g, s), delta = statistic(g, ID_DELTA, s);
    graph_reduce(g, CUDNN_REDUCE_TENSOR_ADD, sum, product);
    graph_pointwise(g, CUDNN_POINTWISE_MUL, CUDNN_DATA_FLOAT, delta, sum, graph_value(g, ID_ONE));

    Descriptor x = scores(g, s);
    graph_matmul(g, x, q, k);
    x = score_op(g, s, CUDNN_POINTWISE_MUL, x, scale);
    x = score_op(g, s, CUDNN_POINTWISE_SUB, x, statistic(g, ID_LSE, s));
    Descriptor weights = score_op(g, s, CUDNN_POINTWISE_EXP, causal(g, s, x));
    build_key_gradient(g, s, ID_DV, weights, dout);

    x = scores(g, s);
    graph_matmul(g, x, dout, rows(g, ID_V, s, s.K, true));
    x = score_op(g, s, CUDNN_POINTWISE_SUB, x, delta);
    x = score_op(g, s, CUDNN_POINTWISE_MUL, x, weights);
    Descriptor ds = score_op(g, s, CUDNN_POINTWISE_MUL, x, scale);
    build_key_gradient(g, s, ID_DK, ds, q);

    Descriptor upright = graph_virtual(g, CUDNN_DATA_BFLOAT16, {{s.B, s.K, s.T, s.D}},
                                       {{s.T * s.K * s.D, s.D, s.K * s.D, 1}});
    graph_reshape(g, upright, k);
    graph_matmul(g, rows(g, ID_DQ, s, s.H), ds, upright);
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* Why the library cannot be used, or NULL. */
static const char *library_refuses()
{
    const Cudnn *api = cudnn_open();
    if (api->why[0])
        return api->why;
    return api->cudnnGetVersion() < OLDEST_VERSION ? "cuDNN is older than 9.1" : NULL;
}

/* cuDNN compiles a plan's kernels with NVRTC, which it looks for itself. */
static const char *compiler_version(char *text, size_t size)
{
    int major = 0, minor = 0;
    char name[32];
    snprintf(name, sizeof name, "libnvrtc.so.%d", CUDART_VERSION / 1000);
    void *file = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    int (*version)(int *, int *) = file ? (int (*)(int *, int *))dlsym(file, "nvrtcVersion") : NULL;
    if (!version || version(&major, &minor) != 0)
        return NULL;
    snprintf(text, size, "NVRTC %d.%d", major, minor);
    return text;
}

void attn_fused_library(Worker *out)
{
    const char *why = library_refuses(), *compiler;
    char text[32];
    if (why) {
        snprintf(out->why, sizeof out->why, "%s", why);
        return;
    }
    size_t version = cudnn_open()->cudnnGetVersion();
    compiler = compiler_version(text, sizeof text);
    snprintf(out->version, sizeof out->version, "cuDNN %zu.%zu.%zu%s%s", version / 10000,
             version / 100 % 100, version % 100, compiler ? " with " : "", compiler ? text : "");
    if (!compiler)
        snprintf(out->why, sizeof out->why,
                 "NVRTC, which cuDNN compiles its kernels with, was not found (%s)", dlerror());
}

static FusedCache *cache_new(Queue *queue)
{
    FusedCache *cache = (FusedCache *)xcalloc(1, sizeof *cache);
    const Cudnn *api = cudnn_open();
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    const char *why = library_refuses();
    if (why) {
        snprintf(cache->why, sizeof cache->why, "%s", why);
    } else if ((status = api->cudnnCreate(&cache->handle)) != CUDNN_STATUS_SUCCESS ||
               (status = api->cudnnSetStream(cache->handle, queue->stream)) !=
                   CUDNN_STATUS_SUCCESS) {
        snprintf(cache->why, sizeof cache->why, "cuDNN did not start (status %d)", (int)status);
        if (cache->handle)
            api->cudnnDestroy(cache->handle);
        cache->handle = NULL;
    }
    return cache;
}

void attn_fused_free(FusedCache *cache)
{
    if (!cache)
        return;
    for (int i = 0; i < cache->n_plans; i++) {
        graph_free(&cache->plans[i]->graph);
        free(cache->plans[i]);
    }
    if (cache->handle)
        cudnn_open()->cudnnDestroy(cache->handle);
    free(cache);
}

/* What cuDNN's engines ask of a shape before they are asked. */
static const char *shape_refused(const Piece &s, bool backward)
{
    if (s.D % 8 != 0)
        return "heads are no multiple of 8";
    if (backward && s.T % 128 != 0 && cudnn_open()->cudnnGetVersion() <= 91500)
        return "cuDNN up to 9.15 takes multiples of 128 positions only";
    return NULL;
}

static Plan *plan_find(FusedCache *cache, const Piece &s, bool backward, bool with_lse)
{
    for (int i = 0; i < cache->n_plans; i++) {
        Plan *plan = cache->plans[i];
        const Piece &p = plan->shape;
        if (p.B == s.B && p.T == s.T && p.H == s.H && p.K == s.K && p.D == s.D &&
            p.splits == s.splits && plan->backward == backward && plan->with_lse == with_lse)
            return plan;
    }
    return NULL;
}

/* The plan for a shape, made when it is first met. It stays as long as the queue, because recorded
 * graphs run its kernels. NULL, with `why`, where there is none. */
static Plan *plan_get(Queue *queue, const Piece &s, bool backward, bool with_lse, const char **why)
{
    if (!queue->fused)
        queue->fused = cache_new(queue);
    FusedCache *cache = queue->fused;
    *why = cache->handle ? shape_refused(s, backward) : cache->why;
    if (*why)
        return NULL;
    Plan *plan = plan_find(cache, s, backward, with_lse);
    if (!plan) {
        *why = queue->capturing          ? "the shape is new while work is being recorded"
               : cache->n_plans == PLANS ? "there are too many shapes"
                                         : NULL;
        if (*why)
            return NULL;
        plan = cache->plans[cache->n_plans++] = (Plan *)xcalloc(1, sizeof *plan);
        plan->shape = s;
        plan->backward = backward;
        plan->with_lse = with_lse;
        plan->graph.api = cudnn_open();
        plan->graph.handle = cache->handle;
        if (backward)
            build_backward(&plan->graph, s);
        else
            build_forward(&plan->graph, s, with_lse);
        int64_t most = (int64_t)(backward ? attn_groups_bytes(&s) : 0) + SPARE_WORKSPACE;
        graph_plan(&plan->graph, most < MOST_WORKSPACE ? most : MOST_WORKSPACE);
    }
    *why = plan->graph.why;
    return plan->graph.failed ? NULL : plan;
}

/* ---- running --------------------------------------------------------------------------------- */

/* What a graph is given. */
typedef struct Bindings {
    int64_t ids[TENSORS];
    void *data[TENSORS];
    int count;
} Bindings;

/* Tensors must lie as cuDNN was told, at multiples of 16 bytes. */
static bool bind(Bindings *b, int64_t id, void *data)
{
    b->ids[b->count] = id;
    b->data[b->count++] = data;
    return (uintptr_t)data % 16 == 0;
}

static bool run(Queue *queue, const Piece &s, bool backward, Bindings *b, float scale, bool aligned)
{
    const char *why = "a tensor is not aligned to 16 bytes";
    Work work = backward ? WORK_ATTENTION_GRADIENT : WORK_ATTENTION;
    bool with_lse = false;
    for (int i = 0; i < b->count; i++)
        with_lse = with_lse || b->ids[i] == ID_LSE;
    Plan *plan = aligned ? plan_get(queue, s, backward, with_lse, &why) : NULL;
    if (!plan) {
        library_refused(queue, work, why);
        return false;
    }
    void *workspace = queue_scratch(queue, (size_t)plan->graph.workspace, "attention by cuDNN");
    if (queue->failed)
        return false;
    float lowest = -FLT_MAX, one = 1.0f;
    bind(b, ID_SCALE, &scale);
    bind(b, ID_LOWEST, &lowest);
    if (backward)
        bind(b, ID_ONE, &one);
    bool done = graph_run(&plan->graph, b->ids, b->data, b->count, workspace);
    if (done)
        library_did(work);
    else
        library_refused(queue, work, plan->graph.why);
    return done;
}

bool attn_fused_forward(Queue *queue, const AttnArgs *args)
{
    Bindings b = {};
    bool aligned = bind(&b, ID_Q, args->q.data) && bind(&b, ID_K, args->k.data) &&
                   bind(&b, ID_V, args->v.data) && bind(&b, ID_OUT, args->out.data) &&
                   (!args->lse.data || bind(&b, ID_LSE, args->lse.data));
    return run(queue, {attn_check(args), 1}, false, &b, args->scale, aligned);
}

static bool backward_piece(Queue *queue, const Piece &s, const AttnBackwardArgs *args)
{
    Bindings b = {};
    bool aligned = bind(&b, ID_Q, args->q.data) && bind(&b, ID_K, args->k.data) &&
                   bind(&b, ID_V, args->v.data) && bind(&b, ID_OUT, args->out.data) &&
                   bind(&b, ID_LSE, args->lse.data) && bind(&b, ID_DOUT, args->dout.data) &&
                   bind(&b, ID_DELTA, args->scratch.data) && bind(&b, ID_DQ, args->dq.data) &&
                   bind(&b, ID_DK, args->dk.data) && bind(&b, ID_DV, args->dv.data);
    return run(queue, s, true, &b, args->scale, aligned);
}

/* Where a later piece fails, our own kernel does all anew. */
bool attn_fused_backward(Queue *queue, const AttnBackwardArgs *args)
{
    AttnShape whole = attn_backward_check(args);
    AttnGroups groups = attn_groups(&whole);
    for (int64_t piece = 0; piece < groups.count; piece++) {
        AttnBackwardArgs part = attn_groups_piece(&groups, args, piece);
        if (!backward_piece(queue, {groups.part, groups.splits}, &part))
            return false;
    }
    return true;
}

#else /* built without cuDNN's headers */

static const char *const not_built = "this program was built without cuDNN's headers";

void attn_fused_library(Worker *out)
{
    snprintf(out->why, sizeof out->why, "%s", not_built);
}

void attn_fused_free(FusedCache *)
{
}

bool attn_fused_forward(Queue *queue, const AttnArgs *)
{
    library_refused(queue, WORK_ATTENTION, not_built);
    return false;
}

bool attn_fused_backward(Queue *queue, const AttnBackwardArgs *)
{
    library_refused(queue, WORK_ATTENTION_GRADIENT, not_built);
    return false;
}

#endif
