#include "core/metrics/symbols.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "core/base/mem.h"
#include "core/text/utf8.h"

enum { REPLACEMENT = 0xFFFD, CAPITAL_SIGMA = 0x3A3, SIGMA = 0x3C3, FINAL_SIGMA = 0x3C2 };
enum { CAPITAL_I_WITH_DOT = 0x130, COMBINING_DOT = 0x307 };

void symbols_add(Symbols *list, uint32_t item)
{
    list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = item;
}

void symbols_swap(Symbols *a, Symbols *b)
{
    Symbols kept = *a;
    *a = *b;
    *b = kept;
}

void symbols_clear(Symbols *list)
{
    free(list->items);
    *list = (Symbols){0};
}

void symbols_decode(Symbols *out, Segment segment)
{
    out->items = mem_grow(out->items, &out->capacity, segment.bytes, sizeof *out->items);
    out->count = 0;
    for (int64_t i = 0; i < segment.bytes;) {
        uint32_t code = REPLACEMENT;
        int length = utf8_decode(segment.text + i, segment.bytes - i, &code);
        out->items[out->count++] = code;
        i += length > 0 ? length : 1;
    }
}

void symbols_encode(const Symbols *codes, StrBuf *out)
{
    for (int64_t i = 0; i < codes->count; i++) {
        char bytes[UTF8_MAX];
        strbuf_append(out, bytes, (size_t)utf8_encode(codes->items[i], bytes));
    }
}

bool code_is_space(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= '\t' && code <= '\r') || (code >= 0x1C && code <= 0x1F);
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool code_is_ascii_punctuation(uint32_t code)
{
    return code > ' ' && code < 0x7F && !(code >= '0' && code <= '9') &&
           !((code | 0x20) >= 'a' && (code | 0x20) <= 'z');
}

/* Unicode's Cased, as far as a letter is not case-ignorable as well. */
static bool is_cased(uint32_t code)
{
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default: /* Other_Lowercase and Other_Uppercase: ordinals, numerals, letters in circles */
        return code == 0xAA || code == 0xBA || (code >= 0x2160 && code <= 0x217F) ||
               (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
               (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
    }
}

/* Unicode's Case_Ignorable (section 3.13, D136). */
static bool is_case_ignorable(uint32_t code)
{
    static const uint32_t inside_words[] = {'\'',   '.',    ':',    0xB7,   0x387,  0x55F,
                                            0x5F4,  0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
                                            0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        for (size_t i = 0; i < sizeof inside_words / sizeof *inside_words; i++)
            if (code == inside_words[i])
                return true;
        return false;
    }
}

/* Unicode's Final_Sigma (table 3-17): after a cased letter, and not before one. */
static bool ends_word(const Symbols *codes, int64_t at)
{
    int64_t before = at - 1, after = at + 1;
    while (before >= 0 && is_case_ignorable(codes->items[before]))
        before--;
    if (before < 0 || !is_cased(codes->items[before]))
        return false;
    while (after < codes->count && is_case_ignorable(codes->items[after]))
        after++;
    return after == codes->count || !is_cased(codes->items[after]);
}

void symbols_lower(Symbols *codes)
{
    Symbols lower = {0};
    for (int64_t i = 0; i < codes->count; i++) {
        uint32_t code = codes->items[i];
        if (code == CAPITAL_SIGMA) {
            symbols_add(&lower, ends_word(codes, i) ? FINAL_SIGMA : SIGMA);
        } else if (code == CAPITAL_I_WITH_DOT) {
            symbols_add(&lower, 'i');
            symbols_add(&lower, COMBINING_DOT);
        } else {
            symbols_add(&lower, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
        }
    }
    symbols_swap(codes, &lower);
    symbols_clear(&lower);
}

void symbols_strip_end(Symbols *codes)
{
    while (codes->count > 0 && code_is_space(codes->items[codes->count - 1]))
        codes->count--;
}

void symbols_strip(Symbols *codes)
{
    symbols_strip_end(codes);
    int64_t blank = 0;
    while (blank < codes->count && code_is_space(codes->items[blank]))
        blank++;
    if (blank == 0)
        return;
    codes->count -= blank;
    memmove(codes->items, codes->items + blank, (size_t)codes->count * sizeof *codes->items);
}

void symbols_squeeze(Symbols *codes)
{
    int64_t count = 0, begin, end = 0;
    while (symbols_next_word(codes, &begin, &end)) {
        if (count > 0)
            codes->items[count++] = ' ';
        memmove(codes->items + count, codes->items + begin,
                (size_t)(end - begin) * sizeof *codes->items);
        count += end - begin;
    }
    codes->count = count;
}

bool symbols_next_word(const Symbols *codes, int64_t *begin, int64_t *end)
{
    int64_t at = *end;
    while (at < codes->count && code_is_space(codes->items[at]))
        at++;
    *begin = at;
    while (at < codes->count && !code_is_space(codes->items[at]))
        at++;
    *end = at;
    return at > *begin;
}
