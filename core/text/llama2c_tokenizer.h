/* The tokenizer.bin of llama2.c: a SentencePiece vocabulary with scores, spaces written out. */
#ifndef CAMBIUM_CORE_TEXT_LLAMA2C_TOKENIZER_H
#define CAMBIUM_CORE_TEXT_LLAMA2C_TOKENIZER_H

#include "core/text/tokenizer.h"

/* The file does not say how many tokens it holds, so all of it is read; a model may use fewer rows.
 * The first three tokens are unk, bos and eos, as in every file of this kind; <0xXX> are bytes.
 * When it fails, `spec` is empty. */
Status llama2c_tokenizer_read(const char *path, TokenizerSpec *spec, Err *err);
Status llama2c_tokenizer_parse(const char *data, int64_t bytes, TokenizerSpec *spec, Err *err);

#endif
