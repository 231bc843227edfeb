#include "core/io/stored_type.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    const char *npy;
    size_t bytes;
} types[] = {
    [STORED_F64] = {"F64", "<f8", 8},        [STORED_F32] = {"F32", "<f4", 4},
    [STORED_F16] = {"F16", "<f2", 2},        [STORED_BF16] = {"BF16", NULL, 2},
    [STORED_I64] = {"I64", "<i8", 8},        [STORED_I32] = {"I32", "<i4", 4},
    [STORED_I16] = {"I16", "<i2", 2},        [STORED_I8] = {"I8", "|i1", 1},
    [STORED_U64] = {"U64", "<u8", 8},        [STORED_U32] = {"U32", "<u4", 4},
    [STORED_U16] = {"U16", "<u2", 2},        [STORED_U8] = {"U8", "|u1", 1},
    [STORED_BOOL] = {"BOOL", "|b1", 1},      [STORED_F8_E4M3] = {"F8_E4M3", NULL, 1},
    [STORED_F8_E5M2] = {"F8_E5M2", NULL, 1},
};

size_t stored_bytes(StoredType type)
{
    return types[type].bytes;
}

const char *stored_name(StoredType type)
{
    return types[type].name;
}

const char *stored_npy(StoredType type)
{
    return types[type].npy;
}

StoredType stored_parse(const char *name)
{
    int i = 0;
    while (i < STORED_COUNT && strcmp(types[i].name, name) != 0)
        i++;
    return (StoredType)i;
}

StoredType stored_of(DType dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return STORED_F32;
    case DTYPE_BF16:
        return STORED_BF16;
    case DTYPE_I8:
        return STORED_I8;
    case DTYPE_I32:
        return STORED_I32;
    case DTYPE_U8:
        return STORED_U8;
    case DTYPE_I64:
        return STORED_I64;
    case DTYPE_U16:
        return STORED_U16;
    }
    return STORED_COUNT;
}

bool stored_is_float(StoredType type)
{
    return type == STORED_F64 || type == STORED_F32 || type == STORED_BF16 || type == STORED_F16;
}

/* IEEE 754 half precision; exact in float32. */
static float f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u;
    uint32_t fraction = bits & 0x3ffu, wide;
    if (exponent == 0) {
        float value = (float)fraction * 0x1p-24f; /* zero or subnormal */
        return sign ? -value : value;
    }
    wide = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112u) << 23) | fraction << 13;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

void stored_to_f32(const void *data, StoredType type, int64_t first, int64_t count, float *out)
{
    const char *from = (const char *)data + (size_t)first * types[type].bytes;
    if (type == STORED_F32) {
        memcpy(out, from, (size_t)count * sizeof *out);
        return;
    }
    if (type == STORED_U8) {
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)((const uint8_t *)from)[i];
        return;
    }
    if (type == STORED_F64) {
        for (int64_t i = 0; i < count; i++) {
            double value;
            memcpy(&value, from + 8 * i, sizeof value);
            out[i] = (float)value;
        }
        return;
    }
    CHECK(type == STORED_BF16 || type == STORED_F16, "values of type %s", types[type].name);
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, from + 2 * i, sizeof bits);
        out[i] = type == STORED_BF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
    }
}

/* E4M3 without infinities, as it is stored for weights. */
static double e4m3_to_f64(uint8_t bits)
{
    int exponent = bits >> 3 & 15, fraction = bits & 7;
    double value = exponent == 0 ? ldexp(fraction, -9) : ldexp(8 + fraction, exponent - 10);
    if (exponent == 15 && fraction == 7)
        value = (double)NAN;
    return bits & 0x80 ? -value : value;
}

static double value_of(const char *from, StoredType type)
{
    uint64_t bits = 0;
    double real;
    float single;
    memcpy(&bits, from, types[type].bytes); /* all that is read here is little-endian */
    switch (type) {
    case STORED_F64:
        memcpy(&real, from, sizeof real);
        return real;
    case STORED_F32:
        memcpy(&single, from, sizeof single);
        return (double)single;
    case STORED_F16:
        return (double)f16_to_f32((uint16_t)bits);
    case STORED_BF16:
        return (double)bf16_to_f32((uint16_t)bits);
    case STORED_I64:
        return (double)(int64_t)bits;
    case STORED_I32:
        return (int32_t)bits;
    case STORED_I16:
        return (int16_t)bits;
    case STORED_I8:
        return (int8_t)bits;
    case STORED_F8_E4M3:
        return e4m3_to_f64((uint8_t)bits);
    case STORED_F8_E5M2:
        return (double)f16_to_f32((uint16_t)(bits << 8));
    default:
        return (double)bits; /* unsigned ones, and truth values */
    }
}

void stored_to_f64(const void *data, StoredType type, int64_t first, int64_t count, double *out)
{
    const char *from = (const char *)data + (size_t)first * types[type].bytes;
    for (int64_t i = 0; i < count; i++)
        out[i] = value_of(from + (size_t)i * types[type].bytes, type);
}
