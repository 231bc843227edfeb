/* A tensor is an address on a device, a type and a shape: plain data that owns nothing.
 *
 * Tensors are row-major and contiguous; a view may only cut the first dimension. `data` is a device
 * address: callers never read or write through it, they go through the operation table. (Builds
 * with CAMBIUM_SPLIT_ADDRESSES give CPU tensors addresses that fault when dereferenced, so that a
 * stray access is found without a GPU.) */
#ifndef CAMBIUM_CORE_TENSOR_TENSOR_H
#define CAMBIUM_CORE_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/mem.h"
#include "core/tensor/dtype.h"

enum { TENSOR_DIMS = 4 };

typedef struct Tensor {
    void *data; /* NULL: absent (an optional argument) */
    DType dtype;
    int n_dims;
    int64_t shape[TENSOR_DIMS];
} Tensor;

static inline bool tensor_present(const Tensor *t)
{
    return t->data != NULL;
}

int64_t tensor_count(const Tensor *t); /* elements */
size_t tensor_bytes(const Tensor *t);
int64_t tensor_cols(const Tensor *t); /* the last dimension */
int64_t tensor_rows(const Tensor *t); /* the product of all others */
bool tensor_same_shape(const Tensor *a, const Tensor *b);

Tensor tensor_1d(void *data, DType dtype, int64_t n);
Tensor tensor_2d(void *data, DType dtype, int64_t rows, int64_t cols);
Tensor tensor_3d(void *data, DType dtype, int64_t a, int64_t b, int64_t c);
Tensor tensor_4d(void *data, DType dtype, int64_t a, int64_t b, int64_t c, int64_t d);

/* Rows [begin, begin + count) of the first dimension, of the same memory. */
Tensor tensor_slice(const Tensor *t, int64_t begin, int64_t count);
/* The same memory as (rows, cols); the number of elements must agree. */
Tensor tensor_as_2d(const Tensor *t, int64_t rows, int64_t cols);

/* The first n rows; what is absent stays absent. */
Tensor tensor_first(const Tensor *t, int64_t n);

/* A tensor of this type and shape with memory of an arena, which may only measure. */
Tensor tensor_take(Arena *arena, Tensor shape);

#endif
