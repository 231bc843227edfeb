#include "core/tensor/tensor.h"

int64_t tensor_count(const Tensor *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->n_dims; i++)
        count *= t->shape[i];
    return count;
}

size_t tensor_bytes(const Tensor *t)
{
    return (size_t)tensor_count(t) * dtype_bytes(t->dtype);
}

int64_t tensor_cols(const Tensor *t)
{
    return t->shape[t->n_dims - 1];
}

int64_t tensor_rows(const Tensor *t)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < t->n_dims; i++)
        rows *= t->shape[i];
    return rows;
}

bool tensor_same_shape(const Tensor *a, const Tensor *b)
{
    if (a->n_dims != b->n_dims)
        return false;
    for (int i = 0; i < a->n_dims; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

Tensor tensor_1d(void *data, DType dtype, int64_t n)
{
    return (Tensor){data, dtype, 1, {n}};
}

Tensor tensor_2d(void *data, DType dtype, int64_t rows, int64_t cols)
{
    return (Tensor){data, dtype, 2, {rows, cols}};
}

Tensor tensor_3d(void *data, DType dtype, int64_t a, int64_t b, int64_t c)
{
    return (Tensor){data, dtype, 3, {a, b, c}};
}

Tensor tensor_4d(void *data, DType dtype, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (Tensor){data, dtype, 4, {a, b, c, d}};
}

Tensor tensor_slice(const Tensor *t, int64_t begin, int64_t count)
{
    CHECK(begin >= 0 && count >= 0 && begin + count <= t->shape[0],
          "rows %lld + %lld of a tensor with %lld", (long long)begin, (long long)count,
          (long long)t->shape[0]);
    size_t row_bytes = dtype_bytes(t->dtype);
    for (int i = 1; i < t->n_dims; i++)
        row_bytes *= (size_t)t->shape[i];
    Tensor slice = *t;
    slice.data = (char *)t->data + (size_t)begin * row_bytes;
    slice.shape[0] = count;
    return slice;
}

Tensor tensor_as_2d(const Tensor *t, int64_t rows, int64_t cols)
{
    CHECK(rows * cols == tensor_count(t), "%lld x %lld is not the %lld elements of the tensor",
          (long long)rows, (long long)cols, (long long)tensor_count(t));
    return tensor_2d(t->data, t->dtype, rows, cols);
}

Tensor tensor_first(const Tensor *t, int64_t n)
{
    return tensor_present(t) ? tensor_slice(t, 0, n) : *t;
}

Tensor tensor_take(Arena *arena, Tensor shape)
{
    shape.data = arena_take(arena, tensor_bytes(&shape));
    return shape;
}
