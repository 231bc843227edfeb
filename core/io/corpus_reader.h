/* Documents of a corpus file: text whose documents are separated by form feeds, or JSON lines.
 * Either may be packed with gzip or xz. Streams: memory is that of the longest document. */
#ifndef CAMBIUM_CORE_IO_CORPUS_READER_H
#define CAMBIUM_CORE_IO_CORPUS_READER_H

#include "core/base/err.h"
#include "core/base/file.h"

typedef struct CorpusReader CorpusReader;

/* JSON lines when the name says so (.jsonl, .ndjson, also with .gz or .xz), each line an object
 * whose member `field` is the text; otherwise text. */
CorpusReader *corpus_reader_open(const char *path, const char *field, Err *err);
void corpus_reader_close(CorpusReader *reader); /* NULL is allowed */

/* Puts the next document that is not blank into `out` (emptied first); `*found` is false at the
 * end. The text is valid UTF-8. Errors name the file and the line. */
Status corpus_reader_next(CorpusReader *reader, StrBuf *out, bool *found, Err *err);

int64_t corpus_reader_position(const CorpusReader *reader); /* bytes of the file used up */

/* Appends the corpus files that `path` means: itself, or those below the folder named .txt, .md,
 * .jsonl or .ndjson, packed or not. A folder without any is an error. */
Status corpus_reader_list(const char *path, StringList *out, Err *err);

#endif
