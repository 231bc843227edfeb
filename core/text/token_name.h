/* Names of tokens that tell them apart: keys of JSON objects. What a token stands for does not:
 * several may be the same text, and bytes that are no character all look alike. */
#ifndef CAMBIUM_CORE_TEXT_TOKEN_NAME_H
#define CAMBIUM_CORE_TEXT_TOKEN_NAME_H

#include "core/text/tokenizer.h"

/* Appends the name of a token: its text where that is valid UTF-8 and becomes this token, else its
 * bytes as OpenAI writes them (bytes:\xf0\x9f) where no other token has the same, else token_id:N;
 * so too for ids outside the vocabulary. No two ids have the same name. */
void token_name(const Tokenizer *tokenizer, int32_t id, StrBuf *out);

#endif
