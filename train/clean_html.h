/* HTML and XHTML to paragraphs. Never fails: what is not markup is text. Linear time. */
#ifndef CAMBIUM_TRAIN_CLEAN_HTML_H
#define CAMBIUM_TRAIN_CLEAN_HTML_H

#include "core/base/file.h"
#include "train/clean_text.h"

/* Appends the paragraphs of a page (UTF-8) to `out`. Elements without running text (script, style,
 * head, nav, header, footer, aside, forms) are dropped, and so are those whose class or id is in
 * `skip` (NULL: none). */
void html_read(const char *page, int64_t bytes, const StringList *skip, Paragraphs *out);

#endif
