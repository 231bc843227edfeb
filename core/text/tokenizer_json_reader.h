/* What the parts of the reader of tokenizer.json share. Private to core/text. */
#ifndef CAMBIUM_CORE_TEXT_TOKENIZER_JSON_READER_H
#define CAMBIUM_CORE_TEXT_TOKENIZER_JSON_READER_H

#include <jansson.h>

#include "core/text/tokenizer.h"
#include "core/text/utf8.h"

/* A comment before patterns of ours that name scripts: they mean their extensions, too. */
#define EXTENDED_SCRIPTS "(?#scripts with extensions)"

typedef struct JsonReader {
    json_t *root;
    json_t *vocab; /* borrowed from root */
    TokenizerSpec *spec;
    Err *err;
    const char **surfaces; /* (n_tokens) as the file writes them, NULL: no such token */
    bool byte_level;       /* a ByteLevel pre-tokenizer was seen */
    bool metaspace;        /* spaces are written as U+2581 */
    bool byte_fallback;    /* <0xXX> tokens */
    /* jansson takes no zero in keys, so an escaped one travels as a character that the file does
     * not hold; empty when there is no zero. */
    char stand_in[UTF8_MAX + 1];
} JsonReader;

/* Reads normalizer, pre-tokenizer and decoder into the spec, as a pattern and flags where these say
 * all of it, else as steps. What is not known is refused by name. */
Status tokenizer_json_steps(JsonReader *reader);

/* Writes what `added` (tokens by their ids) says into the file's own list. */
void tokenizer_json_merge_added(json_t *root, const json_t *added);

#endif
