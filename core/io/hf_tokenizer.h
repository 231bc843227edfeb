/* The vocabulary of a Hugging Face folder: tokenizer.json, and what the files beside it say of the
 * tokens' roles. */
#ifndef CAMBIUM_CORE_IO_HF_TOKENIZER_H
#define CAMBIUM_CORE_IO_HF_TOKENIZER_H

#include <jansson.h>

#include "core/text/tokenizer.h"

/* Reads the vocabulary at `path` (usually the folder's own tokenizer.json). The folder's
 * tokenizer_config.json, special_tokens_map.json, config.json and generation_config.json tell which
 * token begins texts, which pads, and all that end one; the chat template is read as well. Fills
 * `spec`, for tokenizer_new; empty when it fails. */
Status hf_tokenizer_read(const char *folder, const char *path, TokenizerSpec *spec, Err *err);

/* A JSON object of the folder; `*out` is NULL when there is no such file. The caller owns it and
 * the `*path` to it, also when this fails. */
Status hf_read_json(const char *folder, const char *name, json_t **out, char **path, Err *err);

/* The member "chat_template" of tokenizer_config.json: a text, or a list where there are two; NULL
 * where there is none. The caller owns it. */
json_t *hf_chat_template_json(const TokenizerSpec *spec);

/* generation_config.json: the tokens that begin, end and pad. The caller owns it. */
json_t *hf_generation_json(const Tokenizer *tokenizer);

#endif
