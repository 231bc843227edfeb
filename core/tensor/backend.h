/* A backend: memory, queues, events and the operation table. Backends are found by name; the CPU is
 * always there, others are plug-ins. A backend with a hole in its table is refused. */
#ifndef CAMBIUM_CORE_TENSOR_BACKEND_H
#define CAMBIUM_CORE_TENSOR_BACKEND_H

#include "core/tensor/attn_check.h"

enum { BACKEND_ABI = 9 }; /* raised with every change of this file or of ops.h */

typedef struct Event Event;
typedef struct Graph Graph;

/* Kinds of work that a device may leave to a library. */
typedef enum Work { WORK_PRODUCTS, WORK_ATTENTION, WORK_ATTENTION_GRADIENT, WORK_KINDS } Work;

/* Who does a kind of work; see core/tensor/libraries.h. */
typedef struct Worker {
    char version[80];            /* "cuBLASLt 13.1.0"; empty: own kernels do it all */
    char why[300];               /* why the library cannot, or last refused; may be empty */
    int64_t by_library, refused; /* operations since the program began: done, and not taken */
} Worker;

typedef struct Backend {
    uint32_t abi;
    const char *name;                 /* "cpu", "cuda" */
    const char *(*description)(void); /* "AMD EPYC, avx512bf16, 2 threads" */
    bool synchronous;                 /* operations are done when their call returns */

    /* Device memory, MEM_ALIGN-aligned, not zeroed. `what` names it in the error. */
    Status (*alloc)(void **out, size_t bytes, const char *what, Err *err);
    void (*free)(void *data);
    /* Host pointers are plain; device addresses are tensors' data. In order on the queue; the host
     * side of an upload may be reused, and of a download may be read, after queue_wait. */
    void (*upload)(Queue *queue, void *device, const void *host, size_t bytes);
    void (*download)(Queue *queue, void *host, const void *device, size_t bytes);
    void (*copy)(Queue *queue, void *to, const void *from, size_t bytes); /* device to device */
    void (*zero)(Queue *queue, void *device, size_t bytes);
    /* The device address of host memory that outlives its use (a mapped file), or NULL when this
     * device cannot read it in place and the caller must upload. */
    void *(*adopt)(const void *host, size_t bytes);

    Status (*queue_new)(Queue **out, Err *err);
    void (*queue_free)(Queue *queue);
    Status (*queue_wait)(Queue *queue, Err *err); /* all done; reports what failed on the device */
    /* From any thread: queue_wait fails with this from now on. NULL where operations are done when
     * their call returns. */
    void (*queue_fail)(Queue *queue, const char *why);
    Status (*event_new)(Event **out, Err *err);
    void (*event_free)(Event *event);
    void (*event_record)(Queue *queue, Event *event);
    void (*event_wait)(Queue *queue, Event *event); /* later work of the queue waits for it */
    /* Events that tell when they were passed, and the seconds between two that were recorded on
     * queues which have been waited for; see core/tensor/stopwatch.h. NULL where the host's clock
     * tells. */
    Status (*timer_new)(Event **out, Err *err);
    double (*timer_seconds)(const Event *begin, const Event *end);

    /* Recorded work, where replaying it is faster than enqueueing it anew; all five are NULL where
     * it is not. Between begin and end the queue's operations are recorded with the arguments and
     * addresses they have and are not run; nothing may wait, allocate, touch the host's memory or
     * use other queues. What a graph depends on and what may change is told in replay.h. */
    void (*capture_begin)(Queue *queue);
    Status (*capture_end)(Queue *queue, Graph **out, Err *err);
    void (*graph_launch)(Queue *queue, Graph *graph);
    void (*graph_free)(Graph *graph);
    /* Whether memory that all operations of the queue share has moved since the graph was recorded.
     * It must not be launched then, but be recorded anew. */
    bool (*graph_stale)(const Queue *queue, const Graph *graph);
    /* How two recordings of the same work differ, in words that are good until the next call; NULL
     * where they do not. Only where recordings are checked (the emulated device), else NULL. */
    const char *(*graph_difference)(const Graph *before, const Graph *now);

    /* Bytes of device memory that nobody uses, and all there are; NULL where the host's memory is
     * the device's. */
    void (*memory)(size_t *free_bytes, size_t *total_bytes);

    /* Bytes that a queue keeps beside the arguments of a training pass's operations, libraries'
     * included, for a pass that ends in this loss, and for its evaluations: only shapes, types and
     * which gradients are wanted (a data that is not NULL) are looked at. `attn` is the attention
     * that runs backward in it, NULL where none does. */
    size_t (*loss_scratch)(const HeadLossArgs *shapes, const AttnShape *attn);
    /* The same for decoding: `scoring` is the largest loss that is asked for, `head_dim` the size
     * of a head, `weights` the type of the matrices. NULL where the host's memory is the device's.
     */
    size_t (*decode_scratch)(const HeadLossArgs *scoring, int64_t head_dim, DType weights);

    /* Who does a kind of work on tensors of a type. Opens the library when it is first asked. NULL,
     * and so is `require`, where no library can be missing. */
    void (*worker)(Work work, DType type, Worker *out);
    /* Fails where the library of this name cannot be used, with a remedy. From then on a queue
     * fails when that library refuses work. */
    Status (*require)(const char *library, Err *err);

    /* The queue as the device's own libraries know it (cudaStream_t); NULL on the CPU. */
    void *(*native_stream)(Queue *queue);

#define CAMBIUM_OP_FIELD(name, Args, f32, bf16) void (*name)(Queue * queue, const Args *args);
    CAMBIUM_OPS(CAMBIUM_OP_FIELD)
#undef CAMBIUM_OP_FIELD
} Backend;

/* "auto" (cuda where there is a GPU, else cpu), "cpu" or "cuda". Fails with what was found. The
 * backend lives as long as the program. */
Status backend_open(const char *name, const Backend **out, Err *err);

/* The function `cambium_backend` of a plug-in: its backend, or NULL with the reason. */
typedef const Backend *BackendEntry(Err *err);

/* Called by backends before threads start; `backend` is borrowed for good. */
void backend_register(const Backend *backend);
/* The name of the first missing function of a backend, or NULL when it is whole. */
const char *backend_hole(const Backend *backend);

/* A backend and a queue of it: what nearly every function that computes is given. */
typedef struct Device {
    const Backend *ops;
    Queue *queue;
} Device;

Status device_open(Device *device, const char *name, Err *err);
void device_close(Device *device);

/* Bytes of the device's memory that may still be taken: see mem_free_bytes where it is the host's.
 */
double device_free_bytes(const Device *device);

/* tensor->data = new device memory for its type and shape. */
Status device_tensor(const Device *device, Tensor *tensor, const char *what, Err *err);
/* Copies a whole tensor to host memory, or fills it from there, and waits. */
Status device_download(const Device *device, const Tensor *tensor, void *host, Err *err);
Status device_upload(const Device *device, const Tensor *tensor, const void *host, Err *err);

#endif
