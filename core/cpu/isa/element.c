/* One pass over elements: conversion, sums, dropout, the search for numbers that are not finite. */
#include "core/cpu/element_kernels.h"
#include "core/cpu/isa/elements.h"

/* Inlined with both types known, so that the loops hold no tests. */
KERNEL_INLINE void cast_of(const void *x, DType from, void *y, DType to, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += LANES)
        elements_store(y, to, i, end - i, elements_load(x, from, i, end - i));
}

static void cast(const void *x, DType from, void *y, DType to, int64_t begin, int64_t end)
{
    if (from == DTYPE_F32)
        cast_of(x, DTYPE_F32, y, to, begin, end);
    else
        cast_of(x, DTYPE_BF16, y, to, begin, end);
}

static void weighted_sum(const WeightedTask *t, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += LANES) {
        int64_t left = end - i;
        VecF sum = t->accumulate ? elements_load(t->y, t->type, i, left) : vec_set(0.0f);
        for (int64_t k = 0; k < t->n; k++)
            sum += elements_load(t->data[k], t->x[k].dtype, i, left) * t->weights[k];
        elements_store(t->y, t->type, i, left, sum);
    }
}

static void dropout(const DropoutTask *t, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += LANES) {
        float factors[LANES];
        for (int lane = 0; lane < LANES; lane++)
            factors[lane] = dropout_keeps(t->seed, t->first + (uint64_t)(i + lane), t->threshold)
                                ? t->factor
                                : 0.0f;
        /* A dropped infinity is dropped, too: it must not become a NaN. */
        VecF factor = vec_load(factors), x = elements_load(t->x, t->type, i, end - i);
        VecF kept = vec_select(factor != vec_set(0.0f), x * factor, vec_set(0.0f));
        elements_store(t->y, t->type, i, end - i, kept);
    }
}

/* The exponent of what is not finite is all ones. */
static bool non_finite(const void *x, DType type, int64_t begin, int64_t end)
{
    uint32_t found = 0;
    if (type == DTYPE_F32) {
        const uint32_t *bits = x;
        for (int64_t i = begin; i < end; i++)
            found |= (bits[i] & 0x7f800000u) == 0x7f800000u;
    } else {
        const uint16_t *bits = x;
        for (int64_t i = begin; i < end; i++)
            found |= (bits[i] & 0x7f80u) == 0x7f80u;
    }
    return found != 0;
}

const ElementKernels ISA_SYMBOL(element_kernels) = {cast, weighted_sum, dropout, non_finite};
