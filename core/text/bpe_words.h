/* The pieces that a pre-tokenizer cuts a corpus into, each with the number of times it was seen:
 * all that the training of byte-pair merges needs to know of a text. Belongs to one thread. */
#ifndef CAMBIUM_CORE_TEXT_BPE_WORDS_H
#define CAMBIUM_CORE_TEXT_BPE_WORDS_H

#include <stdint.h>

#include "core/base/err.h"

enum { CODE_POINTS = 0x110000 };

typedef struct BpeWords BpeWords;

/* `pattern` as in core/text/splitter.h. NULL and a sentence when it does not compile. */
BpeWords *bpe_words_new(const char *pattern, Err *err);
void bpe_words_free(BpeWords *words);

/* Cuts valid UTF-8 text and counts its pieces. */
void bpe_words_add_text(BpeWords *words, const char *text, int64_t bytes);
/* Counts one piece `count` times as it is. */
void bpe_words_add(BpeWords *words, const char *piece, int64_t bytes, int64_t count);

int64_t bpe_words_count(const BpeWords *words); /* distinct pieces */
/* Piece i in order of first appearance; borrowed. */
const char *bpe_words_get(const BpeWords *words, int64_t i, int64_t *bytes, int64_t *count);

/* Adds how often each code point occurs to `counts` (CODE_POINTS). */
void bpe_words_code_points(const BpeWords *words, int64_t *counts);

#endif
