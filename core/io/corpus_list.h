/* Which files a corpus consists of. */
#ifndef CAMBIUM_CORE_IO_CORPUS_LIST_H
#define CAMBIUM_CORE_IO_CORPUS_LIST_H

#include "core/base/err.h"
#include "core/base/file.h"

/* Appends the corpus files that the paths mean: themselves, "-", or those below a folder named
 * .txt, .md, .jsonl or .ndjson, packed or not. A folder without any is an error. What two names
 * mean is listed once, with a warning. */
Status corpus_list(const StringList *paths, StringList *out, Err *err);

/* Whether the name ends in .`suffix`, with or without the suffix of a packed file behind it. */
bool corpus_named(const char *path, const char *suffix);

#endif
