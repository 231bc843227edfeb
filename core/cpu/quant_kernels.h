/* Kernels of int8 weights, compiled once per instruction set. They work on plain pointers, neither
 * allocate nor check, and give the same bits however a caller cuts its loops. */
#ifndef CAMBIUM_CORE_CPU_QUANT_KERNELS_H
#define CAMBIUM_CORE_CPU_QUANT_KERNELS_H

#include "core/cpu/kernels.h"

/* Activations made ready for products with int8 rows: M rows of floats, or of 16-bit integers with
 * a scale each, where the instruction set multiplies those and the activations are bfloat16 (whose
 * 8 bits survive; float32's 24 would not). Rows are zero from K to their end. */
typedef struct QuantInput {
    void *rows;
    float *scales; /* of 16-bit rows */
    int64_t M, K, stride;
    bool words;
} QuantInput;

/* c (M, n) with leading dimension ldc = input w (n, K)^T times scales (n) + bias (n, or NULL). */
typedef struct QuantTask {
    QuantInput input;
    const int8_t *w;
    const float *scales, *bias;
    void *c;
    DType c_type;
    int64_t n, ldc;
} QuantTask;

typedef struct QuantKernels {
    /* n elements of x to int8; returns the scale (see quant_row.h). */
    float (*quantise)(const void *x, DType type, int64_t from, int8_t *q, int64_t n);
    /* Fills `input` from a (M, K); memory holds quant_input_bytes. */
    void (*prepare)(QuantInput *input, const void *a, DType type, int64_t M, int64_t K,
                    void *memory);
    void (*product)(const QuantTask *task);
    /* to (n, K) of compute type = w (n, K) times scales (n). */
    void (*dequantise)(const int8_t *w, const float *scales, void *to, DType type, int64_t n,
                       int64_t K);
} QuantKernels;

KERNEL_TABLES(QuantKernels, quant_kernels)

/* Whatever the instruction set. */
static inline size_t quant_input_bytes(int64_t M, int64_t K)
{
    return (size_t)M * ((size_t)(K + 63) / 64 * 64 * sizeof(float) + 64);
}

#endif
