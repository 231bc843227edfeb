/* What the host side of every CUDA operation stands on: queues, scratch, launches, choice of types.
 *
 * An operation checks its arguments, takes scratch where it needs some, and launches kernels on its
 * queue's stream; it never waits and never allocates after its first call with these sizes. What
 * fails on the way is kept in the queue and told by queue_wait. */
#ifndef CAMBIUM_CORE_CUDA_CUDA_H
#define CAMBIUM_CORE_CUDA_CUDA_H

extern "C" {
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/tensor/attn_check.h"
#include "core/tensor/backend.h"
#include "core/tensor/shapes.h"
}
#include "core/cuda/device.cuh"

typedef struct LtCache LtCache;       /* products.cu */
typedef struct FusedCache FusedCache; /* attn_fused.cu */

struct Queue {
    cudaStream_t stream;
    void *scratch;
    size_t scratch_bytes;
    uint64_t scratch_moves; /* how often the scratch was taken anew */
    bool capturing;
    bool failed;
    Err err; /* the first failure, where `failed` */
    LtCache *products;
    FusedCache *fused;
};

/* Device memory of the queue, 256-byte aligned, valid until the next call for it: an operation
 * takes all it needs at once. NULL (and a failed queue) when there is none left: return then.
 * Graphs recorded before the call that makes it grow are stale (Backend's graph_stale). */
void *queue_scratch(Queue *queue, size_t bytes, const char *what);

/* What a queue takes from the device where the most that is wanted of its scratch is `bytes`. */
size_t scratch_size(size_t bytes);

/* Device memory that the caller keeps and frees (cudaFree). NULL, and a failed queue, when there is
 * none left. */
void *queue_memory(Queue *queue, size_t bytes, const char *what);

/* Enqueue a copy within the device's memory, and zeros. */
void queue_copy(Queue *queue, void *to, const void *from, size_t bytes);
void queue_zero(Queue *queue, void *device, size_t bytes);

/* Keeps the first failure of a queue; true when `code` is none. */
bool queue_check(Queue *queue, cudaError_t code, const char *what);

/* Streaming multiprocessors of the device in use. */
int device_processors();

/* Shared memory in bytes, a kernel's static share included, that a block may have, and that the
 * blocks of one processor have together (each takes 1 KB more than it asks for). */
size_t device_block_shared();
size_t device_processor_shared();

/* What a block may have on every device that the backend accepts (8.6, 8.9 and 12.0: 99 KB). A
 * kernel that wants more has a smaller form beside it. */
static constexpr size_t BLOCK_SHARED_LEAST = 99 * 1024;

/* Lets a kernel have `dynamic` bytes of shared memory besides its static ones. False, and a failed
 * queue, where the device has fewer. */
bool queue_shared(Queue *queue, const void *kernel, size_t dynamic);

/* The address of element `index`, or NULL where the tensor is absent. */
template <typename T> T *device_at(const Tensor *t, int64_t index = 0)
{
    return t->data ? (T *)t->data + index : (T *)0;
}

/* grid and block count threads; `shared` is dynamic shared memory in bytes. */
template <auto Kernel, typename... Args>
void launch(Queue *queue, dim3 grid, dim3 block, size_t shared, Args... args)
{
    if (queue->failed || grid.x == 0 || grid.y == 0 || grid.z == 0)
        return;
    if (shared > 0 && !queue_shared(queue, (const void *)Kernel, shared))
        return;
#ifdef CAMBIUM_EMULATE
    emulate_launch<Kernel>(
        queue->stream, grid, block, shared, [=] { Kernel(args...); }, emulate_bytes(args...));
#else
    Kernel<<<grid, block, shared, queue->stream>>>(args...);
#endif
    queue_check(queue, cudaGetLastError(), "launching a kernel");
}

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Blocks for `n` elements, `per_block` in each, for kernels that stride over what is left: at most
 * a few waves of the device. */
static inline unsigned stride_blocks(int64_t n, int64_t per_block)
{
    int64_t blocks = ceil_div(n, per_block), most = (int64_t)device_processors() * 16;
    return (unsigned)(blocks < most ? blocks : most);
}

/* Threads of a block that works on one row of `n` elements: whole warps, at most `most`. */
static inline unsigned row_threads(int64_t n, int64_t most = 256)
{
    return (unsigned)(n >= most ? most : ceil_div(n < 1 ? 1 : n, WARP) * WARP);
}

template <typename T> struct Type {
    using type = T;
};

/* Calls f(Type<float>()) or f(Type<bf16>()). */
template <typename F> void with_type(DType dtype, F f)
{
    if (dtype == DTYPE_F32)
        f(Type<float>());
    else
        f(Type<bf16>());
}

/* The same for the pages of a KV store, which may also be int8. */
template <typename F> void with_page_type(DType dtype, F f)
{
    if (dtype == DTYPE_I8)
        f(Type<int8_t>());
    else
        with_type(dtype, f);
}

/* Whether accesses of `bytes` may start there; an absent tensor (NULL) is in nobody's way. */
static inline bool aligned_to(const void *address, size_t bytes)
{
    return (uintptr_t)address % bytes == 0;
}

/* Bytes that operations take at most: products with int8 weights, decode attention. */
size_t gemm_i8_scratch();
size_t attn_decode_scratch(int64_t head_dim);
/* As Backend's. */
size_t cuda_loss_scratch(const HeadLossArgs *shapes, const AttnShape *attn);
size_t cuda_decode_scratch(const HeadLossArgs *scoring, int64_t head_dim, DType weights);

/* The operations, as the table wants them: cuda_gemm(queue, args) and so on. */
#define CUDA_OP(name, Args, f32, bf16) void cuda_##name(Queue *queue, const Args *args);
CAMBIUM_OPS(CUDA_OP)
#undef CUDA_OP

#endif
