/* Hugging Face's tokenizer.json: byte-pair vocabularies are read and written, everything else is
 * refused by name.
 *
 * Read: BPE models; the pre-tokenizers ByteLevel, Split, Digits, Punctuation, Metaspace,
 * Whitespace, WhitespaceSplit and Sequences of them; the normalizers of core/text/normalizer.h; the
 * decoders that go with them; added tokens with all their flags. Post-processors only tell which
 * tokens are bos and eos, and whether texts begin with bos (else: bare_start).
 *
 * Differences that remain: names of control tokens in a text are plain text unless asked for, and
 * no piece of a text is such a token; a special token is hidden however it was found; letters of
 * added tokens are decoded as they are; without a decoder, tokens are joined without spaces. */
#ifndef CAMBIUM_CORE_TEXT_TOKENIZER_JSON_H
#define CAMBIUM_CORE_TEXT_TOKENIZER_JSON_H

#include <jansson.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"
#include "core/text/tokenizer.h"

/* Fills `spec`, for tokenizer_new. When it fails, `spec` is empty. */
Status tokenizer_json_read(const char *path, TokenizerSpec *spec, Err *err);
/* The same with `added`: tokens by their ids, as tokenizer_config.json has them in its
 * "added_tokens_decoder". What it says of a token goes before what tokenizer.json says, and it may
 * add tokens behind the others. NULL: nothing. */
Status tokenizer_json_read_with(const char *path, const json_t *added, TokenizerSpec *spec,
                                Err *err);
Status tokenizer_json_parse(const char *json, int64_t bytes, TokenizerSpec *spec, Err *err);

/* Fails on what the format cannot hold: two tokens with the same text, token bytes that are not
 * UTF-8 in a vocabulary that is not byte-level. A vocabulary that merges by score is written with
 * the merges that follow from its scores. */
Status tokenizer_json_write(const Tokenizer *tokenizer, const char *path, Err *err);
Status tokenizer_json_format(const Tokenizer *tokenizer, StrBuf *out, Err *err);

#endif
