#include "core/text/char_class.h"

#include <utf8proc.h>

#include "core/text/utf8.h"

bool char_is_space(uint32_t c)
{
    return (c >= 0x9 && c <= 0xD) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

bool char_is_word(uint32_t c)
{
    /* Letters in circles and squares are symbols, and alphabetic all the same. */
    static const uint32_t enclosed[][2] = {
        {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
    for (int i = 0; i < 4; i++)
        if (c >= enclosed[i][0] && c <= enclosed[i][1])
            return true;
    if (c == 0x200C || c == 0x200D)
        return true;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
           category == UTF8PROC_CATEGORY_PC;
}

/* The last character, and its length; 0: it is no whole one. */
static int last_character(const char *text, int64_t bytes, uint32_t *code)
{
    int64_t at = bytes - 1;
    while (at > 0 && bytes - at < UTF8_MAX && ((uint8_t)text[at] & 0xC0) == 0x80)
        at--;
    return utf8_decode(text + at, bytes - at, code) == bytes - at ? (int)(bytes - at) : 0;
}

int64_t char_spaces_behind(const char *text, int64_t bytes)
{
    int64_t left = bytes;
    uint32_t code;
    for (int length; left > 0 && (length = last_character(text, left, &code)) > 0; left -= length)
        if (!char_is_space(code))
            break;
    return bytes - left;
}

int64_t char_spaces_before(const char *text, int64_t bytes)
{
    int64_t at = 0;
    uint32_t code;
    for (int length; (length = utf8_decode(text + at, bytes - at, &code)) > 0; at += length)
        if (!char_is_space(code))
            break;
    return at;
}

bool char_word_behind(const char *text, int64_t bytes)
{
    uint32_t code;
    return bytes > 0 && last_character(text, bytes, &code) > 0 && char_is_word(code);
}

bool char_word_before(const char *text, int64_t bytes)
{
    uint32_t code;
    return utf8_decode(text, bytes, &code) > 0 && char_is_word(code);
}
