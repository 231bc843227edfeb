/* The n-gram lists of the published vocabularies, read as their author ships them: either a Python
 * literal
 *     [{'lang': 'en', 'language_name': 'English', 'top_ngrams': {2: [('th', 3464625), ...]}}, ...]
 * or one string a line. Hostile files give an error with line and column, never a crash. */
#ifndef CAMBIUM_EMBED_NGRAMS_H
#define CAMBIUM_EMBED_NGRAMS_H

#include <stdint.h>

#include "core/base/err.h"
#include "core/base/file.h"
#include "core/base/strbuf.h"

typedef struct Ngram {
    int64_t offset; /* of its UTF-8 bytes in NgramList.text */
    int32_t bytes;
    int32_t length; /* code points */
    int32_t n;      /* the list it stood in; 0: a line of a plain list */
    int32_t rank;   /* its place in that list, from 0 */
    int32_t lang;   /* index into NgramList.langs; -1: a line of a plain list */
    int64_t count;  /* as the file says; 0: a line of a plain list */
} Ngram;

typedef struct NgramList {
    StrBuf text;
    Ngram *items;
    int64_t count, capacity;
    StringList langs;
} NgramList;

/* Appends what the file holds. On failure the list keeps what was read until then. */
Status ngrams_read(NgramList *list, const char *path, Err *err);
/* The same from memory; `name` stands for the path in errors. */
Status ngrams_parse(NgramList *list, const char *name, const char *text, int64_t bytes, Err *err);
void ngrams_clear(NgramList *list);

#endif
