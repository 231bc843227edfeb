#include "core/io/block_unpack.h"

#include <stdint.h>
#include <string.h>

#include "core/io/stored_type.h"

/* The blocks of the K types: 256 numbers in sub-blocks with scales of 4, 6 or 8 bits. */
enum { SMALL = 32, SUPER = 256, SCALES = 12 };

typedef struct BlockQ4_0 {
    uint16_t scale;           /* F16 */
    uint8_t pairs[SMALL / 2]; /* number i in the low half, number i + 16 in the high half */
} BlockQ4_0;

typedef struct BlockQ4_1 {
    uint16_t scale, least;
    uint8_t pairs[SMALL / 2];
} BlockQ4_1;

typedef struct BlockQ5_0 {
    uint16_t scale;
    uint8_t fifth[SMALL / 8]; /* the fifth bit of each number */
    uint8_t pairs[SMALL / 2];
} BlockQ5_0;

typedef struct BlockQ5_1 {
    uint16_t scale, least;
    uint8_t fifth[SMALL / 8];
    uint8_t pairs[SMALL / 2];
} BlockQ5_1;

typedef struct BlockQ8_0 {
    uint16_t scale;
    int8_t numbers[SMALL];
} BlockQ8_0;

typedef struct BlockMxfp4 {
    uint8_t exponent;
    uint8_t pairs[SMALL / 2];
} BlockMxfp4;

typedef struct BlockQ2_K {
    uint8_t scales[SUPER / 16]; /* scale and minimum of 16 numbers, 4 bits each */
    uint8_t quads[SUPER / 4];
    uint16_t scale, least;
} BlockQ2_K;

typedef struct BlockQ3_K {
    uint8_t third[SUPER / 8]; /* the third bit of each number, inverted */
    uint8_t quads[SUPER / 4];
    uint8_t scales[SCALES]; /* 16 scales of 6 bits */
    uint16_t scale;
} BlockQ3_K;

typedef struct BlockQ4_K {
    uint16_t scale, least;  /* of the sub-blocks' scales and minima */
    uint8_t scales[SCALES]; /* 8 scales and 8 minima of 6 bits */
    uint8_t pairs[SUPER / 2];
} BlockQ4_K;

typedef struct BlockQ5_K {
    uint16_t scale, least;
    uint8_t scales[SCALES];
    uint8_t fifth[SUPER / 8];
    uint8_t pairs[SUPER / 2];
} BlockQ5_K;

typedef struct BlockQ6_K {
    uint8_t low[SUPER / 2];  /* 4 bits of each number */
    uint8_t high[SUPER / 4]; /* the other 2 */
    int8_t scales[SUPER / 16];
    uint16_t scale;
} BlockQ6_K;

typedef struct BlockIq4Xs {
    uint16_t scale;
    uint16_t high;  /* of 8 scales of 6 bits, 2 bits each */
    uint8_t low[4]; /* the other 4 */
    uint8_t pairs[SUPER / 2];
} BlockIq4Xs;

/* What four bits stand for: in IQ4 unevenly spaced, in MXFP4 numbers of 1 + 2 + 1 bits, doubled. */
static const int8_t uneven[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t tiny[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static float half(uint16_t bits)
{
    float value;
    stored_to_f32(&bits, STORED_F16, 0, 1, &value);
    return value;
}

void unpack_q4_0(const void *from, float *out)
{
    BlockQ4_0 block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int i = 0; i < SMALL / 2; i++) {
        out[i] = (float)((block.pairs[i] & 15) - 8) * scale;
        out[i + SMALL / 2] = (float)((block.pairs[i] >> 4) - 8) * scale;
    }
}

void unpack_q4_1(const void *from, float *out)
{
    BlockQ4_1 block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale), least = half(block.least);
    for (int i = 0; i < SMALL / 2; i++) {
        out[i] = (float)(block.pairs[i] & 15) * scale + least;
        out[i + SMALL / 2] = (float)(block.pairs[i] >> 4) * scale + least;
    }
}

void unpack_q8_0(const void *from, float *out)
{
    BlockQ8_0 block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int i = 0; i < SMALL; i++)
        out[i] = (float)block.numbers[i] * scale;
}

/* Number `i` of 32 in halves of bytes. */
static int nibble(const uint8_t *pairs, int i)
{
    return pairs[i % 16] >> i / 16 * 4 & 15;
}

static int five_bits(const uint8_t *pairs, const uint8_t *fifth, int i)
{
    return nibble(pairs, i) | (fifth[i / 8] >> i % 8 & 1) << 4;
}

void unpack_q5_0(const void *from, float *out)
{
    BlockQ5_0 block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int i = 0; i < SMALL; i++)
        out[i] = scale * (float)(five_bits(block.pairs, block.fifth, i) - 16);
}

void unpack_q5_1(const void *from, float *out)
{
    BlockQ5_1 block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale), least = half(block.least);
    for (int i = 0; i < SMALL; i++)
        out[i] = scale * (float)five_bits(block.pairs, block.fifth, i) + least;
}

void unpack_iq4_nl(const void *from, float *out)
{
    BlockQ4_0 block; /* the same but for what the halves stand for */
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int i = 0; i < SMALL; i++)
        out[i] = scale * (float)uneven[nibble(block.pairs, i)];
}

/* The scale is half of 2 to the power of the exponent less 127, which may be subnormal. */
void unpack_mxfp4(const void *from, float *out)
{
    BlockMxfp4 block;
    float scale;
    memcpy(&block, from, sizeof block);
    uint32_t exponent = block.exponent;
    uint32_t bits = exponent < 2 ? UINT32_C(0x00200000) << exponent : (exponent - 1) << 23;
    memcpy(&scale, &bits, sizeof scale);
    for (int i = 0; i < SMALL; i++)
        out[i] = scale * (float)tiny[nibble(block.pairs, i)];
}

/* Each half of the block: 32 bytes with numbers i, i + 32, i + 64 and i + 96 in two bits each. */
static int quarter(const uint8_t *quads, int i)
{
    return quads[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
}

void unpack_q2_k(const void *from, float *out)
{
    BlockQ2_K block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale), least = half(block.least);
    for (int i = 0; i < SUPER; i++) {
        uint8_t packed = block.scales[i / 16];
        float step = scale * (float)(packed & 15), low = least * (float)(packed >> 4);
        out[i] = step * (float)quarter(block.quads, i) - low;
    }
}

/* The scale of sub-block `j` (0 to 15): 4 bits of the first eight bytes, 2 of the last four. */
static int sub_scale(const uint8_t *packed, int j)
{
    int low = packed[j % 8] >> j / 8 * 4 & 15, high = packed[8 + j % 4] >> j / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

void unpack_q3_k(const void *from, float *out)
{
    BlockQ3_K block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int i = 0; i < SUPER; i++) {
        float step = scale * (float)sub_scale(block.scales, i / 16);
        int third = block.third[i % 32] >> i / 32 & 1;
        out[i] = step * (float)(quarter(block.quads, i) - (third ? 0 : 4));
    }
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

/* What Q4_K and Q5_K share. Each 32 bytes of `pairs` hold sub-block 2 k in their low halves and
 * 2 k + 1 in their high halves; bit j of `fifth` (or NULL) belongs to sub-block j. */
static void unpack_small(uint16_t scale_bits, uint16_t least_bits, const uint8_t *scales,
                         const uint8_t *all_pairs, const uint8_t *fifth, float *out)
{
    float scale = half(scale_bits), least = half(least_bits);
    for (int j = 0; j < SUPER / SMALL; j++) {
        int s, m;
        sub_scales(scales, j, &s, &m);
        float step = scale * (float)s, low = least * (float)m;
        const uint8_t *pairs = all_pairs + j / 2 * SMALL;
        for (int i = 0; i < SMALL; i++) {
            int number = pairs[i] >> j % 2 * 4 & 15;
            if (fifth)
                number |= (fifth[i] >> j & 1) << 4;
            out[j * SMALL + i] = step * (float)number - low;
        }
    }
}

void unpack_q4_k(const void *from, float *out)
{
    BlockQ4_K block;
    memcpy(&block, from, sizeof block);
    unpack_small(block.scale, block.least, block.scales, block.pairs, NULL, out);
}

void unpack_q5_k(const void *from, float *out)
{
    BlockQ5_K block;
    memcpy(&block, from, sizeof block);
    unpack_small(block.scale, block.least, block.scales, block.pairs, block.fifth, out);
}

void unpack_iq4_xs(const void *from, float *out)
{
    BlockIq4Xs block;
    memcpy(&block, from, sizeof block);
    float scale = half(block.scale);
    for (int j = 0; j < SUPER / SMALL; j++) {
        int s = (block.low[j / 2] >> j % 2 * 4 & 15) | (block.high >> 2 * j & 3) << 4;
        float step = scale * (float)(s - 32);
        for (int i = 0; i < SMALL; i++)
            out[j * SMALL + i] = step * (float)uneven[nibble(block.pairs + j * 16, i)];
    }
}

/* Each half of the block: 32 bytes with numbers i and i + 64, 32 with i + 32 and i + 96, and the
 * high bits of these four in one byte. */
void unpack_q6_k(const void *from, float *out)
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
