/* Rows that are the same, and small codes that tell them apart. Homoglyphs (Latin A, Greek Alpha,
 * Cyrillic A), blanks and characters without a glyph share one picture; a model that reads pictures
 * alone could not know which token it sees. */
#ifndef CAMBIUM_EMBED_IDENTITY_H
#define CAMBIUM_EMBED_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/text/tokenizer.h"

/* Groups of two or more equal rows. Group g is rows[starts[g]] .. rows[starts[g + 1] - 1], rising;
 * groups are in order of their first row. */
typedef struct RowGroups {
    int64_t n_groups;
    int64_t *starts; /* (n_groups + 1) */
    int64_t *rows;   /* (starts[n_groups]) */
} RowGroups;

/* `data` is (n_rows, row_bytes). */
void row_groups_find(RowGroups *groups, const void *data, int64_t n_rows, int64_t row_bytes);
void row_groups_clear(RowGroups *groups);

/* The norm of a code beside a picture of norm 1: two homoglyphs have a cosine of about
 * 1 / (1 + norm^2) = 0.94 then, near enough to share what was learnt, far enough to differ. */
#define IDENTITY_NORM 0.25

enum { IDENTITY_MAX = 256 };

/* Fills `out` (n_tokens, width): zero for a token that is in no group, else `width` components of
 * +-IDENTITY_NORM / sqrt(width) from a hash of the token, no two the same within a group. Fails
 * when `width` is too small for the largest group. 1 <= width <= IDENTITY_MAX. */
Status identity_codes(const RowGroups *groups, const TokenizerSpec *tokens, int64_t width,
                      float *out, Err *err);

#endif
