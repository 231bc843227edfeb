/* A stand-in for cuBLASLt: products are made on the host. */
#include "core/cuda/emulate/tasks.h"
#include "core/cuda/libraries.h"
#include "core/cuda/products.h"

#include <stdio.h>
#include <stdlib.h>

enum { WORKSPACE = 64 << 10 };

/* The workspace is nobody's but takes memory, like the real one. */
struct LtCache {
    void *workspace;
};

size_t products_workspace()
{
    return WORKSPACE;
}

void products_free(LtCache *cache)
{
    if (cache)
        cudaFree(cache->workspace);
    free(cache);
}

static bool have_workspace(Queue *queue)
{
    if (queue->products)
        return true;
    CHECK(!queue->capturing, "a queue's first product while work is being recorded");
    void *workspace = queue_memory(queue, WORKSPACE, "the workspace of matrix products");
    if (!workspace)
        return false;
    queue->products = (LtCache *)xcalloc(1, sizeof *queue->products);
    queue->products->workspace = workspace;
    return true;
}

void products_library(Worker *out)
{
    snprintf(out->version, sizeof out->version, "emulated cuBLASLt 0.0.0");
}

/* A product as cuBLASLt makes it, on the host. It refuses sizes that are not multiples of four, so
 * that what follows a library's product and our own kernel both run in tests. */
static void product(const GemmArgs &args, GemmDims d)
{
    int64_t a_row = args.a_transposed ? 1 : d.K, a_k = args.a_transposed ? d.M : 1;
    int64_t b_row = args.b_transposed ? d.K : 1, b_k = args.b_transposed ? 1 : d.N;
    with_type(args.a.dtype, [&](auto in) {
        with_type(args.c.dtype, [&](auto out) {
            using T = typename decltype(in)::type;
            using C = typename decltype(out)::type;
            const T *a = device_at<T>(&args.a), *b = device_at<T>(&args.b);
            for (int64_t i = 0; i < d.M * d.N; i++) {
                C *c = device_at<C>(&args.c, i);
                float sum = args.bias.data ? *device_at<float>(&args.bias, i % d.N) : 0.0f;
                for (int64_t k = 0; k < d.K; k++)
                    sum +=
                        to_f32(a[i / d.N * a_row + k * a_k]) * to_f32(b[i % d.N * b_row + k * b_k]);
                *c = from_f32<C>(args.accumulate ? sum + to_f32(*c) : sum);
            }
        });
    });
}

bool products_run(Queue *queue, const GemmArgs *args)
{
    GemmArgs copy = *args;
    GemmDims d = gemm_dims(args);
    CHECK(args->act == ACT_NONE && (!args->bias.data || args->c.dtype == DTYPE_F32),
          "not a product of cuBLASLt's");
    if (queue->failed || !have_workspace(queue))
        return false;
    if (d.N % 4 != 0 || d.K % 4 != 0 || d.K == 0) {
        library_refused(queue, WORK_PRODUCTS, "the emulated cuBLASLt takes multiples of 4");
        return false;
    }
    emulate_enqueue(queue->stream, {"a product", emulate_bytes(copy)}, [=] { product(copy, d); });
    library_did(WORK_PRODUCTS);
    return true;
}
