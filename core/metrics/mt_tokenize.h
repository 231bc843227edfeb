/* The tokenizers of machine translation's scores, as sacrebleu 2.6.0 has them: they put spaces
 * between what is to be counted as a word. Tercom's are separate: TER's options choose them. */
#ifndef CAMBIUM_CORE_METRICS_MT_TOKENIZE_H
#define CAMBIUM_CORE_METRICS_MT_TOKENIZE_H

#include "core/base/err.h"
#include "core/metrics/symbols.h"

typedef enum MtTokenizer {
    MT_TOKENIZER_13A,  /* mteval-v13a: Western punctuation */
    MT_TOKENIZER_ZH,   /* every Chinese character alone, the rest as in 13a */
    MT_TOKENIZER_CHAR, /* every character alone */
    MT_TOKENIZER_INTL, /* mteval-v14: Unicode's punctuation and symbols */
    MT_TOKENIZER_NONE,
} MtTokenizer;

const char *mt_tokenizer_name(MtTokenizer tokenizer); /* as in signatures: "13a" */
Status mt_tokenizer_parse(const char *name, MtTokenizer *out, Err *err);

/* The code points of a text with spaces put in, in place. */
void mt_tokenize(MtTokenizer tokenizer, Symbols *codes);

typedef struct TercomOptions {
    bool normalize; /* separate punctuation and undo XML entities */
    bool no_punctuation;
    bool asian; /* both of these also for Chinese and Japanese */
    bool case_sensitive;
} TercomOptions;

void tercom_tokenize(const TercomOptions *options, Symbols *codes);

#endif
