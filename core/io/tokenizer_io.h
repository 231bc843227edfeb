/* Tokenizers in containers: the group /tokenizer with `spec` (JSON: kind, flags, pattern, special
 * tokens, chat template), `text` (all tokens' bytes, uint8), `offsets` (tokens + 1, int64), `types`
 * (tokens, uint8), `scores` (tokens, float32; vocabularies that merge by score) and `merges`
 * (merges x 3, int32). */
#ifndef CAMBIUM_CORE_IO_TOKENIZER_IO_H
#define CAMBIUM_CORE_IO_TOKENIZER_IO_H

#include "core/io/container.h"
#include "core/text/tokenizer.h"

Status tokenizer_put(ContainerWriter *writer, const TokenizerSpec *spec, Err *err);

/* The caller clears the spec. Its arrays have consistent lengths; tokenizer_new checks the rest. */
Status tokenizer_spec_read(const Container *container, TokenizerSpec *spec, Err *err);

/* The same from a file: a tokenizer.json when its name ends in .json, else a container. */
Status tokenizer_spec_load(const char *path, TokenizerSpec *spec, Err *err);

/* The caller frees the tokenizer. */
Status tokenizer_read(const Container *container, Tokenizer **out, Err *err);

/* SHA-256 of everything but the name and the chat template: equal for tokenizers that do the same.
 */
Sha256 tokenizer_hash(const TokenizerSpec *spec);

#endif
