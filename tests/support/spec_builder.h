/* Builds small tokenizers for tests, one token and one merge at a time. */
#ifndef CAMBIUM_TESTS_SUPPORT_SPEC_BUILDER_H
#define CAMBIUM_TESTS_SUPPORT_SPEC_BUILDER_H

#include "core/text/tokenizer.h"

/* An empty vocabulary that merges by rank, without special tokens. */
void spec_start(TokenizerSpec *spec);

/* Adds a token and returns its id. */
int32_t spec_token(TokenizerSpec *spec, const char *text, int64_t bytes, TokenType type);
int32_t spec_text(TokenizerSpec *spec, const char *text);

/* Adds a merge of two tokens, unless it is there; the result is added as a text token unless it
 * exists. Returns the result. */
int32_t spec_merge(TokenizerSpec *spec, int32_t left, int32_t right);

/* Adds the 256 byte tokens. */
void spec_bytes(TokenizerSpec *spec);

/* The id of the text token with these bytes, or -1. */
int32_t spec_find(const TokenizerSpec *spec, const char *text, int64_t bytes);

#endif
