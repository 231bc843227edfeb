/* One page of documentation, whatever its format and encoding, to paragraphs. */
#ifndef CAMBIUM_TRAIN_CLEAN_PAGE_H
#define CAMBIUM_TRAIN_CLEAN_PAGE_H

#include "core/base/err.h"
#include "core/base/file.h"
#include "train/clean_text.h"

typedef enum PageKind { PAGE_OTHER, PAGE_HTML, PAGE_ROFF, PAGE_TEXT } PageKind;

/* By the name, with or without .gz or .xz: .html .htm .xhtml; .1 to .9 (and .3pm, ...); .txt. */
PageKind page_kind_of_name(const char *path);

/* By the first bytes of the content; PAGE_TEXT when it is not markup. */
PageKind page_kind_of_content(const char *text, int64_t bytes);

/* Makes `text` UTF-8: as it is when it is already; else from UTF-16 with a byte order mark, from
 * the encoding that the page declares (charset=..., coding: ...), or from `fallback` (NULL: none).
 * Fails, naming the first bad byte and the remedy, when nothing fits. */
Status page_to_utf8(StrBuf *text, const char *fallback, Err *err);

/* Appends the paragraphs of a page in UTF-8. Paragraphs of plain text end at empty lines. */
void page_read(PageKind kind, const StrBuf *text, const StringList *skip, Paragraphs *out);

#endif
