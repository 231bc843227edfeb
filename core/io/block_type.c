#include "core/io/block_type.h"

#include <math.h>
#include <string.h>

/* The blocks of the K types: 256 numbers in sub-blocks with scales of 6 or 8 bits. */
enum { SMALL = 32, SUPER = 256, SCALES = 12 };

typedef struct BlockQ4_0 {
    uint16_t scale;           /* F16 */
    uint8_t pairs[SMALL / 2]; /* number i in the low half, number i + 16 in the high half */
} BlockQ4_0;

typedef struct BlockQ4_1 {
    uint16_t scale, least;
    uint8_t pairs[SMALL / 2];
} BlockQ4_1;

typedef struct BlockQ8_0 {
    uint16_t scale;
    int8_t numbers[SMALL];
} BlockQ8_0;

typedef struct BlockQ4_K {
    uint16_t scale, least;  /* of the sub-blocks' scales and minima */
    uint8_t scales[SCALES]; /* 8 scales and 8 minima of 6 bits */
    uint8_t pairs[SUPER / 2];
} BlockQ4_K;

typedef struct BlockQ6_K {
    uint8_t low[SUPER / 2];  /* 4 bits of each number */
    uint8_t high[SUPER / 4]; /* the other 2 */
    int8_t scales[SUPER / 16];
    uint16_t scale;
} BlockQ6_K;

static const struct {
    const char *name;
    int64_t values, bytes; /* 0: not read */
} types[] = {
    [BLOCK_F32] = {"F32", 1, 4},
    [BLOCK_F16] = {"F16", 1, 2},
    [BLOCK_Q4_0] = {"Q4_0", SMALL, sizeof(BlockQ4_0)},
    [BLOCK_Q4_1] = {"Q4_1", SMALL, sizeof(BlockQ4_1)},
    [6] = {"Q5_0", 0, 0},
    [7] = {"Q5_1", 0, 0},
    [BLOCK_Q8_0] = {"Q8_0", SMALL, sizeof(BlockQ8_0)},
    [9] = {"Q8_1", 0, 0},
    [10] = {"Q2_K", 0, 0},
    [11] = {"Q3_K", 0, 0},
    [BLOCK_Q4_K] = {"Q4_K", SUPER, sizeof(BlockQ4_K)},
    [13] = {"Q5_K", 0, 0},
    [BLOCK_Q6_K] = {"Q6_K", SUPER, sizeof(BlockQ6_K)},
    [15] = {"Q8_K", 0, 0},
    [16] = {"IQ2_XXS", 0, 0},
    [17] = {"IQ2_XS", 0, 0},
    [18] = {"IQ3_XXS", 0, 0},
    [19] = {"IQ1_S", 0, 0},
    [20] = {"IQ4_NL", 0, 0},
    [21] = {"IQ3_S", 0, 0},
    [22] = {"IQ2_S", 0, 0},
    [23] = {"IQ4_XS", 0, 0},
    [24] = {"I8", 0, 0},
    [25] = {"I16", 0, 0},
    [26] = {"I32", 0, 0},
    [27] = {"I64", 0, 0},
    [BLOCK_F64] = {"F64", 1, 8},
    [29] = {"IQ1_M", 0, 0},
    [BLOCK_BF16] = {"BF16", 1, 2},
    [34] = {"TQ1_0", 0, 0},
    [35] = {"TQ2_0", 0, 0},
    [39] = {"MXFP4", 0, 0},
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

static float half(uint16_t bits)
{
    float value;
    stored_to_f32(&bits, STORED_F16, 0, 1, &value);
    return value;
}

static void from_q4_0(const void *from, float *out)
{
    BlockQ4_0 block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int i = 0; i < SMALL / 2; i++) {
        out[i] = (float)((block.pairs[i] & 15) - 8) * scale;
        out[i + SMALL / 2] = (float)((block.pairs[i] >> 4) - 8) * scale;
    }
}

static void from_q4_1(const void *from, float *out)
{
    BlockQ4_1 block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale), least = half(block.least);
    for (int i = 0; i < SMALL / 2; i++) {
        out[i] = (float)(block.pairs[i] & 15) * scale + least;
        out[i + SMALL / 2] = (float)(block.pairs[i] >> 4) * scale + least;
    }
}

static void from_q8_0(const void *from, float *out)
{
    BlockQ8_0 block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int i = 0; i < SMALL; i++)
        out[i] = (float)block.numbers[i] * scale;
}

/* The scale and minimum of sub-block `j` (0 to 7): 6 bits each, those of the last four in pieces.
 */
static void sub_scales(const uint8_t *packed, int j, int *scale, int *least)
{
    if (j < 4) {
        *scale = packed[j] & 63;
        *least = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
        *least = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    }
}

/* Each 32 bytes hold sub-block 2 k in their low halves and 2 k + 1 in their high halves. */
static void from_q4_k(const void *from, float *out)
{
    BlockQ4_K block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale), least = half(block.least);
    for (int j = 0; j < SUPER / SMALL; j++) {
        int s, m;
        sub_scales(block.scales, j, &s, &m);
        float step = scale * (float)s, low = least * (float)m;
        const uint8_t *pairs = block.pairs + j / 2 * SMALL;
        for (int i = 0; i < SMALL; i++)
            out[j * SMALL + i] = step * (float)(pairs[i] >> j % 2 * 4 & 15) - low;
    }
}

/* Each half of the block: 32 bytes with numbers i and i + 64, 32 with i + 32 and i + 96, and the
 * high bits of these four in one byte. */
static void from_q6_k(const void *from, float *out)
{
    BlockQ6_K block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int i = 0; i < SUPER; i++) {
        int part = i / 128, within = i % 128, quarter = within / 32, lane = within % 32;
        int low = block.low[part * 64 + quarter % 2 * 32 + lane] >> quarter / 2 * 4 & 15;
        int high = block.high[part * 32 + lane] >> quarter * 2 & 3;
        out[i] = scale * (float)block.scales[i / 16] * (float)((low | high << 4) - 32);
    }
}

void block_to_f32(const void *data, BlockType type, int64_t first, int64_t count, float *out)
{
    int64_t values = types[type].values, bytes = types[type].bytes;
    DCHECK(first % values == 0 && count % values == 0, "%lld numbers from %lld", (long long)count,
           (long long)first);
    const char *from = (const char *)data + first / values * bytes;
    void (*unpack)(const void *, float *) = NULL;
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
    case BLOCK_Q4_0:
        unpack = from_q4_0;
        break;
    case BLOCK_Q4_1:
        unpack = from_q4_1;
        break;
    case BLOCK_Q8_0:
        unpack = from_q8_0;
        break;
    case BLOCK_Q4_K:
        unpack = from_q4_k;
        break;
    case BLOCK_Q6_K:
        unpack = from_q6_k;
        break;
    }
    for (int64_t i = 0; i < count / values; i++)
        unpack(from + i * bytes, out + i * values);
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
