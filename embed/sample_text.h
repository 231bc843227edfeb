/* Made-up text for measurements that must run without any file: words of random letters whose
 * frequencies fall as in languages (Zipf), the same on every machine. */
#ifndef CAMBIUM_EMBED_SAMPLE_TEXT_H
#define CAMBIUM_EMBED_SAMPLE_TEXT_H

#include "core/base/strbuf.h"
#include "core/text/tokenizer.h"
#include "embed/font.h"

typedef enum SampleScript {
    SAMPLE_LATIN,
    SAMPLE_CYRILLIC,
    SAMPLE_HAN,
    SAMPLE_SCRIPTS
} SampleScript;

/* "latin", "cyrillic", "han". Borrowed. */
const char *sample_name(SampleScript script);

/* Appends at least `bytes` bytes of text in the script. */
void sample_text(SampleScript script, int64_t bytes, StrBuf *out);

/* A vocabulary of the recipe cambium, learnt from such texts of all scripts. The caller frees it.
 */
Status sample_tokenizer(Tokenizer **out, const FontFiles *fonts, int64_t n_tokens, Err *err);

#endif
