/* Pre-tokenizer patterns: cut text into pieces that no token may cross.
 *
 * The text of a pattern is one PCRE2 pattern per line (a line feed inside a pattern is written \n).
 * Each line cuts the pieces that the line before it made: a match is a piece, and what lies between
 * two matches is a piece. \s and \S mean Unicode's White_Space, as in the libraries that these
 * patterns were written for (PCRE2's own differ in U+180E).
 *
 * A Splitter is read-only and may be shared by threads; a SplitterWork belongs to one thread. */
#ifndef CAMBIUM_CORE_TEXT_SPLITTER_H
#define CAMBIUM_CORE_TEXT_SPLITTER_H

#include <stdint.h>

#include "core/base/err.h"

typedef struct Splitter Splitter;
typedef struct SplitterWork SplitterWork;

typedef void PieceFn(void *context, const char *text, int64_t bytes);

/* NULL, and a sentence with the place, when a pattern does not compile. */
Splitter *splitter_new(const char *patterns, Err *err);
void splitter_free(Splitter *splitter);

SplitterWork *splitter_work_new(void);
void splitter_work_free(SplitterWork *work);

/* Calls `fn` for each piece from left to right; `text` must be valid UTF-8. A pattern that exceeds
 * its match limit leaves the rest of its piece whole, with a warning. */
void splitter_run(const Splitter *splitter, SplitterWork *work, const char *text, int64_t bytes,
                  PieceFn *fn, void *context);

#endif
