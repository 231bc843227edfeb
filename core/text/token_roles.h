/* What tokens are for: which begin, end, pad or mark up a text. Ids say that, and the chat
 * template's own words; neither a token's type nor its name does. */
#ifndef CAMBIUM_CORE_TEXT_TOKEN_ROLES_H
#define CAMBIUM_CORE_TEXT_TOKEN_ROLES_H

#include "core/text/tokenizer.h"

/* The token whose text this is, or -1; one that was added goes before one of the vocabulary. */
int32_t token_role_find(const TokenizerSpec *spec, const char *text, size_t bytes);

/* Whether a merge leads to the token or from it. */
bool token_role_is_merged(const TokenizerSpec *spec, int32_t id);

/* Files that call bos or an end token an ordinary one: it becomes special, unless merges lead to or
 * from it. Called once the roles are known. */
void token_roles_settle(TokenizerSpec *spec);

/* Whether a template could use it as a mark: words and white space that were added are text,
 * wherever they occur. */
bool token_role_is_mark(const char *text, int64_t bytes);

/* Which tokens a text never becomes of itself (n_tokens, the caller frees): special ones, and added
 * ones that begin, end, pad or stand for the unknown, that the chat template writes, or that are
 * written as marks are, <|...|>. */
bool *token_roles_control(const TokenizerSpec *spec);

#endif
