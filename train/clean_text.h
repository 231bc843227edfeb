/* Paragraphs of plain text: what the markup readers produce and the corpus cleaner keeps or drops.
 * A Paragraphs belongs to one thread. */
#ifndef CAMBIUM_TRAIN_CLEAN_TEXT_H
#define CAMBIUM_TRAIN_CLEAN_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"

typedef struct Paragraphs {
    StrBuf text;   /* the finished paragraphs, one behind the other */
    int64_t *ends; /* (count) where each ends in `text` */
    int64_t count;
    int64_t capacity;
    StrBuf open;   /* the paragraph being filled, as it came */
    bool verbatim; /* line breaks and indentation of the open paragraph mean something */
} Paragraphs;

void paragraphs_reset(Paragraphs *p); /* empties it and keeps its memory */
void paragraphs_clear(Paragraphs *p);

void paragraph_add(Paragraphs *p, const char *text, int64_t bytes);
void paragraph_add_char(Paragraphs *p, uint32_t code);

/* Begins a new line of the open paragraph, as <br> does; a second one in a row ends it. */
void paragraph_break(Paragraphs *p);

/* Ends the open paragraph: white space is made single blanks (a line break between two characters
 * of scripts that write no blanks is dropped), invisible characters go, and an empty one is
 * forgotten. In verbatim paragraphs line breaks and indentation stay. */
void paragraph_end(Paragraphs *p);

/* Paragraph `index`; borrowed, not terminated. */
const char *paragraph_at(const Paragraphs *p, int64_t index, int64_t *bytes);

typedef enum Script { SCRIPT_LATIN, SCRIPT_CYRILLIC, SCRIPT_HAN } Script;

/* Share of the script among the letters of a text; 0 when it has no letters. */
double script_share(const char *text, int64_t bytes, Script script);

#endif
