/* Pre-tokenizers: cut text into pieces that no token may cross.
 *
 * Two forms. Patterns: one PCRE2 pattern per line (a line feed inside a pattern is written \n); a
 * match is a piece, and what lies between two matches is a piece. Steps: a JSON array of Hugging
 * Face's own pre-tokenizers, which may also merge, drop or prefix pieces; they see a space as
 * U+2581 where a Metaspace came before. Each line or step cuts the pieces that the one before it
 * made.
 *
 * Patterns mean what they mean in Oniguruma, for which they were written: \s is Unicode's
 * White_Space, \w has marks, and in steps names of scripts are the scripts alone (in lines of
 * patterns, which our own vocabularies have, with their extensions). What PCRE2 cannot say is
 * refused: a class inside a class.
 *
 * A Splitter is read-only and may be shared by threads; a SplitterWork belongs to one thread. */
#ifndef CAMBIUM_CORE_TEXT_SPLITTER_H
#define CAMBIUM_CORE_TEXT_SPLITTER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

typedef struct Splitter Splitter;
typedef struct SplitterWork SplitterWork;

typedef void PieceFn(void *context, const char *text, int64_t bytes);

/* NULL, and a sentence with the place, when a pattern does not compile. */
Splitter *splitter_new(const char *patterns, Err *err);
/* The same for steps; one that is not known is refused by name. */
Splitter *splitter_new_steps(const char *steps, Err *err);
void splitter_free(Splitter *splitter);

SplitterWork *splitter_work_new(void);
void splitter_work_free(SplitterWork *work);

/* Calls `fn` for each piece from left to right; `text` must be valid UTF-8, and `first` says
 * whether it begins the whole text. A piece may lie in memory of its own, for the time of the call.
 * A pattern that exceeds its match limit leaves the rest of its piece whole, with a warning. */
void splitter_run(const Splitter *splitter, SplitterWork *work, const char *text, int64_t bytes,
                  bool first, PieceFn *fn, void *context);

#endif
