/* Pictures of tokens for people: a contact sheet as a PNG file, and the nearest tokens in a
 * terminal, drawn in Braille signs. */
#ifndef CAMBIUM_EMBED_PREVIEW_H
#define CAMBIUM_EMBED_PREVIEW_H

#include <jansson.h>

#include "core/text/tokenizer.h"

typedef struct Pictures {
    const TokenizerSpec *tokens;
    const uint8_t *pixels; /* (tokens, side * side); ink is `ink`, paper is 0 */
    int side;
    int ink;             /* 1 or 255 */
    const float *values; /* (tokens, dim) */
    int64_t dim;
} Pictures;

/* Writes tokens spread evenly over the vocabulary, in the order of their ids, as dark pictures on
 * light paper. */
Status preview_sheet(const Pictures *pictures, const char *path, Err *err);

enum { NEIGHBOURS = 7 };

/* For each of the words in `query` (separated by spaces; a leading underscore stands for a space)
 * the token and those of largest cosine with it, on stdout; with `json`, appended to that array
 * instead. Fails when a word is not a token. */
Status preview_neighbours(const Pictures *pictures, const char *query, json_t *json, Err *err);

/* The token as one line of text: control characters as \xNN, specials by name. Appends. */
void token_label(const TokenizerSpec *tokens, int64_t id, StrBuf *out);

#endif
