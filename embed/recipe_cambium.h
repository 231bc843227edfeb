/* Our own vocabulary. 32 specials; the 128 bytes from 0x80, so that any byte string has tokens; the
 * 128 characters of ASCII; further code points, by frequency in the given texts or all that the
 * font draws; then byte-pair merges learnt from the texts. Merges stay inside pieces: a run of
 * letters, with the space before it, a run of Han characters, up to three digits, a run of signs,
 * or white space. */
#ifndef CAMBIUM_EMBED_RECIPE_CAMBIUM_H
#define CAMBIUM_EMBED_RECIPE_CAMBIUM_H

#include "core/base/err.h"
#include "core/text/bpe_words.h"
#include "core/text/tokenizer.h"
#include "embed/font.h"

enum { CAMBIUM_SPECIALS = 32, CAMBIUM_BYTES = 128, CAMBIUM_ASCII = 128 };
enum { CAMBIUM_MIN_TOKENS = CAMBIUM_SPECIALS + CAMBIUM_BYTES + CAMBIUM_ASCII };

/* The pre-tokenizer pattern, see core/text/splitter.h. */
extern const char cambium_pattern[];

typedef struct CambiumOptions {
    int64_t n_tokens;  /* at least CAMBIUM_MIN_TOKENS */
    double coverage;   /* share of the texts' characters that get a token; the rest is bytes */
    bool all_bmp;      /* also every code point of the Basic Multilingual Plane that the font has */
    int64_t min_count; /* pairs seen less often are not joined */
    int64_t max_chars; /* longer tokens are not made */
} CambiumOptions;

typedef struct CambiumStats {
    int64_t n_code_points; /* beyond ASCII */
    int64_t n_merged;      /* tokens made by merges */
    int64_t n_filled;      /* code points that fill up what merges left over */
    int64_t n_without_glyph;
    int64_t text_code_points; /* different ones in the texts */
    double covered;           /* share of the texts' characters that have a token */
} CambiumStats;

/* Learns from `words`, which may be empty; `font` says which code points can be drawn. The caller
 * clears `out`. The vocabulary is smaller than asked for when texts and font hold too little. */
Status cambium_build(const CambiumOptions *options, const BpeWords *words, const Font *font,
                     TokenizerSpec *out, CambiumStats *stats, Err *err);

#endif
