/* Codes without pictures: the published ablations of the frozen table.
 *
 * Made from integers and correctly rounded operations only, so that one seed gives the same table,
 * to the last bit, on every machine. */
#ifndef CAMBIUM_EMBED_CODES_H
#define CAMBIUM_EMBED_CODES_H

#include <stdint.h>

#include "core/base/err.h"

typedef enum CodeKind {
    CODE_ID,     /* the bits of the token's id, 0 or 1; component j is bit j (the lowest first) */
    CODE_BITS,   /* random bits, 0 or 1, no two rows the same */
    CODE_FLOATS, /* random directions: rows of unit length, no two the same */
    CODE_AFFINE, /* A * bits(id) xor b over GF(2), A and b random, A of full rank, so that no two
                    rows are the same; with 16 bits and up to 65,536 tokens A is invertible 16 x 16
                  */
} CodeKind;

typedef struct CodeSpec {
    CodeKind kind;
    int64_t rows;  /* tokens, 1 to 2^23 */
    int64_t width; /* N, 1 to 16384; published: 16, 64, 256, 1024 */
    uint64_t seed; /* not used by CODE_ID */
} CodeSpec;

/* Fills `out`, (rows, width) row-major. Fails when there are not enough codes of that width. */
Status codes_make(const CodeSpec *spec, float *out, Err *err);

#endif
