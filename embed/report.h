/* What a vocabulary and a table are worth: numbers for people and machines. */
#ifndef CAMBIUM_EMBED_REPORT_H
#define CAMBIUM_EMBED_REPORT_H

#include <jansson.h>

#include "core/io/corpus_reader.h"
#include "core/text/tokenizer.h"
#include "embed/identity.h"

/* How the tokenizer does on a text file: a new object with `file`, `characters`, `bytes`, `tokens`,
 * `characters_per_token`, `byte_tokens` and `unknown`. At most `limit` bytes are read. */
Status report_file(const Tokenizer *tokenizer, const char *path, const CorpusOptions *reading,
                   int64_t limit, json_t **out, Err *err);
/* A table of such objects on stdout, one line each. */
void report_files_print(const json_t *files);

/* The groups of tokens that share a picture, the largest first, at most `limit` of them: on stdout,
 * or as a new array. */
void report_alike_print(const RowGroups *alike, const TokenizerSpec *tokens, int64_t limit);
json_t *report_alike_json(const RowGroups *alike);

#endif
