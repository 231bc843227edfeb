/* Kernels of one core, compiled once per instruction set (isa/). They work on plain pointers,
 * neither allocate nor check, and give the same bits however a caller cuts its loops, except where
 * said otherwise. `type` is float32 or bfloat16. */
#ifndef CAMBIUM_CORE_CPU_KERNELS_H
#define CAMBIUM_CORE_CPU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/isa.h"
#include "core/tensor/dtype.h"

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
enum { GEMV_ROWS_MAX = 4 };
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

#endif
