/* From the bytes of a token to its id. Read-only once filled, so threads may share it. */
#ifndef CAMBIUM_CORE_TEXT_TOKEN_INDEX_H
#define CAMBIUM_CORE_TEXT_TOKEN_INDEX_H

#include <stdint.h>

#include "core/text/tokenizer.h"

typedef struct TokenIndex {
    int32_t *slots; /* ids, -1: free; open addressing */
    uint64_t mask;  /* slots - 1 */
} TokenIndex;

/* Where several tokens are the same bytes, the index holds the one that text should become: text
 * before added before special before byte before unused, then the lowest id. */
void token_index_init(TokenIndex *index, const TokenizerSpec *spec);
void token_index_clear(TokenIndex *index);

/* The id, or -1. */
int32_t token_index_find(const TokenIndex *index, const TokenizerSpec *spec, const char *text,
                         int64_t bytes);

#endif
