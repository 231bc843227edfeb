/* What reading and writing the vocabularies of GGUF files share. */
#ifndef CAMBIUM_CORE_IO_GGUF_VOCABULARY_H
#define CAMBIUM_CORE_IO_GGUF_VOCABULARY_H

#include <stdbool.h>

#include "core/text/tokenizer.h"

/* U+2581, which stands for a space in SentencePiece's vocabularies. */
#define GGUF_METASPACE "\xE2\x96\x81"
/* What a row of the table that no token has is named, with its number. */
#define GGUF_PADDING_NAME "[PAD%lld]"

/* Our own key: the ids of all end tokens, where there are more than the format's keys hold. */
#define GGUF_ENDS "cambium.end_token_ids"

/* llama.cpp's numbers of token types. */
enum { KIND_TEXT = 1, KIND_UNKNOWN, KIND_CONTROL, KIND_USER, KIND_UNUSED, KIND_BYTE };

typedef struct PreTokenizer {
    const char *name;    /* in GGUF files */
    const char *pattern; /* as the models' own tokenizers have it */
    bool digits;         /* before it, every digit is set apart */
    bool ignore_merges, nfc;
    bool bos; /* texts begin with bos unless the file says otherwise */
} PreTokenizer;

const PreTokenizer *gguf_pre_named(const char *name); /* or NULL */
/* The one that cuts texts as this vocabulary does; NULL: it has no name there. */
const PreTokenizer *gguf_pre_of(const TokenizerSpec *spec);
/* The pattern as core/text/splitter.h wants it; the caller frees. */
char *gguf_pre_pattern(const PreTokenizer *pre);

#endif
