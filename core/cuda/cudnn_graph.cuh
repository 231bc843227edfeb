/* Graphs of operations for cuDNN, through its C backend interface.
 *
 * The library is opened when it is first wanted and never linked, so that the plug-in loads without
 * it. A graph is built by the calls below in any order of operations; the first call that fails
 * keeps its reason in `why`, and those after it do nothing. */
#ifndef CAMBIUM_CORE_CUDA_CUDNN_GRAPH_CUH
#define CAMBIUM_CORE_CUDA_CUDNN_GRAPH_CUH

#include <cudnn_graph.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/cuda/cuda.h"

typedef cudnnBackendDescriptor_t Descriptor;

/* ---- the library ----------------------------------------------------------------------------- */

#define CUDNN_FUNCTIONS(X)                                                                         \
    X(cudnnGetVersion)                                                                             \
    X(cudnnGetLastErrorString)                                                                     \
    X(cudnnCreate)                                                                                 \
    X(cudnnDestroy)                                                                                \
    X(cudnnSetStream)                                                                              \
    X(cudnnBackendCreateDescriptor)                                                                \
    X(cudnnBackendDestroyDescriptor)                                                               \
    X(cudnnBackendSetAttribute)                                                                    \
    X(cudnnBackendGetAttribute)                                                                    \
    X(cudnnBackendFinalize)                                                                        \
    X(cudnnBackendExecute)

struct Cudnn {
#define CUDNN_POINTER(name) decltype(&::name) name;
    CUDNN_FUNCTIONS(CUDNN_POINTER)
#undef CUDNN_POINTER
    char why[200]; /* it cannot be used; empty where it can */
};

static Cudnn cudnn_library;

static void cudnn_load()
{
    Cudnn *api = &cudnn_library;
    void *file = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (!file) {
        snprintf(api->why, sizeof api->why, "cuDNN 9 was not found (%s)", dlerror());
        return;
    }
#define CUDNN_LOAD(name)                                                                           \
    api->name = (decltype(&::name))dlsym(file, #name);                                             \
    if (!api->name)                                                                                \
        snprintf(api->why, sizeof api->why, "libcudnn.so.9 lacks " #name);
    CUDNN_FUNCTIONS(CUDNN_LOAD)
#undef CUDNN_LOAD
}

/* The library, opened once for the process; look at `why` before using it. */
static const Cudnn *cudnn_open()
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, cudnn_load);
    return &cudnn_library;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

enum { GRAPH_DESCRIPTORS = 256, GRAPH_OPS = 48, GRAPH_CONFIGS = 8, GRAPH_FIRST_VIRTUAL = 100 };

/* A graph and, once it is planned, how it is run. Everything it is made of lives until graph_free.
 */
struct CudnnGraph {
    const Cudnn *api;
    cudnnHandle_t handle;
    Descriptor kept[GRAPH_DESCRIPTORS], ops[GRAPH_OPS];
    int n_kept, n_ops;
    int64_t n_virtual;
    Descriptor plan;
    int64_t workspace; /* bytes */
    bool failed;
    char why[300];
};

static bool graph_check(CudnnGraph *g, cudnnStatus_t status, const char *what)
{
    if (!g->failed && status != CUDNN_STATUS_SUCCESS) {
        char text[220] = "";
        g->api->cudnnGetLastErrorString(text, sizeof text);
        snprintf(g->why, sizeof g->why, "it refuses %s (%d%s%s)", what, (int)status,
                 text[0] ? ": " : "", text);
        g->failed = true;
    }
    return !g->failed;
}

static Descriptor graph_new(CudnnGraph *g, cudnnBackendDescriptorType_t type)
{
    Descriptor made = NULL;
    CHECK(g->n_kept < GRAPH_DESCRIPTORS, "a graph of more than %d parts", GRAPH_DESCRIPTORS);
    if (!g->failed &&
        graph_check(g, g->api->cudnnBackendCreateDescriptor(type, &made), "a descriptor"))
        g->kept[g->n_kept++] = made;
    return made;
}

/* Which of cuDNN's types an attribute's values have. */
static constexpr cudnnBackendAttributeType_t graph_type(const Descriptor *)
{
    return CUDNN_TYPE_BACKEND_DESCRIPTOR;
}
static constexpr cudnnBackendAttributeType_t graph_type(const cudnnHandle_t *)
{
    return CUDNN_TYPE_HANDLE;
}
static constexpr cudnnBackendAttributeType_t graph_type(const cudnnDataType_t *)
{
    return CUDNN_TYPE_DATA_TYPE;
}
static constexpr cudnnBackendAttributeType_t graph_type(const int64_t *)
{
    return CUDNN_TYPE_INT64;
}
static constexpr cudnnBackendAttributeType_t graph_type(const bool *)
{
    return CUDNN_TYPE_BOOLEAN;
}
static constexpr cudnnBackendAttributeType_t graph_type(const cudnnPointwiseMode_t *)
{
    return CUDNN_TYPE_POINTWISE_MODE;
}
static constexpr cudnnBackendAttributeType_t graph_type(const cudnnReduceTensorOp_t *)
{
    return CUDNN_TYPE_REDUCTION_OPERATOR_TYPE;
}
static constexpr cudnnBackendAttributeType_t graph_type(const cudnnBackendHeurMode_t *)
{
    return CUDNN_TYPE_HEUR_MODE;
}
static void graph_set_as(CudnnGraph *g, Descriptor to, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, const void *values, int64_t count,
                         const char *what)
{
    if (!g->failed)
        graph_check(g, g->api->cudnnBackendSetAttribute(to, name, type, count, values), what);
}

template <typename V>
static void graph_set(CudnnGraph *g, Descriptor to, cudnnBackendAttributeName_t name,
                      const V *values, int64_t count, const char *what)
{
    graph_set_as(g, to, name, graph_type(values), values, count, what);
}

template <typename V>
static void graph_set(CudnnGraph *g, Descriptor to, cudnnBackendAttributeName_t name, V value,
                      const char *what)
{
    graph_set(g, to, name, &value, 1, what);
}

static void graph_finish(CudnnGraph *g, Descriptor descriptor, const char *what)
{
    if (!g->failed)
        graph_check(g, g->api->cudnnBackendFinalize(descriptor), what);
}

static void graph_free(CudnnGraph *g)
{
    while (g->n_kept > 0)
        g->api->cudnnBackendDestroyDescriptor(g->kept[--g->n_kept]);
}

/* ---- tensors --------------------------------------------------------------------------------- */

struct Extent {
    int64_t at[4];
};

enum TensorKind { TENSOR_STORED, TENSOR_VALUE, TENSOR_VIRTUAL };

/* `id` names the tensor when the graph is run. A value is a number in host memory. */
static Descriptor graph_tensor(CudnnGraph *g, TensorKind kind, int64_t id, cudnnDataType_t type,
                               Extent dims, Extent strides)
{
    static const char *const what = "a tensor";
    Descriptor t = graph_new(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(g, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, id, what);
    graph_set(g, t, CUDNN_ATTR_TENSOR_DATA_TYPE, type, what);
    graph_set(g, t, CUDNN_ATTR_TENSOR_DIMENSIONS, dims.at, 4, what);
    graph_set(g, t, CUDNN_ATTR_TENSOR_STRIDES, strides.at, 4, what);
    graph_set(g, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, (int64_t)16, what);
    graph_set(g, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, kind == TENSOR_VIRTUAL, what);
    graph_set(g, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, kind == TENSOR_VALUE, what);
    graph_finish(g, t, what);
    return t;
}

/* What flows from one operation to the next. */
static Descriptor graph_virtual(CudnnGraph *g, cudnnDataType_t type, Extent dims, Extent strides)
{
    return graph_tensor(g, TENSOR_VIRTUAL, GRAPH_FIRST_VIRTUAL + g->n_virtual++, type, dims,
                        strides);
}

static Descriptor graph_value(CudnnGraph *g, int64_t id)
{
    Extent one = {{1, 1, 1, 1}};
    return graph_tensor(g, TENSOR_VALUE, id, CUDNN_DATA_FLOAT, one, one);
}

/* ---- operations ------------------------------------------------------------------------------ */

static void graph_add(CudnnGraph *g, Descriptor op, const char *what)
{
    CHECK(g->n_ops < GRAPH_OPS, "a graph of more than %d operations", GRAPH_OPS);
    graph_finish(g, op, what);
    g->ops[g->n_ops++] = op;
}

/* y = mode(x), mode(x, b) or, with a mask, x where it holds and else b. `axis` is that of
 * CUDNN_POINTWISE_GEN_INDEX. */
static void graph_pointwise(CudnnGraph *g, cudnnPointwiseMode_t mode, cudnnDataType_t precision,
                            Descriptor y, Descriptor x, Descriptor b = NULL, Descriptor mask = NULL,
                            int64_t axis = -1)
{
    static const char *const what = "a pointwise operation";
    Descriptor how = graph_new(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    graph_set(g, how, CUDNN_ATTR_POINTWISE_MODE, mode, what);
    graph_set(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, precision, what);
    if (axis >= 0)
        graph_set(g, how, CUDNN_ATTR_POINTWISE_AXIS, axis, what);
    graph_finish(g, how, what);
    Descriptor op = graph_new(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    graph_set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how, what);
    graph_set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x, what);
    if (b)
        graph_set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b, what);
    if (mask)
        graph_set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, mask, what);
    graph_set(g, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y, what);
    graph_add(g, op, what);
}

/* c = a b, of the last two dimensions; a's heads may be a multiple of b's. */
static void graph_matmul(CudnnGraph *g, Descriptor c, Descriptor a, Descriptor b)
{
    static const char *const what = "a matrix product";
    Descriptor how = graph_new(g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    graph_set(g, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT, what);
    graph_finish(g, how, what);
    Descriptor op = graph_new(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    graph_set(g, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, how, what);
    graph_set(g, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a, what);
    graph_set(g, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b, what);
    graph_set(g, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c, what);
    graph_add(g, op, what);
}

/* y = x summed (or its maximum) over the dimensions in which y is narrower. */
static void graph_reduce(CudnnGraph *g, cudnnReduceTensorOp_t mode, Descriptor y, Descriptor x)
{
    static const char *const what = "a reduction";
    Descriptor how = graph_new(g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    graph_set(g, how, CUDNN_ATTR_REDUCTION_OPERATOR, mode, what);
    graph_set(g, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT, what);
    graph_finish(g, how, what);
    Descriptor op = graph_new(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    graph_set(g, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how, what);
    graph_set(g, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x, what);
    graph_set(g, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y, what);
    graph_add(g, op, what);
}

/* y is x seen with other dimensions and strides. */
static void graph_reshape(CudnnGraph *g, Descriptor y, Descriptor x)
{
    static const char *const what = "a change of shape";
    Descriptor op = graph_new(g, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    graph_set(g, op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x, what);
    graph_set(g, op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y, what);
    graph_add(g, op, what);
}

/* ---- plans ----------------------------------------------------------------------------------- */

/* Whether an engine's sums may come out differently from run to run. */
static bool config_varies(CudnnGraph *g, Descriptor config)
{
    Descriptor engine = graph_new(g, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    if (!engine ||
        g->api->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                         &engine) != CUDNN_STATUS_SUCCESS ||
        g->api->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                         CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
                                         &count, notes) != CUDNN_STATUS_SUCCESS)
        return true;
    for (int64_t i = 0; i < count && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++)
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)
            return true;
    return false;
}

/* Makes a plan of one proposal; false where it cannot be run or wants too much memory. */
static bool plan_config(CudnnGraph *g, Descriptor config, int64_t most_workspace)
{
    static const char *const what = "a plan";
    Descriptor plan = graph_new(g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    int64_t count = 0;
    graph_set(g, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, g->handle, what);
    graph_set(g, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config, what);
    graph_finish(g, plan, what);
    if (!g->failed)
        graph_check(g,
                    g->api->cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                     CUDNN_TYPE_INT64, 1, &count, &g->workspace),
                    what);
    if (!g->failed && g->workspace > most_workspace) {
        snprintf(g->why, sizeof g->why, "it wants a workspace of %.2f GB",
                 (double)g->workspace / 1e9);
        g->failed = true;
    }
    if (!g->failed)
        g->plan = plan;
    return !g->failed;
}

/* Takes the first proposal of one kind of heuristics that can be used. */
static bool plan_mode(CudnnGraph *g, Descriptor graph, cudnnBackendHeurMode_t mode,
                      int64_t most_workspace)
{
    static const char *const what = "the graph";
    Descriptor heuristics = graph_new(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    Descriptor configs[GRAPH_CONFIGS];
    int64_t count = 0;
    graph_set(g, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph, what);
    graph_set(g, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, mode, what);
    graph_finish(g, heuristics, what);
    for (int i = 0; i < GRAPH_CONFIGS; i++)
        configs[i] = graph_new(g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (!g->failed)
        graph_check(g,
                    g->api->cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, GRAPH_CONFIGS,
                                                     &count, configs),
                    what);
    if (g->failed)
        return false;
    for (int64_t i = 0; i < count && i < GRAPH_CONFIGS; i++) {
        g->failed = false; /* of the proposal before */
        if (config_varies(g, configs[i])) {
            snprintf(g->why, sizeof g->why, "its sums would have no fixed order");
            g->failed = true;
        } else if (plan_config(g, configs[i], most_workspace)) {
            return true;
        }
    }
    if (count == 0 && !g->why[0])
        snprintf(g->why, sizeof g->why, "it knows no way to do this shape");
    g->failed = true;
    return false;
}

/* Plans the finished graph; false, with `why`, where cuDNN cannot run it reproducibly within
 * `most_workspace` bytes. */
static bool graph_plan(CudnnGraph *g, int64_t most_workspace)
{
    Descriptor graph = graph_new(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph_set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, g->handle, "the graph");
    graph_set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, g->ops, g->n_ops, "the graph");
    graph_finish(g, graph, "the graph");
    if (g->failed || plan_mode(g, graph, CUDNN_HEUR_MODE_A, most_workspace))
        return !g->failed;
    g->failed = false;
    return plan_mode(g, graph, CUDNN_HEUR_MODE_FALLBACK, most_workspace);
}

/* Enqueues a planned graph: data[i] is the address of tensor ids[i]. */
static bool graph_run(CudnnGraph *g, const int64_t *ids, void *const *data, int64_t count,
                      void *workspace)
{
    static const char *const what = "to run";
    int n_kept = g->n_kept;
    Descriptor pack = graph_new(g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    graph_set(g, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids, count, what);
    graph_set_as(g, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, data, count,
                 what);
    graph_set_as(g, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, &workspace, 1,
                 what);
    graph_finish(g, pack, what);
    if (!g->failed)
        graph_check(g, g->api->cudnnBackendExecute(g->handle, g->plan, pack), what);
    if (g->n_kept > n_kept)
        g->api->cudnnBackendDestroyDescriptor(g->kept[--g->n_kept]);
    return !g->failed;
}

#endif
