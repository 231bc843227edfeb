/* Kernels that go over elements once; see kernels.h. */
#ifndef CAMBIUM_CORE_CPU_ELEMENT_KERNELS_H
#define CAMBIUM_CORE_CPU_ELEMENT_KERNELS_H

#include "core/cpu/kernels.h"

/* y = sum of weights[k] x[k] (+ y); float32 or bfloat16 each. */
typedef struct WeightedTask {
    const Tensor *x;         /* types; their addresses are not used */
    const void *const *data; /* (n): pointers */
    const float *weights;
    int64_t n;
    void *y;
    DType type; /* of y */
    bool accumulate;
} WeightedTask;

/* Elements that are dropped become 0, the others are multiplied by `factor`. */
typedef struct DropoutTask {
    const void *x;
    void *y;
    DType type;
    uint64_t seed;
    uint64_t first;
    uint32_t threshold;
    float factor;
} DropoutTask;

/* All take the elements [begin, end). */
typedef struct ElementKernels {
    void (*cast)(const void *x, DType from, void *y, DType to, int64_t begin, int64_t end);
    void (*weighted_sum)(const WeightedTask *task, int64_t begin, int64_t end);
    void (*dropout)(const DropoutTask *task, int64_t begin, int64_t end);
    bool (*non_finite)(const void *x, DType type, int64_t begin, int64_t end);
} ElementKernels;
KERNEL_TABLES(ElementKernels, element_kernels)

#endif
