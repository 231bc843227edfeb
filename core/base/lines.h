/* The lines of a text in memory. */
#ifndef CAMBIUM_CORE_BASE_LINES_H
#define CAMBIUM_CORE_BASE_LINES_H

#include <stdbool.h>
#include <stdint.h>

/* A line, and where to look for the next one. It borrows the text. */
typedef struct TextLine {
    const char *text; /* ends before the line feed, not with a zero */
    int64_t bytes;
    int64_t number; /* from 1 */
    bool ended;     /* by a line feed; only the last line may lack it */
    const char *next, *end;
} TextLine;

/* Stands before the first line: lines_next() goes there. `text` may be NULL when `bytes` is 0. */
TextLine lines_of(const char *text, int64_t bytes);
/* false when there is no further line. A feed at the end of the text begins none. */
bool lines_next(TextLine *line);

/* Line feeds in a text. */
int64_t lines_count_feeds(const char *text, int64_t bytes);

#endif
