/* Streams whose work waits until somebody waits for it. */
#include "core/cuda/emulate/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <deque>
#include <functional>
#include <memory>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "core/cuda/emulate/kernels.h"
#include "core/cuda/emulate/recording.h"

extern "C" {
#include "core/base/err.h"
#include "core/base/log.h"
}

/* How far a stream had been filled when an event was recorded, and into which graph. */
struct EmulatedEvent {
    EmulatedStream *stream;
    size_t position;
    const EmulatedGraph *graph;
    std::shared_ptr<double> passed; /* when the stream came to it; NULL: not timed */
};

struct EmulatedStream {
    std::deque<std::function<void()>> tasks; /* not run yet */
    size_t done = 0;                         /* tasks that have run */
    bool capturing = false;
    EmulatedGraph *graph = nullptr;
    size_t end() const
    {
        return done + tasks.size();
    }
};

/* One device: what runs on it runs alone. */
static std::recursive_mutex device;
static std::vector<EmulatedStream *> &streams = *new std::vector<EmulatedStream *>;

/* Captures that this thread has begun and not ended. They are thread local: what a capture forbids
 * is forbidden to the thread that makes it. */
static thread_local int captures;

/* CUDA fails such a call and spoils the capture. Here the fault ends the program. */
static void not_in_capture(const char *what)
{
    CHECK(captures == 0, "%s while this thread records work", what);
}

static void run_until(EmulatedStream *stream, size_t position)
{
    while (stream->done < position && !stream->tasks.empty()) {
        std::function<void()> task = std::move(stream->tasks.front());
        stream->tasks.pop_front();
        stream->done++; /* first: a task that waited for its own stream would never end */
        task();
    }
}

void emulate_enqueue(EmulatedStream *stream, const EmulatedWork &work, std::function<void()> task)
{
    std::lock_guard<std::recursive_mutex> lock(device);
    if (stream->capturing)
        recording_add(stream->graph, work, std::move(task));
    else
        stream->tasks.push_back(std::move(task));
}

/* ---- the device ------------------------------------------------------------------------------ */

const char *cudaGetErrorString(cudaError_t code)
{
    return code == cudaErrorMemoryAllocation ? "out of memory"
           : code == cudaErrorInvalidValue   ? "invalid argument"
                                             : "no error";
}

static thread_local cudaError_t last_error = cudaSuccess;

void emulate_fail(cudaError_t code)
{
    last_error = code;
}

cudaError_t cudaGetLastError()
{
    cudaError_t code = last_error;
    last_error = cudaSuccess;
    return code;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    emulate_list_kernels();
    return cudaSuccess;
}

/* The emulated memory's size, so that tests can run out of it: CAMBIUM_EMULATE_MEMORY bytes. */
static size_t memory_size()
{
    const char *text = getenv("CAMBIUM_EMULATE_MEMORY");
    return text ? (size_t)strtoull(text, nullptr, 10) : (size_t)16 << 30;
}

/* Its processors: few, so that tests with few blocks meet every way of sharing them out, or
 * CAMBIUM_EMULATE_PROCESSORS, as many as a real GPU has. */
static int processor_count()
{
    const char *text = getenv("CAMBIUM_EMULATE_PROCESSORS");
    int count = text ? atoi(text) : 3;
    CHECK(count > 0, "CAMBIUM_EMULATE_PROCESSORS=%s: give a number above zero", text);
    return count;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int)
{
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "emulated on the host");
    emulate_capability(&properties->major, &properties->minor);
    properties->sharedMemPerBlockOptin = emulate_shared_most();
    /* The driver keeps 1 KB of each block's. */
    properties->sharedMemPerMultiprocessor = properties->sharedMemPerBlockOptin + 1024;
    properties->multiProcessorCount = processor_count();
    properties->totalGlobalMem = memory_size();
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 0;
    return cudaSuccess;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t used;

/* By address. Kept beside, not before, the memory: its borders belong to the address sanitizer. */
struct Block {
    size_t bytes;
    uint64_t number;
};
static std::map<uint64_t, Block> &blocks = *new std::map<uint64_t, Block>;
static std::set<uint64_t> &alive = *new std::set<uint64_t>; /* their numbers */
static uint64_t last_block;

size_t emulate_block_range(uint64_t address, uint64_t *begin)
{
    auto next = blocks.upper_bound(address);
    if (next == blocks.begin())
        return 0;
    const auto &[at, block] = *std::prev(next);
    *begin = at;
    return address - at < block.bytes ? block.bytes : 0;
}

uint64_t emulate_block_at(uint64_t address)
{
    uint64_t begin;
    return emulate_block_range(address, &begin) ? blocks[begin].number : 0;
}

bool emulate_block_lives(uint64_t number)
{
    return alive.count(number) != 0;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    std::lock_guard<std::recursive_mutex> lock(device);
    *total_bytes = memory_size();
    *free_bytes = used < *total_bytes ? *total_bytes - used : 0;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    not_in_capture("allocating memory");
    std::lock_guard<std::recursive_mutex> lock(device);
    if (used + bytes > memory_size() || posix_memalign(out, 256, bytes) != 0)
        return cudaErrorMemoryAllocation;
    memset(*out, 0xff, bytes); /* not a number in every floating type */
    used += bytes;
    blocks[(uint64_t)(uintptr_t)*out] = {bytes, ++last_block};
    alive.insert(last_block);
    return cudaSuccess;
}

/* Like CUDA's, it waits for the whole device. */
cudaError_t cudaFree(void *data)
{
    not_in_capture("freeing memory");
    std::lock_guard<std::recursive_mutex> lock(device);
    for (EmulatedStream *stream : streams)
        run_until(stream, stream->end());
    auto block = blocks.find((uint64_t)(uintptr_t)data);
    if (block != blocks.end()) {
        used -= block->second.bytes;
        alive.erase(block->second.number);
        blocks.erase(block);
    }
    free(data);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    CHECK(!stream->capturing || kind == cudaMemcpyDeviceToDevice,
          "a copy from or to the host's memory is being recorded: the recording would use that "
          "memory for as long as it lives");
    if (bytes)
        emulate_enqueue(stream, {"a copy", emulate_bytes(to, from, bytes)},
                        [=] { memmove(to, from, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    if (bytes)
        emulate_enqueue(stream, {"clearing", emulate_bytes(to, value, bytes)},
                        [=] { memset(to, value, bytes); });
    return cudaSuccess;
}

/* ---- streams and events ---------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    std::lock_guard<std::recursive_mutex> lock(device);
    *out = new EmulatedStream;
    streams.push_back(*out);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(device);
    not_in_capture("waiting for a stream");
    CHECK(!stream->capturing, "waiting for a stream that is being captured");
    run_until(stream, stream->end());
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(device);
    run_until(stream, stream->end());
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == stream)
            streams.erase(streams.begin() + (long)i--);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    *out = new EmulatedEvent{nullptr, 0, nullptr, nullptr};
    if (!(flags & cudaEventDisableTiming))
        (*out)->passed = std::make_shared<double>(0.0);
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

/* A timed event is work of its own: it notes when the stream came to it. */
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(device);
    std::shared_ptr<double> passed = event->passed;
    if (passed) {
        *passed = 0.0;
        emulate_enqueue(stream, {"an event", ""}, [=] { *passed = clock_seconds(); });
    }
    event->stream = stream;
    event->position = stream->end();
    event->graph = stream->graph;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    std::lock_guard<std::recursive_mutex> lock(device);
    CHECK(begin->passed && end->passed, "the time of an event that was made without");
    if (*begin->passed == 0.0 || *end->passed == 0.0)
        return cudaErrorNotReady;
    *milliseconds = (float)((*end->passed - *begin->passed) * 1e3);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    EmulatedEvent state = *event; /* as it is recorded now */
    CHECK(!state.stream || state.graph == stream->graph,
          "an event is waited for inside a recording but not recorded there, or the reverse");
    emulate_enqueue(stream, {"waiting for an event", ""}, [=] {
        for (EmulatedStream *alive : streams) /* what a destroyed stream held has run */
            if (alive == state.stream)
                run_until(state.stream, state.position);
    });
    return cudaSuccess;
}

/* ---- graphs ---------------------------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    captures++;
    stream->capturing = true;
    stream->graph = new EmulatedGraph;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    captures--;
    stream->capturing = false;
    *out = stream->graph;
    stream->graph = nullptr;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    graph->owners++;
    *out = graph;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> lock(device);
    recording_check(graph);
    for (const EmulatedTask &task : graph->tasks)
        emulate_enqueue(stream, task.work, task.run);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    if (--graph->owners == 0)
        delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    return cudaGraphDestroy(graph);
}
