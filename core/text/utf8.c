#include "core/text/utf8.h"

#include <string.h>

/* The least and greatest second byte that may follow `first` (Unicode, table 3-7), or false when no
 * character of several bytes begins with it. */
static bool second_range(uint8_t first, uint8_t *low, uint8_t *high)
{
    if (first < 0xC2 || first > 0xF4)
        return false;
    *low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    *high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return true;
}

/* How many bytes at `text` follow the rules of one character whose length is *length (0: none). */
static int good_bytes(const char *text, int64_t bytes, int *length)
{
    uint8_t low, high;
    *length = 0;
    if (bytes <= 0 || !second_range((uint8_t)text[0], &low, &high))
        return 0;
    *length = utf8_length(text[0]);
    int good = 1;
    while (good < *length && good < bytes) {
        uint8_t byte = (uint8_t)text[good];
        if (byte < low || byte > high)
            break;
        low = 0x80;
        high = 0xBF;
        good++;
    }
    return good;
}

int utf8_decode_long(const char *text, int64_t bytes, uint32_t *code)
{
    int length;
    if (good_bytes(text, bytes, &length) != length || length == 0)
        return 0;
    *code = utf8_code(text, length);
    return length;
}

int utf8_encode(uint32_t code, char out[UTF8_MAX])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(uint8_t)(0xF00u >> length | code);
    return length;
}

int64_t utf8_valid_prefix(const char *text, int64_t bytes)
{
    int64_t i = 0;
    while (i < bytes) {
        uint64_t word;
        if (bytes - i >= (int64_t)sizeof word) {
            memcpy(&word, text + i, sizeof word);
            if (!(word & UINT64_C(0x8080808080808080))) {
                i += (int64_t)sizeof word;
                continue;
            }
        }
        uint32_t code;
        int length = utf8_decode(text + i, bytes - i, &code);
        if (length == 0)
            break;
        i += length;
    }
    return i;
}

int64_t utf8_characters(const char *text, int64_t bytes)
{
    int64_t n = 0;
    for (int64_t i = 0; i < bytes; i++)
        n += ((uint8_t)text[i] & 0xC0) != 0x80;
    return n;
}

int utf8_cut_prefix(const char *text, int64_t bytes)
{
    int length, good = good_bytes(text, bytes, &length);
    return good == bytes && good < length ? good : 0;
}

void utf8_append_clean(StrBuf *out, const char *text, int64_t bytes)
{
    while (bytes > 0) {
        int64_t valid = utf8_valid_prefix(text, bytes);
        strbuf_append(out, text, (size_t)valid);
        text += valid;
        bytes -= valid;
        if (bytes > 0) {
            int length, good = good_bytes(text, bytes, &length);
            strbuf_puts(out, UTF8_REPLACEMENT);
            text += good > 0 ? good : 1;
            bytes -= good > 0 ? good : 1;
        }
    }
}
