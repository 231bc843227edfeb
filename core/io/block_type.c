#include "core/io/block_type.h"

#include <math.h>
#include <string.h>

#include "core/io/block_unpack.h"

enum { SMALL = 32, SUPER = 256 }; /* numbers in a block */

static const struct {
    const char *name;
    int64_t values, bytes; /* 0: not read */
    void (*unpack)(const void *from, float *out);
} types[] = {
    [BLOCK_F32] = {"F32", 1, 4, NULL},
    [BLOCK_F16] = {"F16", 1, 2, NULL},
    [BLOCK_Q4_0] = {"Q4_0", SMALL, 18, unpack_q4_0},
    [BLOCK_Q4_1] = {"Q4_1", SMALL, 20, unpack_q4_1},
    [BLOCK_Q5_0] = {"Q5_0", SMALL, 22, unpack_q5_0},
    [BLOCK_Q5_1] = {"Q5_1", SMALL, 24, unpack_q5_1},
    [BLOCK_Q8_0] = {"Q8_0", SMALL, 34, unpack_q8_0},
    [9] = {"Q8_1", 0, 0, NULL},
    [BLOCK_Q2_K] = {"Q2_K", SUPER, 84, unpack_q2_k},
    [BLOCK_Q3_K] = {"Q3_K", SUPER, 110, unpack_q3_k},
    [BLOCK_Q4_K] = {"Q4_K", SUPER, 144, unpack_q4_k},
    [BLOCK_Q5_K] = {"Q5_K", SUPER, 176, unpack_q5_k},
    [BLOCK_Q6_K] = {"Q6_K", SUPER, 210, unpack_q6_k},
    [15] = {"Q8_K", 0, 0, NULL},
    [16] = {"IQ2_XXS", 0, 0, NULL},
    [17] = {"IQ2_XS", 0, 0, NULL},
    [18] = {"IQ3_XXS", 0, 0, NULL},
    [19] = {"IQ1_S", 0, 0, NULL},
    [BLOCK_IQ4_NL] = {"IQ4_NL", SMALL, 18, unpack_iq4_nl},
    [21] = {"IQ3_S", 0, 0, NULL},
    [22] = {"IQ2_S", 0, 0, NULL},
    [BLOCK_IQ4_XS] = {"IQ4_XS", SUPER, 136, unpack_iq4_xs},
    [24] = {"I8", 0, 0, NULL},
    [25] = {"I16", 0, 0, NULL},
    [26] = {"I32", 0, 0, NULL},
    [27] = {"I64", 0, 0, NULL},
    [BLOCK_F64] = {"F64", 1, 8, NULL},
    [29] = {"IQ1_M", 0, 0, NULL},
    [BLOCK_BF16] = {"BF16", 1, 2, NULL},
    [34] = {"TQ1_0", 0, 0, NULL},
    [35] = {"TQ2_0", 0, 0, NULL},
    [BLOCK_MXFP4] = {"MXFP4", SMALL, 17, unpack_mxfp4},
    [40] = {"NVFP4", 0, 0, NULL},
    [41] = {"Q1_0", 0, 0, NULL},
};
enum { N_TYPES = sizeof types / sizeof *types };

bool block_known(int64_t number)
{
    return number >= 0 && number < N_TYPES && types[number].values > 0;
}

const char *block_name(int64_t number)
{
    return number >= 0 && number < N_TYPES && types[number].name ? types[number].name : "?";
}

int64_t block_values(BlockType type)
{
    return types[type].values;
}

int64_t block_bytes(BlockType type)
{
    return types[type].bytes;
}

BlockType block_of(StoredType type)
{
    CHECK(stored_is_float(type), "weights of type %s", stored_name(type));
    return type == STORED_F64   ? BLOCK_F64
           : type == STORED_F32 ? BLOCK_F32
           : type == STORED_F16 ? BLOCK_F16
                                : BLOCK_BF16;
}

/* ---- blocks to numbers ---------------------------------------------------------------------- */

void block_to_f32(const void *data, BlockType type, int64_t first, int64_t count, float *out)
{
    int64_t values = types[type].values, bytes = types[type].bytes;
    DCHECK(first % values == 0 && count % values == 0, "%lld numbers from %lld", (long long)count,
           (long long)first);
    const char *from = (const char *)data + first / values * bytes;
    switch (type) {
    case BLOCK_F64:
        stored_to_f32(from, STORED_F64, 0, count, out);
        return;
    case BLOCK_F32:
        stored_to_f32(from, STORED_F32, 0, count, out);
        return;
    case BLOCK_F16:
        stored_to_f32(from, STORED_F16, 0, count, out);
        return;
    case BLOCK_BF16:
        stored_to_f32(from, STORED_BF16, 0, count, out);
        return;
    default:
        for (int64_t i = 0; i < count / values; i++)
            types[type].unpack(from + i * bytes, out + i * values);
    }
}

/* ---- numbers to blocks ---------------------------------------------------------------------- */

/* IEEE 754 half precision, ties to even. */
static uint16_t to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000)
        return sign | 0x7e00; /* not a number */
    if (size >= 0x477ff000)
        return sign | 0x7c00; /* 65520 and above round to infinity */
    if (size < 0x38800000) {  /* below 2^-14: a multiple of 2^-24 */
        float steps = rintf(fabsf(value) * 0x1p24f);
        return sign | (uint16_t)steps;
    }
    uint32_t odd = size >> 13 & 1;
    return sign | (uint16_t)((size - 0x38000000 + 0xfff + odd) >> 13);
}

typedef struct BlockQ8_0 {
    uint16_t scale;
    int8_t numbers[SMALL];
} BlockQ8_0;

/* The largest number becomes 127. */
static void to_q8_0(const float *values, void *out)
{
    BlockQ8_0 block;
    float largest = 0.0f;
    for (int i = 0; i < SMALL; i++)
        largest = fmaxf(largest, fabsf(values[i]));
    float scale = largest / 127.0f, inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    block.scale = to_half(scale);
    for (int i = 0; i < SMALL; i++)
        block.numbers[i] = (int8_t)roundf(values[i] * inverse);
    memcpy(out, &block, sizeof block);
}

void block_from_f32(const float *values, BlockType type, int64_t count, void *out)
{
    CHECK(type == BLOCK_F32 || type == BLOCK_F16 || type == BLOCK_BF16 || type == BLOCK_Q8_0,
          "values cannot be written as %s", block_name(type));
    if (type == BLOCK_F32) {
        memcpy(out, values, (size_t)count * sizeof *values);
    } else if (type == BLOCK_Q8_0) {
        for (int64_t i = 0; i < count / SMALL; i++)
            to_q8_0(values + i * SMALL, (char *)out + i * (int64_t)sizeof(BlockQ8_0));
    } else {
        for (int64_t i = 0; i < count; i++) {
            uint16_t bits = type == BLOCK_F16 ? to_half(values[i]) : f32_to_bf16(values[i]);
            memcpy((char *)out + 2 * i, &bits, sizeof bits);
        }
    }
}
