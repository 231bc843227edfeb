/* The emulation layer itself: that it computes what the GPU would, and that it finds what it is
 * there to find. Each fault is made in a child process, which must die of it. */
#include <stdio.h>
#include <stdlib.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/cuda/device.cuh"

static int bad;

static void check(const char *what, bool holds)
{
    printf("%s - %s\n", holds ? "ok" : "not ok", what);
    bad |= !holds;
}

static cudaStream_t stream;
static bool recording;

template <auto Kernel, typename... Args>
static void run(dim3 grid, dim3 block, size_t shared, Args... args)
{
    emulate_launch<Kernel>(
        stream, grid, block, shared, [=] { Kernel(args...); }, emulate_bytes(args...));
    if (!recording)
        cudaStreamSynchronize(stream);
}

/* Whether a fault ends the process that makes it. */
template <typename F> static bool dies(F fault)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        __sanitizer_set_report_path("stderr"); /* this report is wanted, and no failure */
        fault();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void order(const char *name)
{
    setenv("CAMBIUM_EMULATE_ORDER", name, 1);
}

/* ---- kernels --------------------------------------------------------------------------------- */

__global__ void sum_kernel(const float *x, float *out)
{
    __shared__ float partial[WARP];
    float sum = block_sum(x[blockIdx.x * blockDim.x + threadIdx.x], partial);
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum;
}

/* Reverses 64 numbers through shared memory, with or without the barrier it needs. */
template <bool BARRIER> __global__ void reverse_kernel(const float *x, float *out)
{
    float *row = (float *)shared_memory();
    row[threadIdx.x] = x[threadIdx.x];
    if (BARRIER)
        __syncthreads();
    out[threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
}

__global__ void overrun_kernel(float *out, int past)
{
    float *row = (float *)shared_memory();
    row[threadIdx.x + past] = 1.0f;
    out[threadIdx.x] = 1.0f;
}

__global__ void global_kernel(const float *x, float *out, int64_t at)
{
    out[0] = x[at];
}

__global__ void half_barrier_kernel()
{
    if (threadIdx.x < 32)
        __syncthreads();
}

__global__ void half_warp_kernel(float *out)
{
    if (threadIdx.x < 16)
        out[threadIdx.x] = warp_sum(1.0f);
}

/* d = a b for one 16 x 16 by 16 x 8 product, a from shared memory by load_matrices. */
__global__ void mma_kernel(const bf16 *a, const bf16 *b, float *d)
{
    bf16 *tile = (bf16 *)shared_memory();
    for (int i = lane_id(); i < 32; i += WARP)
        copy_async(tile + i * 8, a + i * 8, true);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    uint32_t fa[4], fb[2];
    int lane = lane_id();
    load_matrices(fa, tile + (lane % 16) * 16 + lane / 16 * 8);
    int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 2; i++) {
        uint32_t low = b[(2 * t + 8 * i) * 8 + g].bits, high = b[(2 * t + 1 + 8 * i) * 8 + g].bits;
        fb[i] = low | high << 16;
    }
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    mma_bf16(sum, fa, fb);
    for (int i = 0; i < 4; i++)
        d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

/* Reads what an asynchronous copy brings, without waiting for it. */
template <bool WAIT> __global__ void hasty_kernel(const float *x, float *out)
{
    float *row = (float *)shared_memory();
    copy_async(row + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
    copy_commit();
    if (WAIT)
        copy_wait<0>();
    out[threadIdx.x] = row[4 * threadIdx.x];
}

/* Every block adds to one place, as if no other did. */
__global__ void race_kernel(const float *x, float *out)
{
    if (threadIdx.x == 0)
        out[0] += x[blockIdx.x * blockDim.x];
}

/* 1 KB of static shared memory beside the dynamic. */
__global__ void fixed_kernel(float *out)
{
    __shared__ float fixed[256];
    fixed[threadIdx.x] = (float)threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = fixed[threadIdx.x];
}

/* ---- tests ----------------------------------------------------------------------------------- */

static float *device_floats(int n, float (*value)(int))
{
    void *data;
    cudaMalloc(&data, (size_t)n * sizeof(float));
    for (int i = 0; i < n; i++)
        ((float *)data)[i] = value(i);
    return (float *)data;
}

static float itself(int i)
{
    return (float)i;
}

static void test_order(const char *name)
{
    char what[96];
    order(name);
    float *x = device_floats(256, itself), *out = device_floats(256, itself);
    run<sum_kernel>(2, 128, 0, (const float *)x, out);
    snprintf(what, sizeof what, "block sums, threads %s", name);
    check(what, out[0] == 127.0f * 64.0f && out[1] == (128.0f + 255.0f) * 64.0f);
    run<reverse_kernel<true>>(1, 64, 64 * sizeof(float), (const float *)x, out);
    bool right = true;
    for (int i = 0; i < 64; i++)
        right &= out[i] == (float)(63 - i);
    snprintf(what, sizeof what, "a reversal through shared memory, threads %s", name);
    check(what, right);
    cudaFree(x);
    cudaFree(out);
}

static bool reversal_without_barrier_is_right(const char *name)
{
    order(name);
    float *x = device_floats(64, itself), *out = device_floats(64, itself);
    run<reverse_kernel<false>>(1, 64, 64 * sizeof(float), (const float *)x, out);
    bool right = true;
    for (int i = 0; i < 64; i++)
        right &= out[i] == (float)(63 - i);
    cudaFree(x);
    cudaFree(out);
    return right;
}

static float small(int i)
{
    return (float)(i % 13 - 6);
}

static void test_tensor_core()
{
    void *a, *b;
    cudaMalloc(&a, 256 * sizeof(bf16));
    cudaMalloc(&b, 128 * sizeof(bf16));
    for (int i = 0; i < 256; i++)
        ((bf16 *)a)[i] = from_f32<bf16>(small(i));
    for (int i = 0; i < 128; i++)
        ((bf16 *)b)[i] = from_f32<bf16>(small(3 * i + 1));
    float *d = device_floats(128, itself);
    run<mma_kernel>(1, 32, 256 * sizeof(bf16), (const bf16 *)a, (const bf16 *)b, d);
    bool right = true;
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            float sum = 0.0f;
            for (int k = 0; k < 16; k++)
                sum += small(i * 16 + k) * small(3 * (k * 8 + j) + 1);
            right &= d[i * 8 + j] == sum;
        }
    check("a tensor core's product, operands by ldmatrix and cp.async", right);
    cudaFree(a);
    cudaFree(b);
    cudaFree(d);
}

static void test_laziness()
{
    float host = 1.0f;
    float *x = device_floats(1, itself);
    cudaMemcpyAsync(x, &host, sizeof host, cudaMemcpyHostToDevice, stream);
    host = 2.0f; /* too early: the copy has not been waited for */
    cudaStreamSynchronize(stream);
    check("an upload reads its source when the stream is waited for", x[0] == 2.0f);
    cudaFree(x);
}

/* ---- recordings -------------------------------------------------------------------------------
 */

/* The first `count` blocks' sums of x. */
static cudaGraphExec_t record_sum(const float *x, float *out, unsigned count)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    recording = true;
    run<sum_kernel>(count, 32, 0, x, out);
    recording = false;
    cudaStreamEndCapture(stream, &graph);
    cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphDestroy(graph);
    return exec;
}

/* What a capture forbids to the thread that makes it. */
static void check_forbidden(float *x, float *out)
{
    cudaStream_t other;
    cudaEvent_t event;
    cudaStreamCreateWithFlags(&other, 0);
    cudaEventCreateWithFlags(&event, 0);
    cudaEventRecord(event, other);
    auto capture = [] { cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal); };
    check("allocating memory in a capture ends the program", dies([=] {
              void *memory;
              capture();
              cudaMalloc(&memory, 64);
          }));
    check("freeing memory in a capture ends the program", dies([=] {
              capture();
              cudaFree(x);
          }));
    check("waiting for another stream in a capture ends the program", dies([=] {
              capture();
              cudaStreamSynchronize(other);
          }));
    check("waiting in a capture for an event from outside ends the program", dies([=] {
              capture();
              cudaStreamWaitEvent(stream, event, 0);
          }));
    check("waiting outside for an event of a capture ends the program", dies([=] {
              capture();
              cudaEventRecord(event, stream);
              cudaStreamWaitEvent(other, event, 0);
          }));
    check("work of a capture alone is no fault",
          !dies([=] { cudaGraphExecDestroy(record_sum(x, out, 1)); }));
    cudaEventDestroy(event);
    cudaStreamDestroy(other);
}

static void test_recordings()
{
    float *x = device_floats(64, itself), *out = device_floats(2, itself);
    cudaGraphExec_t sum = record_sum(x, out, 1), same = record_sum(x, out, 1);
    cudaGraphExec_t larger = record_sum(x, out, 2), behind = record_sum(x + 32, out, 1);
    cudaStreamSynchronize(stream);
    bool idle = out[0] == 0.0f;
    cudaGraphLaunch(sum, stream);
    cudaStreamSynchronize(stream);
    check("recorded work runs when its graph is launched, not before", idle && out[0] == 496.0f);
    check("two recordings of the same work are alike", !emulate_difference(sum, same));
    check("another grid is a difference", emulate_difference(sum, larger) != nullptr);
    check("another address is a difference", emulate_difference(sum, behind) != nullptr);
    check("a launch that reaches into freed memory ends the program", dies([=] {
              cudaFree(x);
              float *there = device_floats(64, itself); /* may have the address again */
              cudaGraphLaunch(behind, stream);
              cudaFree(there);
          }));
    check_forbidden(x, out);
    check("recording a copy from the host's memory ends the program", dies([=] {
              float host = 1.0f;
              cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
              cudaMemcpyAsync(out, &host, sizeof host, cudaMemcpyHostToDevice, stream);
          }));
    for (cudaGraphExec_t graph : {sum, same, larger, behind})
        cudaGraphExecDestroy(graph);
    cudaFree(x);
    cudaFree(out);
}

static bool launches(size_t shared, float *out)
{
    run<fixed_kernel>(1, 32, shared, out);
    return cudaGetLastError() == cudaSuccess;
}

static bool may_have(size_t dynamic)
{
    return cudaFuncSetAttribute((const void *)fixed_kernel,
                                cudaFuncAttributeMaxDynamicSharedMemorySize,
                                (int)dynamic) == cudaSuccess;
}

/* A block's shared memory is static and dynamic together: 48 KB, or what the device has for those
 * that ask. */
static void test_shared_limits()
{
    static const struct {
        const char *capability;
        size_t most;
    } devices[] = {{"8.0", 163}, {"8.6", 99}, {"8.9", 99}, {"12.0", 99}, {"9.0", 227}};
    const size_t fixed = 1024;
    float *out = device_floats(32, itself);
    cudaFuncAttributes have;
    cudaFuncGetAttributes(&have, (const void *)fixed_kernel);
    check("the static shared memory of a kernel is known", have.sharedSizeBytes == fixed);
    check("48 KB, static and dynamic, are there without asking, and no more",
          launches(48 * 1024 - fixed, out) && !launches(48 * 1024 - fixed + 1, out));
    for (const auto &device : devices) {
        char what[96];
        setenv("CAMBIUM_EMULATE_CAPABILITY", device.capability, 1);
        size_t most = device.most * 1024 - fixed;
        snprintf(what, sizeof what, "%zu KB for those that ask, compute capability %s", device.most,
                 device.capability);
        check(what, !may_have(most + 1) && may_have(most) && launches(most, out) &&
                        !launches(most + 1, out));
    }
    unsetenv("CAMBIUM_EMULATE_CAPABILITY");
    may_have(48 * 1024 - fixed);
    cudaFree(out);
}

int main()
{
    cudaStreamCreateWithFlags(&stream, 0);
    test_order("forwards");
    test_order("backwards");
    test_order("shuffled");
    test_tensor_core();
    test_laziness();
    test_recordings();
    test_shared_limits();
    check("a missing barrier shows in some order",
          !reversal_without_barrier_is_right("forwards") ||
              !reversal_without_barrier_is_right("backwards"));
    order("forwards");
    float *x = device_floats(128, itself), *out = device_floats(64, itself);
    run<hasty_kernel<true>>(1, 32, 128 * sizeof(float), (const float *)x, out);
    check("a copy that is waited for has come", out[3] == 12.0f);
    run<hasty_kernel<false>>(1, 32, 128 * sizeof(float), (const float *)x, out);
    check("a copy that is not waited for has not", isnan(out[3]));
    check("blocks that add to one place end the program", dies([=] {
              out[0] = 0.0f, x[0] = 1e8f, x[32] = -1e8f, x[64] = 1.0f;
              run<race_kernel>(3, 32, 0, (const float *)x, out);
          }));
    check("a write beyond shared memory ends the program",
          dies([=] { run<overrun_kernel>(1, 32, 32 * sizeof(float), out, 1); }));
    check("a read beyond global memory ends the program",
          dies([=] { run<global_kernel>(1, 32, 0, (const float *)x, out, (int64_t)128); }));
    check("a barrier that half a block reaches ends the program",
          dies([=] { run<half_barrier_kernel>(1, 64, 0); }));
    check("a warp's sum that half a warp makes ends the program",
          dies([=] { run<half_warp_kernel>(1, 32, 0, out); }));
    check("a block that is not whole warps ends the program",
          dies([=] { run<half_barrier_kernel>(1, 33, 0); }));
    cudaFree(x);
    cudaFree(out);
    cudaStreamDestroy(stream);
    return bad;
}
