/* The vocabulary of a GGUF file, as a tokenizer of ours. */
#ifndef CAMBIUM_CORE_IO_GGUF_TOKENIZER_H
#define CAMBIUM_CORE_IO_GGUF_TOKENIZER_H

#include "core/io/gguf.h"
#include "core/text/tokenizer.h"

/* Reads byte-level BPE ("gpt2", whose pre-tokenizer pattern goes by a name) and SentencePiece BPE
 * ("llama"), with the special tokens, the chat template, and whether texts begin with bos. Other
 * kinds and other patterns are refused by name. Fills `spec`, for tokenizer_new; empty when it
 * fails. */
Status gguf_tokenizer_read(const GgufFile *file, TokenizerSpec *spec, Err *err);

/* Only the roles: which tokens begin, end and pad, the chat template, and whether texts begin with
 * bos. What the file does not state stays in `spec`, whose tokens may come from elsewhere. */
Status gguf_roles_read(const GgufFile *file, TokenizerSpec *spec, Err *err);

/* The reverse, for a model whose table has `rows` rows: rows without a token get unused ones. Fails
 * on vocabularies that the format cannot hold, such as those with a pattern that has no name there.
 */
Status gguf_tokenizer_write(GgufWriter *writer, const Tokenizer *tokenizer, int64_t rows, Err *err);

#endif
