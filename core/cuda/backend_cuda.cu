/* The table of the CUDA backend: memory, queues, events, graphs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cuda/attn_fused.h"
#include "core/cuda/cuda.h"
#include "core/cuda/libraries.h"
#include "core/cuda/products.h"

static char description[512];
static int processors;
static size_t block_shared, processor_shared;

int device_processors()
{
    return processors;
}

size_t device_block_shared()
{
    return block_shared;
}

size_t device_processor_shared()
{
    return processor_shared;
}

static const char *cuda_description()
{
    return description;
}

/* ---- errors --------------------------------------------------------------------------------- */

bool queue_check(Queue *queue, cudaError_t code, const char *what)
{
    if (code == cudaSuccess)
        return true;
    if (!queue->failed) {
        queue->failed = true;
        err_set(&queue->err, "the GPU failed (%s): %s", what, cudaGetErrorString(code));
    }
    return false;
}

/* A size in words, in the caller's buffer. */
static const char *size_text(size_t bytes, char *text, size_t size)
{
    if (bytes >= (size_t)1 << 30)
        snprintf(text, size, "%.2f GB", (double)bytes / 1e9);
    else
        snprintf(text, size, "%.1f MB", (double)bytes / 1e6);
    return text;
}

/* What to change when memory ends, by what was being allocated. */
static const char *remedy(const char *what)
{
    static const char *const known[][2] = {
        {"activations", "use a smaller --micro-batch or --context"},
        {"kernel scratch", "use a smaller --micro-batch or --context"},
        {"optimizer", "train fewer blocks at a time (cambium grow) or a smaller model"},
        {"gradient", "train fewer blocks at a time (cambium grow) or a smaller model"},
        {"KV", "use a shorter --context, fewer sequences at once or --kv int8"},
        {"decoder", "use fewer sequences at once"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(what, known[i][0]))
            return known[i][1];
    return "use narrower --weights, a smaller model or --device cpu";
}

static Status out_of_memory(Err *err, size_t bytes, const char *what)
{
    size_t free_bytes = 0, total = 0;
    cudaMemGetInfo(&free_bytes, &total);
    char asked[32], left[32], all[32];
    return err_set(err, "the GPU has no %s for %s: %s of %s are free; %s",
                   size_text(bytes, asked, sizeof asked), what,
                   size_text(free_bytes, left, sizeof left), size_text(total, all, sizeof all),
                   remedy(what));
}

/* ---- memory --------------------------------------------------------------------------------- */

static Status cuda_alloc(void **out, size_t bytes, const char *what, Err *err)
{
    cudaError_t code = cudaMalloc(out, bytes ? bytes : (size_t)MEM_ALIGN);
    if (code == cudaSuccess)
        return STATUS_OK;
    *out = NULL;
    cudaGetLastError(); /* the next call must not see this failure */
    if (code == cudaErrorMemoryAllocation)
        return out_of_memory(err, bytes, what);
    return err_set(err, "the GPU gave no memory for %s: %s", what, cudaGetErrorString(code));
}

static void cuda_free(void *data)
{
    cudaFree(data);
}

void *queue_memory(Queue *queue, size_t bytes, const char *what)
{
    void *memory = NULL;
    if (!queue->failed && cuda_alloc(&memory, bytes, what, &queue->err) != STATUS_OK)
        queue->failed = true;
    return memory;
}

/* The driver gives memory in pieces of 2 MiB: to take them whole costs nothing and spares moves.
 * Under emulation it ends where it must, so that what reaches beyond is found. */
#ifdef CAMBIUM_EMULATE
static const size_t SCRATCH_PIECE = 1;
#else
static const size_t SCRATCH_PIECE = (size_t)2 << 20;
#endif

size_t scratch_size(size_t bytes)
{
    return (bytes + SCRATCH_PIECE - 1) / SCRATCH_PIECE * SCRATCH_PIECE;
}

/* Recorded graphs hold the address. Those that were recorded before it changes are made anew: that
 * takes some milliseconds of the host's time when they are next wanted, after each of the few moves
 * that there are before the largest operation has run once, and there is never more than one block,
 * which the plan can count. The other ways cost more. Old blocks that stay while a graph holds them
 * add up: a pass of bfloat16 keeps half as much again beside what its evaluation in float32 wants,
 * a decoder a block for each number of rows. Address space that is reserved once and mapped as the
 * scratch grows needs the driver's interface (a dozen calls and their clean-up) for the same. */
void *queue_scratch(Queue *queue, size_t bytes, const char *what)
{
    if (queue->failed)
        return NULL;
    if (queue->scratch && bytes <= queue->scratch_bytes)
        return queue->scratch;
    CHECK(!queue->capturing, "%s wants new scratch while work is being recorded", what);
    if (queue->scratch && !queue_check(queue, cudaStreamSynchronize(queue->stream), what))
        return NULL;
    cudaFree(queue->scratch);
    queue->scratch = NULL;
    queue->scratch_bytes = 0;
    queue->scratch_moves++;
    char name[96];
    snprintf(name, sizeof name, "the kernel scratch of %s", what);
    bytes = scratch_size(bytes);
    queue->scratch = queue_memory(queue, bytes, name);
    queue->scratch_bytes = queue->scratch ? bytes : 0;
    return queue->scratch;
}

static void move(Queue *queue, void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    if (bytes && !queue->failed)
        queue_check(queue, cudaMemcpyAsync(to, from, bytes, kind, queue->stream), "copying");
}

static void cuda_upload(Queue *queue, void *device, const void *host, size_t bytes)
{
    move(queue, device, host, bytes, cudaMemcpyHostToDevice);
}

static void cuda_download(Queue *queue, void *host, const void *device, size_t bytes)
{
    move(queue, host, device, bytes, cudaMemcpyDeviceToHost);
}

void queue_copy(Queue *queue, void *to, const void *from, size_t bytes)
{
    move(queue, to, from, bytes, cudaMemcpyDeviceToDevice);
}

void queue_zero(Queue *queue, void *device, size_t bytes)
{
    if (bytes && !queue->failed)
        queue_check(queue, cudaMemsetAsync(device, 0, bytes, queue->stream), "clearing memory");
}

static void *cuda_adopt(const void *, size_t)
{
    return NULL; /* kernels read the device's own memory only */
}

/* ---- launches -------------------------------------------------------------------------------- */

bool queue_shared(Queue *queue, const void *kernel, size_t dynamic)
{
    cudaFuncAttributes have;
    if (!queue_check(queue, cudaFuncGetAttributes(&have, kernel), "asking about a kernel"))
        return false;
    if (dynamic <= (size_t)have.maxDynamicSharedSizeBytes)
        return true;
    size_t most = block_shared - have.sharedSizeBytes;
    if (dynamic <= most) /* all there is: another thread's launch may want more than this one */
        return queue_check(
            queue,
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)most),
            "giving a kernel shared memory");
    const char *name = "a kernel";
    cudaFuncGetName(&name, kernel);
    queue->failed = true;
    err_set(&queue->err,
            "a block of %s needs %zu bytes of shared memory, this GPU has %zu; use --device cpu",
            name, have.sharedSizeBytes + dynamic, block_shared);
    return false;
}

/* ---- queues, events, graphs ------------------------------------------------------------------ */

static void cuda_queue_free(Queue *queue)
{
    if (!queue)
        return;
    cudaStreamSynchronize(queue->stream);
    products_free(queue->products);
    attn_fused_free(queue->fused);
    cudaFree(queue->scratch);
    cudaStreamDestroy(queue->stream);
    free(queue);
}

static Status cuda_queue_new(Queue **out, Err *err)
{
    Queue *queue = (Queue *)xcalloc(1, sizeof *queue);
    cudaError_t code = cudaStreamCreateWithFlags(&queue->stream, cudaStreamNonBlocking);
    if (code != cudaSuccess) {
        free(queue);
        return err_set(err, "the GPU gave no stream: %s", cudaGetErrorString(code));
    }
    *out = queue;
    return STATUS_OK;
}

/* Whoever waits for the queue comes to look after this: its stream has not ended yet. */
static void cuda_queue_fail(Queue *queue, const char *why)
{
    if (__atomic_load_n(&queue->failed, __ATOMIC_ACQUIRE))
        return;
    err_set(&queue->err, "%s", why);
    __atomic_store_n(&queue->failed, true, __ATOMIC_RELEASE);
}

static Status cuda_queue_wait(Queue *queue, Err *err)
{
    queue_check(queue, cudaStreamSynchronize(queue->stream), "running what was enqueued");
    if (!queue->failed)
        return STATUS_OK;
    return err_set(err, "%s", queue->err.text);
}

struct Event {
    cudaEvent_t event;
};

static Status make_event(Event **out, unsigned flags, Err *err)
{
    Event *event = (Event *)xcalloc(1, sizeof *event);
    cudaError_t code = cudaEventCreateWithFlags(&event->event, flags);
    if (code != cudaSuccess) {
        free(event);
        return err_set(err, "the GPU gave no event: %s", cudaGetErrorString(code));
    }
    *out = event;
    return STATUS_OK;
}

static Status cuda_event_new(Event **out, Err *err)
{
    return make_event(out, cudaEventDisableTiming, err);
}

static Status cuda_timer_new(Event **out, Err *err)
{
    return make_event(out, cudaEventDefault, err);
}

/* 0 where the queue has failed: its events were not passed. */
static double cuda_timer_seconds(const Event *begin, const Event *end)
{
    float milliseconds = 0.0f;
    if (cudaEventElapsedTime(&milliseconds, begin->event, end->event) != cudaSuccess) {
        cudaGetLastError(); /* the next call must not see this failure */
        return 0.0;
    }
    return (double)milliseconds * 1e-3;
}

static void cuda_event_free(Event *event)
{
    if (event)
        cudaEventDestroy(event->event);
    free(event);
}

static void cuda_event_record(Queue *queue, Event *event)
{
    queue_check(queue, cudaEventRecord(event->event, queue->stream), "recording an event");
}

static void cuda_event_wait(Queue *queue, Event *event)
{
    queue_check(queue, cudaStreamWaitEvent(queue->stream, event->event, 0), "waiting for an event");
}

struct Graph {
    cudaGraphExec_t exec;
    uint64_t scratch_moves; /* the queue's when it was recorded */
};

static void cuda_capture_begin(Queue *queue)
{
    queue_check(queue, cudaStreamBeginCapture(queue->stream, cudaStreamCaptureModeThreadLocal),
                "recording work");
    queue->capturing = true;
}

static Status cuda_capture_end(Queue *queue, Graph **out, Err *err)
{
    cudaGraph_t recorded = NULL;
    cudaGraphExec_t exec = NULL;
    queue->capturing = false;
    *out = NULL;
    queue_check(queue, cudaStreamEndCapture(queue->stream, &recorded), "recording work");
    if (!queue->failed) /* else operations are missing in it */
        queue_check(queue, cudaGraphInstantiate(&exec, recorded, 0), "making a graph");
    if (recorded)
        cudaGraphDestroy(recorded);
    if (queue->failed)
        return err_set(err, "%s", queue->err.text);
    *out = (Graph *)xcalloc(1, sizeof **out);
    (*out)->exec = exec;
    (*out)->scratch_moves = queue->scratch_moves;
    return STATUS_OK;
}

static bool cuda_graph_stale(const Queue *queue, const Graph *graph)
{
    return graph->scratch_moves != queue->scratch_moves;
}

#ifdef CAMBIUM_EMULATE
static const char *cuda_graph_difference(const Graph *before, const Graph *now)
{
    return emulate_difference(before->exec, now->exec);
}
#endif

static void cuda_graph_launch(Queue *queue, Graph *graph)
{
    CHECK(!cuda_graph_stale(queue, graph), "a stale graph is launched");
    if (!queue->failed)
        queue_check(queue, cudaGraphLaunch(graph->exec, queue->stream), "launching a graph");
}

static void cuda_graph_free(Graph *graph)
{
    if (graph)
        cudaGraphExecDestroy(graph->exec);
    free(graph);
}

static void cuda_memory(size_t *free_bytes, size_t *total_bytes)
{
    *free_bytes = *total_bytes = 0;
    cudaMemGetInfo(free_bytes, total_bytes);
}

static void *cuda_native_stream(Queue *queue)
{
    return (void *)queue->stream;
}

/* ---- the table ------------------------------------------------------------------------------- */

static Backend cuda;

static void fill_table()
{
    cuda.abi = BACKEND_ABI;
    cuda.name = "cuda";
    cuda.description = cuda_description;
    cuda.alloc = cuda_alloc;
    cuda.free = cuda_free;
    cuda.upload = cuda_upload;
    cuda.download = cuda_download;
    cuda.copy = queue_copy;
    cuda.zero = queue_zero;
    cuda.adopt = cuda_adopt;
    cuda.queue_new = cuda_queue_new;
    cuda.queue_free = cuda_queue_free;
    cuda.queue_wait = cuda_queue_wait;
    cuda.queue_fail = cuda_queue_fail;
    cuda.event_new = cuda_event_new;
    cuda.event_free = cuda_event_free;
    cuda.event_record = cuda_event_record;
    cuda.event_wait = cuda_event_wait;
    cuda.timer_new = cuda_timer_new;
    cuda.timer_seconds = cuda_timer_seconds;
    cuda.capture_begin = cuda_capture_begin;
    cuda.capture_end = cuda_capture_end;
    cuda.graph_launch = cuda_graph_launch;
    cuda.graph_free = cuda_graph_free;
    cuda.graph_stale = cuda_graph_stale;
#ifdef CAMBIUM_EMULATE
    cuda.graph_difference = cuda_graph_difference;
#endif
    cuda.memory = cuda_memory;
    cuda.loss_scratch = cuda_loss_scratch;
    cuda.decode_scratch = cuda_decode_scratch;
    cuda.worker = cuda_worker;
    cuda.require = cuda_require;
    cuda.native_stream = cuda_native_stream;
#define CUDA_FIELD(name, Args, f32, bf16) cuda.name = cuda_##name;
    CAMBIUM_OPS(CUDA_FIELD)
#undef CUDA_FIELD
}

/* "13.0" of 13000. */
static void version_text(int version, char *text, size_t size)
{
    snprintf(text, size, "%d.%d", version / 1000, version % 1000 / 10);
}

/* How the program finds this plug-in: the backend, or NULL and the reason. */
extern "C" __attribute__((visibility("default"))) const Backend *cambium_backend(Err *err)
{
    int count = 0, driver = 0, runtime = 0;
    char driver_text[16], runtime_text[16];
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    version_text(driver, driver_text, sizeof driver_text);
    version_text(runtime, runtime_text, sizeof runtime_text);
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess || count == 0) {
        if (driver == 0)
            err_set(err, "no NVIDIA driver was found");
        else if (driver < runtime)
            err_set(err, "the NVIDIA driver is too old: it serves CUDA %s, this program needs %s",
                    driver_text, runtime_text);
        else
            err_set(err, "the NVIDIA driver found no GPU (%s)",
                    code == cudaSuccess ? "none is there" : cudaGetErrorString(code));
        return NULL;
    }
    /* One process, one GPU: the first that it sees. Ranks that are processes are shown one each, by
     * CUDA_VISIBLE_DEVICES, before this plug-in is opened (train/ranks.c). */
    cudaDeviceProp p;
    code = cudaGetDeviceProperties(&p, 0);
    if (code != cudaSuccess) {
        err_set(err, "the GPU cannot be used: %s", cudaGetErrorString(code));
        return NULL;
    }
    if (p.major < 8) {
        err_set(err, "%s has compute capability %d.%d; 8.0 or newer is needed", p.name, p.major,
                p.minor);
        return NULL;
    }
    if (p.sharedMemPerBlockOptin < BLOCK_SHARED_LEAST) {
        err_set(err, "%s gives a block %zu KB of shared memory; %zu KB are needed", p.name,
                p.sharedMemPerBlockOptin / 1024, BLOCK_SHARED_LEAST / 1024);
        return NULL;
    }
    processors = p.multiProcessorCount;
    block_shared = p.sharedMemPerBlockOptin;
    processor_shared = p.sharedMemPerMultiprocessor;
    snprintf(description, sizeof description,
             "%s, %d processors, %.0f GB, compute capability %d.%d, driver for CUDA %s, built with "
             "CUDA %s",
             p.name, processors, (double)p.totalGlobalMem / 1e9, p.major, p.minor, driver_text,
             runtime_text);
    fill_table();
    return &cuda;
}
