/* What a glyph table keeps of the pictures that it was made of, so that a row can be shown as one.
 *
 * A row is the picture's coordinates along the principal components, brought to unit length (behind
 * them may stand columns of an identity code). With u the row's first `kept` columns at unit
 * length,
 *
 *     picture = mean + length * sum_k u_k component_k
 *
 * which is the picture itself when all components are kept. Values are ink, 0 to 1. Stored beside
 * the table as /pictures/mean, /pictures/components and /pictures/lengths. */
#ifndef CAMBIUM_CORE_IO_PICTURE_BASIS_H
#define CAMBIUM_CORE_IO_PICTURE_BASIS_H

#include "core/io/container.h"

typedef struct PictureBasis {
    int64_t side, kept, rows;
    const float *mean;       /* (side, side) */
    const float *components; /* (kept, side * side) */
    const float *lengths;    /* (rows) */
} PictureBasis;

/* The arrays are borrowed for the call. */
Status picture_basis_put(ContainerWriter *writer, const PictureBasis *basis, Err *err);
/* Copies what another file has of it, if it has any. */
Status picture_basis_copy(ContainerWriter *writer, const Container *from, Err *err);

/* A model's or table's rows as pictures. Threads may draw at the same time. */
typedef struct TokenPictures TokenPictures;

/* NULL in `*out` when the file keeps no pictures or leaves its table out. */
Status token_pictures_open(TokenPictures **out, const char *path, Err *err);
void token_pictures_close(TokenPictures *pictures); /* NULL is allowed */
int64_t token_pictures_side(const TokenPictures *pictures);
int64_t token_pictures_rows(const TokenPictures *pictures);
/* `out` is (side, side), row by row: 0 for paper, 255 for ink. `token` is in range. */
void token_pictures_draw(const TokenPictures *pictures, int64_t token, uint8_t *out);

#endif
