/* UTF-8 in the strict sense of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 * Character properties are utf8proc's business; this is the decoding that hot loops need inline. */
#ifndef CAMBIUM_CORE_TEXT_UTF8_H
#define CAMBIUM_CORE_TEXT_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"

enum { UTF8_MAX = 4 }; /* bytes of the longest character */

/* U+FFFD, what a reader shows in the place of bytes that are no character. */
#define UTF8_REPLACEMENT "\xEF\xBF\xBD"

/* The length (1 to 4) of the character at `text` and its code point, or 0 when the `bytes` bytes
 * there do not begin with a whole character. */
int utf8_decode_long(const char *text, int64_t bytes, uint32_t *code);
static inline int utf8_decode(const char *text, int64_t bytes, uint32_t *code)
{
    if (bytes > 0 && (signed char)text[0] >= 0) {
        *code = (uint32_t)text[0];
        return 1;
    }
    return utf8_decode_long(text, bytes, code);
}

/* The length of a character by its first byte; only for text known to be valid. */
static inline int utf8_length(char first)
{
    uint8_t byte = (uint8_t)first;
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/* The code point of a character of `length` bytes; only for text known to be valid. */
static inline uint32_t utf8_code(const char *text, int length)
{
    const uint8_t *s = (const uint8_t *)text;
    switch (length) {
    case 1:
        return s[0];
    case 2:
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    case 3:
        return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    default:
        return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
    }
}

/* Writes the character and returns its length; 0 for a surrogate or a number above U+10FFFF. */
int utf8_encode(uint32_t code, char out[UTF8_MAX]);

/* The length in bytes of the longest prefix that is valid. */
int64_t utf8_valid_prefix(const char *text, int64_t bytes);

/* How many characters valid text has. */
int64_t utf8_characters(const char *text, int64_t bytes);

/* Bytes at `text` that are the beginning of a character cut off by the end (1 to 3), else 0. */
int utf8_cut_prefix(const char *text, int64_t bytes);

/* Appends the text with each maximal wrong piece replaced by U+FFFD (Unicode, section 3.9). */
void utf8_append_clean(StrBuf *out, const char *text, int64_t bytes);

#endif
