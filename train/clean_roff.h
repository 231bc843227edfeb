/* Manual pages (roff with the man or mdoc macros) to paragraphs. Never fails: unknown requests are
 * dropped, the rest is text. Linear time. */
#ifndef CAMBIUM_TRAIN_CLEAN_ROFF_H
#define CAMBIUM_TRAIN_CLEAN_ROFF_H

#include "train/clean_text.h"

/* Appends the paragraphs of a page (UTF-8) to `out`. Tables, equations, macro definitions and
 * conditional blocks are dropped. */
void roff_read(const char *page, int64_t bytes, Paragraphs *out);

#endif
