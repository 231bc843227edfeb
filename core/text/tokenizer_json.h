/* Hugging Face's tokenizer.json: byte-pair vocabularies are read and written, everything else is
 * refused by name.
 *
 * Read: BPE models; the pre-tokenizers ByteLevel, Split (isolating), Digits, Punctuation and
 * Sequences of them; the normalizers Prepend and Replace as Llama combines them. Post-processors
 * only tell which tokens are bos and eos, and whether texts begin with bos (else: bare_start).
 * Differences that remain: names of special tokens in a text are plain text unless asked for, and a
 * literal U+2581 in the text of a Llama-like vocabulary stays what it is (through its bytes)
 * instead of becoming a space. */
#ifndef CAMBIUM_CORE_TEXT_TOKENIZER_JSON_H
#define CAMBIUM_CORE_TEXT_TOKENIZER_JSON_H

#include "core/base/err.h"
#include "core/base/strbuf.h"
#include "core/text/tokenizer.h"

/* GPT-2's pre-tokenizer pattern, which ByteLevel applies unless told otherwise. */
extern const char tokenizer_gpt2_pattern[];

/* Fills `spec`, for tokenizer_new. When it fails, `spec` is empty. */
Status tokenizer_json_read(const char *path, TokenizerSpec *spec, Err *err);
Status tokenizer_json_parse(const char *json, int64_t bytes, TokenizerSpec *spec, Err *err);

/* Fails on what the format cannot hold: two tokens with the same text, token bytes that are not
 * UTF-8 in a vocabulary that is not byte-level. A vocabulary that merges by score is written with
 * the merges that follow from its scores. */
Status tokenizer_json_write(const Tokenizer *tokenizer, const char *path, Err *err);
Status tokenizer_json_format(const Tokenizer *tokenizer, StrBuf *out, Err *err);

#endif
