/* Element types. A run-time value everywhere: no build is bound to one precision. */
#ifndef CAMBIUM_CORE_TENSOR_DTYPE_H
#define CAMBIUM_CORE_TENSOR_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/err.h"

typedef enum DType {
    DTYPE_F32 = 0,
    DTYPE_BF16 = 1, /* the upper half of a float32, rounded to nearest even */
    DTYPE_I8 = 2,   /* quantised: value = scale * integer, one scale per row */
    DTYPE_I32 = 3,
    DTYPE_U8 = 4,
    DTYPE_I64 = 5, /* the last two: in files only, no operation takes them */
    DTYPE_U16 = 6,
} DType;

size_t dtype_bytes(DType dtype);
const char *dtype_name(DType dtype); /* "float32", "bfloat16", "int8", "int32", "uint8", ... */
/* Fails with the list of names. */
Status dtype_parse(const char *name, DType *out, Err *err);

/* What operations compute with. */
static inline bool is_compute_type(DType dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_BF16;
}

static inline float bf16_to_f32(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static inline uint16_t f32_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((bits >> 16) | 0x40u); /* a NaN stays one */
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#endif
