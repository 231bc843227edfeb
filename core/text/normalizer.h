/* Normalizers: what a text becomes before it is cut. A list of Hugging Face's own steps: NFC, NFD,
 * NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace. Immutable, and shared by threads.
 */
#ifndef CAMBIUM_CORE_TEXT_NORMALIZER_H
#define CAMBIUM_CORE_TEXT_NORMALIZER_H

#include "core/base/err.h"
#include "core/base/strbuf.h"

typedef struct Normalizer Normalizer;

/* `steps`: a JSON array. NULL, and a sentence, when a step is not known. */
Normalizer *normalizer_new(const char *steps, Err *err);
void normalizer_free(Normalizer *normalizer);

/* A text, and a tag of bits for each of its bytes, which follows what the byte becomes; what a step
 * adds gets the tag of its neighbour. */
typedef struct TaggedText {
    StrBuf text, tags;
} TaggedText;

void tagged_text_clear(TaggedText *text);

/* Brings the text, which is valid UTF-8, into its normal form, in place. */
void normalizer_run(const Normalizer *normalizer, TaggedText *text);

#endif
