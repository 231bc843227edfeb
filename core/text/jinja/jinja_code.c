/* Properties and cases of characters, as Python's str has them. */
#include <utf8proc.h>

#include "core/text/jinja/jinja_text.h"

static utf8proc_category_t category(uint32_t code)
{
    if (code > 0x10FFFF)
        return UTF8PROC_CATEGORY_CN;
    return utf8proc_category((utf8proc_int32_t)code);
}

bool jinja_code_is_space(uint32_t c)
{
    if (c < 0x80)
        return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool jinja_code_is_line_end(uint32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool jinja_code_is_alpha(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool jinja_code_is_decimal(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_ND;
}

/* Superscripts, subscripts and digits in circles are digits too. */
bool jinja_code_is_digit(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0xB2, 0xB3},     {0xB9, 0xB9},     {0x1369, 0x1371}, {0x19DA, 0x19DA},
        {0x2070, 0x2070}, {0x2074, 0x2079}, {0x2080, 0x2089}, {0x2460, 0x2468},
        {0x2474, 0x247C}, {0x2488, 0x2490}, {0x24EA, 0x24EA}, {0x24F5, 0x24FD},
        {0x24FF, 0x24FF}, {0x2776, 0x277E}, {0x2780, 0x2788}, {0x278A, 0x2792}};
    if (jinja_code_is_decimal(c))
        return true;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

bool jinja_code_is_numeric(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool jinja_code_is_word(uint32_t c)
{
    return c == '_' || jinja_code_is_alpha(c) || jinja_code_is_numeric(c);
}

bool jinja_code_is_upper(uint32_t c)
{
    return c <= 0x10FFFF && utf8proc_isupper((utf8proc_int32_t)c);
}

bool jinja_code_is_lower(uint32_t c)
{
    return c <= 0x10FFFF && utf8proc_islower((utf8proc_int32_t)c);
}

bool jinja_code_is_title(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_LT;
}

bool jinja_code_is_printable(uint32_t c)
{
    switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    case UTF8PROC_CATEGORY_ZS:
        return c == ' ';
    default:
        return true;
    }
}

/* ---- cases ----------------------------------------------------------------------------------- */

/* Letters that become several (the unconditional ones of Unicode's SpecialCasing that have no
 * diacritics of their own): upper and title. */
static const struct {
    uint32_t code, upper[3], title[3];
} several[] = {
    {0xDF, {'S', 'S'}, {'S', 's'}},
    {0x149, {0x2BC, 'N'}, {0x2BC, 'N'}},
    {0x1F0, {'J', 0x30C}, {'J', 0x30C}},
    {0x390, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x3B0, {0x3A5, 0x308, 0x301}, {0x3A5, 0x308, 0x301}},
    {0x587, {0x535, 0x552}, {0x535, 0x582}},
    {0x1E96, {'H', 0x331}, {'H', 0x331}},
    {0x1E97, {'T', 0x308}, {'T', 0x308}},
    {0x1E98, {'W', 0x30A}, {'W', 0x30A}},
    {0x1E99, {'Y', 0x30A}, {'Y', 0x30A}},
    {0x1E9A, {'A', 0x2BE}, {'A', 0x2BE}},
    {0xFB00, {'F', 'F'}, {'F', 'f'}},
    {0xFB01, {'F', 'I'}, {'F', 'i'}},
    {0xFB02, {'F', 'L'}, {'F', 'l'}},
    {0xFB03, {'F', 'F', 'I'}, {'F', 'f', 'i'}},
    {0xFB04, {'F', 'F', 'L'}, {'F', 'f', 'l'}},
    {0xFB05, {'S', 'T'}, {'S', 't'}},
    {0xFB06, {'S', 'T'}, {'S', 't'}},
};

static void put_upper(JinjaBuild *b, uint32_t c, bool title, bool plain)
{
    for (size_t i = 0; c >= 0xDF && i < sizeof several / sizeof *several; i++) {
        const uint32_t *codes = title ? several[i].title : several[i].upper;
        for (int k = 0; several[i].code == c && k < 3 && codes[k]; k++)
            build_code(b, codes[k], plain);
        if (several[i].code == c)
            return;
    }
    if (c > 0x10FFFF)
        build_code(b, c, plain);
    else
        build_code(b,
                   (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)c)
                                    : utf8proc_toupper((utf8proc_int32_t)c)),
                   plain);
}

enum { SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2, DOTTED_I = 0x130, DOT_ABOVE = 0x307 };

/* Whether a sigma at `at` ends its word. */
static bool is_final(const JinjaText *text, int64_t at, bool letter_before)
{
    uint32_t code = 0;
    int64_t next = at + 2;
    if (next < text->size)
        text_next(text, next, &code);
    return letter_before && !jinja_code_is_alpha(code);
}

static void put_lower(JinjaBuild *b, uint32_t c, bool final, bool plain)
{
    if (c == DOTTED_I) {
        build_code(b, 'i', plain);
        build_code(b, DOT_ABOVE, plain);
    } else if (c == SIGMA && final) {
        build_code(b, FINAL_SIGMA, plain);
    } else if (c > 0x10FFFF) {
        build_code(b, c, plain);
    } else {
        build_code(b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c), plain);
    }
}

static void put_folded(JinjaBuild *b, uint32_t code, bool plain)
{
    utf8proc_int32_t folded[4];
    int bound = 0;
    utf8proc_ssize_t n = code > 0x10FFFF ? 0
                                         : utf8proc_decompose_char((utf8proc_int32_t)code, folded,
                                                                   4, UTF8PROC_CASEFOLD, &bound);
    for (utf8proc_ssize_t i = 0; i < n && i < 4; i++)
        build_code(b, (uint32_t)folded[i], plain);
    if (n <= 0)
        build_code(b, code, plain);
}

void build_case(JinjaBuild *b, const JinjaText *text, int64_t begin, int64_t end, TextCase how)
{
    int64_t span = 0;
    uint32_t code;
    bool letter_before = false, cased_before = false;
    for (int64_t i = begin; i < end;) {
        int length = text_next(text, i, &code);
        bool plain = text_plain_at(text, i, &span);
        bool lower = jinja_code_is_lower(code);
        bool cased = lower || jinja_code_is_upper(code) || jinja_code_is_title(code);
        bool title = how == CASE_TITLE || (how == CASE_WORDS && !cased_before);
        if (how == CASE_FOLD)
            put_folded(b, code, plain);
        else if (how == CASE_SWAP && !cased)
            build_code(b, code, plain);
        else if (title || how == CASE_UPPER || (how == CASE_SWAP && lower))
            put_upper(b, code, title, plain);
        else
            put_lower(b, code, is_final(text, i, letter_before), plain);
        letter_before = jinja_code_is_alpha(code);
        cased_before = cased;
        i += length;
    }
}

JinjaText *text_case(JinjaWork *work, const JinjaText *text, TextCase how)
{
    JinjaBuild build = build_new(work, NULL);
    build_case(&build, text, 0, text->size, how);
    JinjaText *out = build_done(&build);
    out->markup = text->markup;
    return out;
}
