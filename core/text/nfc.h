/* Unicode normalization forms (UAX 15), which some vocabularies ask for before all else. */
#ifndef CAMBIUM_CORE_TEXT_NFC_H
#define CAMBIUM_CORE_TEXT_NFC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"

/* Whether the form changes nothing, told from the characters one by one: true is certain, false
 * means that the text has to be looked at as a whole. The text is valid UTF-8. */
bool nfc_is_plain(const char *text, int64_t bytes);

/* Appends the text in that form. The text is valid UTF-8. Linear time, however many marks are
 * heaped on one letter. */
void nfc_append(StrBuf *out, const char *text, int64_t bytes);

typedef enum UnicodeForm { FORM_C, FORM_D, FORM_KC, FORM_KD } UnicodeForm;

/* The same for any form. `tags` has a byte for each byte of the text, or is NULL; the bytes of the
 * result get theirs in `out_tags`, all bits of what they were made from. */
void unicode_form_append(StrBuf *out, const char *text, int64_t bytes, UnicodeForm form,
                         const char *tags, StrBuf *out_tags);

#endif
