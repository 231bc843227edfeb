/* Text as the metrics see it: a list of numbers, which are code points, or ids of words.
 *
 * Whitespace and lower case are those of Python's str (split, strip, lower), in which the published
 * scorers are written: their scores are to be met to the last digit. */
#ifndef CAMBIUM_CORE_METRICS_SYMBOLS_H
#define CAMBIUM_CORE_METRICS_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"

typedef struct Symbols {
    uint32_t *items;
    int64_t count, capacity;
} Symbols;

/* A piece of UTF-8 that is scored as one: a sentence, a line, an answer. Borrowed. */
typedef struct Segment {
    const char *text;
    int64_t bytes;
} Segment;

void symbols_add(Symbols *list, uint32_t item);
void symbols_swap(Symbols *a, Symbols *b);
void symbols_clear(Symbols *list);

/* Replaces what is there by the code points of the text; each byte that belongs to no character
 * becomes U+FFFD. */
void symbols_decode(Symbols *out, Segment segment);
void symbols_encode(const Symbols *codes, StrBuf *out); /* appends the code points as UTF-8 */

bool code_is_space(uint32_t code);
bool code_is_ascii_punctuation(uint32_t code); /* !"#$%&'()*+,-./:;<=>?@[\]^_`{|}~ */

/* In place, with the two mappings that depend on more than the letter: I with a dot becomes two
 * code points, and a sigma at the end of a word takes its final form. */
void symbols_lower(Symbols *codes);

void symbols_strip_end(Symbols *codes); /* takes off whitespace at the end */
void symbols_strip(Symbols *codes);     /* and at the beginning */
void symbols_squeeze(Symbols *codes);   /* words with one space between them */

/* Finds the next word from *end on: [*begin, *end). False when there is none. Begin with *end 0. */
bool symbols_next_word(const Symbols *codes, int64_t *begin, int64_t *end);

#endif
