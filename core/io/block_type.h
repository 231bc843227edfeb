/* Formats of weights in other programs' files: plain numbers, and blocks of numbers that share a
 * scale (GGML's). Numbers of a tensor are in order, innermost dimension first; a row is a whole
 * number of blocks. */
#ifndef CAMBIUM_CORE_IO_BLOCK_TYPE_H
#define CAMBIUM_CORE_IO_BLOCK_TYPE_H

#include "core/io/stored_type.h"

/* The values are GGML's numbers of the types. */
typedef enum BlockType {
    BLOCK_F32 = 0,
    BLOCK_F16 = 1,
    BLOCK_Q4_0 = 2,
    BLOCK_Q4_1 = 3,
    BLOCK_Q5_0 = 6,
    BLOCK_Q5_1 = 7,
    BLOCK_Q8_0 = 8,
    BLOCK_Q2_K = 10,
    BLOCK_Q3_K = 11,
    BLOCK_Q4_K = 12,
    BLOCK_Q5_K = 13,
    BLOCK_Q6_K = 14,
    BLOCK_IQ4_NL = 20,
    BLOCK_IQ4_XS = 23,
    BLOCK_F64 = 28, /* rounded to float32 */
    BLOCK_BF16 = 30,
    BLOCK_MXFP4 = 39,
} BlockType;

/* Whether the program reads blocks of GGML's type `number`. */
bool block_known(int64_t number);
/* GGML's name of the type ("Q4_K"), also of those that are not read; "?" for numbers that GGML does
 * not have. */
const char *block_name(int64_t number);

int64_t block_values(BlockType type); /* numbers in a block; 1 for plain numbers */
int64_t block_bytes(BlockType type);  /* of a block */
BlockType block_of(StoredType type);  /* of a type that can be a weight (stored_is_float) */

/* out[i] = float32 of number `first + i`; `first` and `count` are multiples of block_values.
 * `data` need not be aligned. Exact: what GGML's own dequantisation in float32 gives. */
void block_to_f32(const void *data, BlockType type, int64_t first, int64_t count, float *out);

/* The reverse, for F32, F16, BF16 and Q8_0, rounding to nearest. `count` is a multiple of
 * block_values; `out` receives count / block_values * block_bytes bytes. Values beyond the range of
 * F16 become infinite. */
void block_from_f32(const float *values, BlockType type, int64_t count, void *out);

#endif
