/* Documents of a corpus file: text whose documents are separated by form feeds, or JSON lines.
 * Either may be packed (core/io/unpack.h). Streams: memory is that of the longest document. */
#ifndef CAMBIUM_CORE_IO_CORPUS_READER_H
#define CAMBIUM_CORE_IO_CORPUS_READER_H

#include "core/base/err.h"
#include "core/base/file.h"

typedef struct CorpusReader CorpusReader;

/* Lines and documents that were left out because they cannot be read. */
typedef struct CorpusSkips {
    int64_t lines;     /* of JSON */
    int64_t documents; /* of text */
    Err first;         /* where and why */
} CorpusSkips;

typedef struct CorpusOptions {
    const char *field;        /* the member of JSON lines that holds the text, or "meta.text" */
    bool standard_input_json; /* "-" holds JSON lines, not text */
    CorpusSkips *skips;       /* added to; NULL: what cannot be read is an error */
} CorpusOptions;

/* JSON lines when the name says so (.jsonl, .ndjson, also packed), each line an object whose member
 * `field` is the text (null: an empty one); otherwise text. Of a line nothing but that member is
 * read. */
CorpusReader *corpus_reader_open(const char *path, const CorpusOptions *options, Err *err);
void corpus_reader_close(CorpusReader *reader); /* NULL is allowed */

/* Puts the next document that is not blank into `out` (emptied first); `*found` is false at the
 * end. The text is valid UTF-8. Errors name the file and the line. */
Status corpus_reader_next(CorpusReader *reader, StrBuf *out, bool *found, Err *err);

int64_t corpus_reader_position(const CorpusReader *reader); /* bytes of the file used up */

/* Tells the user what was left out, if anything was. */
void corpus_skips_tell(const CorpusSkips *skips);

/* The error that there is no text in the files; `skips` (or NULL) may say why. */
Status corpus_no_text(const StringList *files, const CorpusSkips *skips, Err *err);

#endif
