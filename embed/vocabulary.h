/* From a recipe's name and the files the user gave to a vocabulary. */
#ifndef CAMBIUM_EMBED_VOCABULARY_H
#define CAMBIUM_EMBED_VOCABULARY_H

#include <jansson.h>

#include "core/base/file.h"
#include "core/io/corpus_reader.h"
#include "core/text/tokenizer.h"
#include "embed/font.h"
#include "embed/recipe_cambium.h"

typedef struct VocabularyOptions {
    const char *recipe;        /* "cambium" or one that bvv241_find knows */
    const StringList *ngrams;  /* n-gram files; cambium counts them as words */
    const StringList *corpora; /* text files; cambium only */
    CorpusOptions reading;
    int64_t corpus_bytes;   /* read at most so many of each file; 0: all */
    CambiumOptions cambium; /* all_bmp is decided by the caller */
} VocabularyOptions;

/* The caller clears `out`. `*facts` is a new object with what was counted; the caller releases it.
 * Fails on unreadable files, STATUS_STOPPED on a wish to stop. */
Status vocabulary_build(const VocabularyOptions *options, const FontFiles *fonts,
                        TokenizerSpec *out, json_t **facts, Err *err);

/* Calls `fn` with the documents of a corpus file until `limit` bytes (0: all) were given; the last
 * is cut between characters. */
typedef void DocumentFn(void *context, const char *text, int64_t bytes);
Status corpus_read(const char *path, const CorpusOptions *reading, int64_t limit, DocumentFn *fn,
                   void *context, Err *err);

#endif
