/* Bytes of a corpus file, unpacked on the way (core/io/unpack.h), whatever its name. A file that is
 * cut off or damaged is an error, never a short text. Each reader belongs to one thread at a time.
 */
#ifndef CAMBIUM_CORE_IO_CORPUS_FILE_H
#define CAMBIUM_CORE_IO_CORPUS_FILE_H

#include "core/base/err.h"
#include "core/base/strbuf.h"

typedef struct CorpusFile CorpusFile;

/* `path` may be "-" (standard input). */
CorpusFile *corpus_file_open(const char *path, Err *err);
void corpus_file_close(CorpusFile *file); /* NULL is allowed */

/* Appends up to `limit` more bytes to `out`; `*got` is 0 at the end of the file. */
Status corpus_file_read(CorpusFile *file, int64_t limit, StrBuf *out, int64_t *got, Err *err);

/* Bytes of the (packed) file that are used up, for progress. */
int64_t corpus_file_position(const CorpusFile *file);

/* Appends the whole file; more than `limit` bytes are refused. */
Status corpus_file_whole(const char *path, int64_t limit, StrBuf *out, Err *err);

/* 64 bits of the SHA-256: a key for texts in hash tables and a coin for splits. */
uint64_t text_key(const void *text, int64_t bytes);

#endif
