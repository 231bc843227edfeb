/* As much of CUDA's runtime as core/comm/nccl/comm_nccl.c calls, for a test without a GPU: an event
 * that follows a collective is over when the collective is. */
#ifndef CAMBIUM_TESTS_EMULATE_NCCL_CUDA_RUNTIME_H
#define CAMBIUM_TESTS_EMULATE_NCCL_CUDA_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

typedef int cudaError_t;
typedef struct FakeStream *cudaStream_t;
typedef struct FakeEvent {
    bool collective; /* it was recorded behind collectives */
} * cudaEvent_t;
enum { cudaSuccess, cudaErrorNotReady, cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };

const char *cudaGetErrorString(cudaError_t code);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *data);

#endif
