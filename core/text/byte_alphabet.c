#include "core/text/byte_alphabet.h"

#include <string.h>

#include "core/text/utf8.h"

static bool stands_for_itself(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
           (byte >= 0xAE && byte <= 0xFF);
}

/* The other bytes are numbered from U+0100 in their order: 33 below '!', 34 from DEL to U+00A0, and
 * the soft hyphen. */
static uint32_t letter_of(uint32_t byte)
{
    if (stands_for_itself(byte))
        return byte;
    if (byte < '!')
        return 0x100 + byte;
    return byte == 0xAD ? 0x143 : 0x121 + byte - 0x7F;
}

/* -1: no letter of the alphabet */
static int byte_of(uint32_t letter)
{
    if (letter < 0x100)
        return stands_for_itself(letter) ? (int)letter : -1;
    if (letter < 0x121)
        return (int)(letter - 0x100);
    if (letter < 0x143)
        return (int)(letter - 0x121 + 0x7F);
    return letter == 0x143 ? 0xAD : -1;
}

void byte_alphabet_write(StrBuf *out, const char *bytes, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        char letter[UTF8_MAX];
        int length = utf8_encode(letter_of((uint8_t)bytes[i]), letter);
        strbuf_append(out, letter, (size_t)length);
    }
}

bool byte_alphabet_read(StrBuf *out, const char *text, int64_t bytes)
{
    for (int64_t i = 0; i < bytes;) {
        uint32_t code;
        int length = utf8_decode(text + i, bytes - i, &code);
        int byte = length > 0 ? byte_of(code) : -1;
        if (byte < 0)
            return false;
        strbuf_putc(out, (char)byte);
        i += length;
    }
    return true;
}

int byte_token_value(const char *name, size_t bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    if (bytes != 6 || memcmp(name, "<0x", 3) != 0 || name[5] != '>')
        return -1;
    const char *high = memchr(digits, name[3], 16), *low = memchr(digits, name[4], 16);
    return high && low ? (int)(high - digits) * 16 + (int)(low - digits) : -1;
}
