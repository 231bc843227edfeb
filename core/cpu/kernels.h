/* Kernels of one core, compiled once per instruction set (isa/). They work on plain pointers,
 * neither allocate nor check, and give the same bits however a caller cuts its loops, except where
 * said otherwise. `type` is float32 or bfloat16. */
#ifndef CAMBIUM_CORE_CPU_KERNELS_H
#define CAMBIUM_CORE_CPU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/isa.h"
#include "core/tensor/ops.h"

/* Declares one table per instruction set and NAME(), the one to use now. */
#define KERNEL_TABLES(Type, name)                                                                  \
    extern const Type name##_generic, name##_avx2, name##_avx512, name##_avx512bf16;               \
    static inline const Type *name(void)                                                           \
    {                                                                                              \
        const Type *const all[ISA_COUNT] = {&name##_generic, &name##_avx2, &name##_avx512,         \
                                            &name##_avx512bf16};                                   \
        return all[cpu_isa()];                                                                     \
    }

/* Activations of n elements (ops.h: ActArgs); outputs may be inputs. */
typedef struct ActKernels {
    void (*gelu)(DType type, const void *x, void *y, int64_t n);
    void (*gelu_backward)(DType type, const void *x, const void *dy, void *dx, int64_t n);
    void (*swiglu)(DType type, const void *x, const void *gate, void *y, int64_t n);
    void (*swiglu_backward)(DType type, const void *x, const void *gate, const void *dy, void *dx,
                            void *dgate, int64_t n);
} ActKernels;
KERNEL_TABLES(ActKernels, act_kernels)

/* c (M, n) with leading dimension ldc = a (M, K) w (n, K)^T + bias (n), optionally added to what c
 * holds, M <= GEMV_ROWS_MAX: for decoding. A row's bits do not depend on M. */
enum { GEMV_ROWS_MAX = 8 };
typedef struct GemvTask {
    const void *a, *w;
    const float *bias; /* or NULL */
    void *c;
    DType in, out;
    bool accumulate;
    int64_t M, n, K, ldc;
} GemvTask;

typedef struct GemmKernels {
    void (*gemv)(const GemvTask *task);
    /* sums (n) += columns [0, n) of rows x (rows, ld). */
    void (*add_rows)(DType type, const void *x, int64_t rows, int64_t ld, float *sums, int64_t n);
} GemmKernels;
KERNEL_TABLES(GemmKernels, gemm_kernels)

/* Rows of a softmax that is made in pieces (head_loss.c). */
typedef struct HeadKernels {
    /* Returns the sum of exp(x[i] - *max), *max being the largest of x (n); the terms go to `terms`
     * (n) unless that is NULL. */
    float (*exp_row)(const float *x, int64_t n, DType type, void *terms, float *max);
    void (*scale_row)(DType type, void *x, float factor, int64_t n); /* x *= factor */
} HeadKernels;
KERNEL_TABLES(HeadKernels, head_kernels)

/* AdamW on elements [begin, end) of one parameter; the corrections of the step are folded into the
 * constants: rate = lr / (1 - beta1^t), scale_v = 1 / (1 - beta2^t), keep = 1 - lr * decay. */
typedef struct AdamwTask {
    float *param, *m, *v;
    const float *grad;
    void *copy; /* or NULL */
    DType copy_type;
    float grad_scale, beta1, beta2, eps, keep, rate, scale_v;
} AdamwTask;

typedef struct UpdateKernels {
    void (*adamw)(const AdamwTask *task, int64_t begin, int64_t end);
    double (*sum_squares)(const float *x, int64_t n);
} UpdateKernels;
KERNEL_TABLES(UpdateKernels, update_kernels)

/* One row of NormArgs; `sum` (C) receives x + residual and may be either of them. */
typedef struct NormRow {
    NormKind kind;
    int64_t C;
    float eps;
    const float *residual, *weight, *bias; /* residual, bias: or NULL */
    float *sum, *mean, *rstd;
} NormRow;

/* One row of NormBackwardArgs; dweight and dbias (C) are sums of the rows before. */
typedef struct NormBackwardRow {
    NormKind kind;
    int64_t C;
    float mean, rstd;
    const float *weight;
    float *dweight, *dbias;
    bool accumulate;
} NormBackwardRow;

typedef struct NormKernels {
    void (*norm)(DType in, DType out, const NormRow *row, const void *x, void *y);
    void (*backward)(DType type, const NormBackwardRow *row, const float *x, const void *dy,
                     float *dx);
} NormKernels;
KERNEL_TABLES(NormKernels, norm_kernels)

#endif
