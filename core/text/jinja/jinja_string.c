#include "core/text/jinja/jinja_string.h"

#include <stdio.h>
#include <string.h>

#include "core/text/utf8.h"

/* The number of up to `most` digits of this base at `text`; *used of them. */
static uint32_t read_digits(const char *text, int64_t bytes, int base, int most, int *used)
{
    uint32_t number = 0;
    for (*used = 0; *used < most && *used < bytes; ++*used) {
        char c = text[*used];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : 99;
        if (digit >= base)
            break;
        number = number * (uint32_t)base + (uint32_t)digit;
    }
    return number;
}

static void put_code(JinjaBuild *out, uint32_t code)
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        jinja_fail(out->work, "a string has the escape of a character that does not exist (%X)",
                   (unsigned)code);
    build_code(out, code, false);
}

/* An escape whose backslash is before `text`; returns the bytes that it takes. */
static int64_t unescape(JinjaBuild *out, const char *text, int64_t bytes)
{
    static const char simple[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    int used, digits = *text == 'x' ? 2 : *text == 'u' ? 4 : 8;
    uint32_t code;
    for (const char *s = simple; *s; s += 2)
        if (*s == *text) {
            build_bytes(out, s + 1, 1, false);
            return 1;
        }
    if (*text == '\n')
        return 1;
    if (*text >= '0' && *text <= '7') {
        code = read_digits(text, bytes, 8, 3, &used);
        put_code(out, code);
        return used;
    }
    if (strchr("xuU", *text)) {
        code = read_digits(text + 1, bytes - 1, 16, digits, &used);
        if (used < digits)
            jinja_fail(out->work, "a string has a truncated escape \\%c", *text);
        put_code(out, code);
        return 1 + digits;
    }
    if (*text == 'N')
        jinja_fail(out->work, "a string has an escape \\N, which is not supported");
    build_bytes(out, "\\", 1, false);
    int length = utf8_decode(text, bytes, &code);
    if (length == 1) {
        build_bytes(out, text, 1, false);
    } else { /* Python has already escaped it */
        char escape[16];
        snprintf(escape, sizeof escape,
                 code < 0x100     ? "x%02x"
                 : code < 0x10000 ? "u%04x"
                                  : "U%08x",
                 (unsigned)code);
        build_puts(out, escape, false);
    }
    return length;
}

JinjaText *jinja_unescape(JinjaWork *work, const char *text, int64_t bytes)
{
    JinjaBuild out = build_new(work, NULL);
    for (int64_t i = 0; i < bytes;) {
        const char *escape = memchr(text + i, '\\', (size_t)(bytes - i));
        int64_t end = escape ? escape - text : bytes;
        build_bytes(&out, text + i, end - i, false);
        i = end;
        if (escape)
            i = end + 1 + unescape(&out, text + end + 1, bytes - end - 1);
    }
    return build_done(&out);
}
