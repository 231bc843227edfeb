#include "core/metrics/mt_tokenize.h"

#include <string.h>

#include <utf8proc.h>

static const char *const names[] = {
    [MT_TOKENIZER_13A] = "13a",   [MT_TOKENIZER_ZH] = "zh",     [MT_TOKENIZER_CHAR] = "char",
    [MT_TOKENIZER_INTL] = "intl", [MT_TOKENIZER_NONE] = "none",
};

const char *mt_tokenizer_name(MtTokenizer tokenizer)
{
    return names[tokenizer];
}

Status mt_tokenizer_parse(const char *name, MtTokenizer *out, Err *err)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (MtTokenizer)i;
            return STATUS_OK;
        }
    return err_set(err, "no tokenizer '%s'; there are 13a, zh, char, intl and none", name);
}

typedef bool CodeClass(uint32_t code);

/* A substitution: spaces around a code point of class `first`, or around and between two where the
 * next is of class `second`. From left to right, and a match begins behind the one before it. */
typedef struct Spacing {
    CodeClass *first, *second; /* second: NULL for one code point */
    bool before, between, after;
} Spacing;

static void put_spaces(Symbols *codes, const Spacing *rule)
{
    Symbols out = {0};
    for (int64_t i = 0; i < codes->count; i++) {
        uint32_t code = codes->items[i];
        bool match = rule->first(code) &&
                     (!rule->second || (i + 1 < codes->count && rule->second(codes->items[i + 1])));
        if (match && rule->before)
            symbols_add(&out, ' ');
        symbols_add(&out, code);
        if (match && rule->second) {
            if (rule->between)
                symbols_add(&out, ' ');
            symbols_add(&out, codes->items[++i]);
        }
        if (match && rule->after)
            symbols_add(&out, ' ');
    }
    symbols_swap(codes, &out);
    symbols_clear(&out);
}

static void put_all_spaces(Symbols *codes, const Spacing *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_spaces(codes, &rules[i]);
}

static bool is_at(const Symbols *codes, int64_t at, const char *ascii, int64_t length)
{
    if (at + length > codes->count)
        return false;
    for (int64_t i = 0; i < length; i++)
        if (codes->items[at + i] != (uint8_t)ascii[i])
            return false;
    return true;
}

static void replace_all(Symbols *codes, const char *from, const char *to)
{
    int64_t length = (int64_t)strlen(from);
    Symbols out = {0};
    for (int64_t i = 0; i < codes->count;) {
        if (!is_at(codes, i, from, length)) {
            symbols_add(&out, codes->items[i++]);
            continue;
        }
        for (const char *c = to; *c; c++)
            symbols_add(&out, (uint8_t)*c);
        i += length;
    }
    symbols_swap(codes, &out);
    symbols_clear(&out);
}

static void remove_all(Symbols *codes, CodeClass *unwanted)
{
    int64_t count = 0;
    for (int64_t i = 0; i < codes->count; i++)
        if (!unwanted(codes->items[i]))
            codes->items[count++] = codes->items[i];
    codes->count = count;
}

static void undo_entities(Symbols *codes)
{
    replace_all(codes, "&quot;", "\"");
    replace_all(codes, "&amp;", "&");
    replace_all(codes, "&lt;", "<");
    replace_all(codes, "&gt;", ">");
}

static void put_between_spaces(Symbols *codes)
{
    Symbols out = {0};
    symbols_add(&out, ' ');
    for (int64_t i = 0; i < codes->count; i++)
        symbols_add(&out, codes->items[i]);
    symbols_add(&out, ' ');
    symbols_swap(codes, &out);
    symbols_clear(&out);
}

/* The space is of this class too: mteval's ranges begin with it. */
static bool is_western_punctuation(uint32_t code)
{
    return code == ' ' || (code_is_ascii_punctuation(code) && code != '\'' && code != ',' &&
                           code != '-' && code != '.');
}

static bool is_digit(uint32_t code)
{
    return code >= '0' && code <= '9';
}

static bool is_no_digit(uint32_t code)
{
    return !is_digit(code);
}

static bool is_period_or_comma(uint32_t code)
{
    return code == '.' || code == ',';
}

static bool is_dash(uint32_t code)
{
    return code == '-';
}

static const Spacing around_punctuation = {is_western_punctuation, NULL, true, false, true};
static const Spacing at_numbers[] = {
    {is_no_digit, is_period_or_comma, false, true, true},
    {is_period_or_comma, is_no_digit, true, true, false},
    {is_digit, is_dash, false, true, true},
};
enum { AT_NUMBERS = sizeof at_numbers / sizeof *at_numbers };

static void tokenize_western(Symbols *codes)
{
    put_spaces(codes, &around_punctuation);
    put_all_spaces(codes, at_numbers, AT_NUMBERS);
    symbols_squeeze(codes);
}

static void tokenize_13a(Symbols *codes)
{
    replace_all(codes, "<skipped>", "");
    replace_all(codes, "-\n", "");
    replace_all(codes, "\n", " ");
    undo_entities(codes);
    put_between_spaces(codes);
    tokenize_western(codes);
}

typedef struct CodeRange {
    uint32_t first, last;
} CodeRange;

static bool in_ranges(uint32_t code, const CodeRange *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

/* Two ranges are not what their authors meant, the planes above U+20000, but what their Python says
 * ("\u20000" there is U+2000 and a zero): U+2001 to U+2A6D, and U+2F81 to U+2FA1. */
static bool is_zh(uint32_t code)
{
    static const CodeRange ranges[] = {
        {0x3400, 0x4DB5}, {0x4E00, 0x9FBB}, {0xF900, 0xFA2D}, {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9},
        {0x2001, 0x2A6D}, {0x2F81, 0x2FA1}, {0xFF00, 0xFFEF}, {0x2E80, 0x2EFF}, {0x3000, 0x303F},
        {0x31C0, 0x31EF}, {0x2F00, 0x2FDF}, {0x2FF0, 0x2FFF}, {0x3100, 0x312F}, {0x31A0, 0x31BF},
        {0xFE10, 0xFE1F}, {0xFE30, 0xFE4F}, {0x2600, 0x26FF}, {0x2700, 0x27BF}, {0x3200, 0x33FF}};
    return in_ranges(code, ranges, sizeof ranges / sizeof *ranges);
}

static void tokenize_zh(Symbols *codes)
{
    static const Spacing around_zh = {is_zh, NULL, true, false, true};
    symbols_strip(codes);
    put_spaces(codes, &around_zh);
    tokenize_western(codes);
}

static void tokenize_char(Symbols *codes)
{
    Symbols out = {0};
    for (int64_t i = 0; i < codes->count; i++) {
        if (i > 0)
            symbols_add(&out, ' ');
        symbols_add(&out, codes->items[i]);
    }
    symbols_swap(codes, &out);
    symbols_clear(&out);
}

static bool is_no_number(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return category < UTF8PROC_CATEGORY_ND || category > UTF8PROC_CATEGORY_NO;
}

static bool is_punctuation(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

static bool is_symbol(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO;
}

static void tokenize_intl(Symbols *codes)
{
    static const Spacing rules[] = {
        {is_no_number, is_punctuation, false, true, true},
        {is_punctuation, is_no_number, true, true, false},
        {is_symbol, NULL, true, false, true},
    };
    put_all_spaces(codes, rules, sizeof rules / sizeof *rules);
    symbols_squeeze(codes);
}

void mt_tokenize(MtTokenizer tokenizer, Symbols *codes)
{
    switch (tokenizer) {
    case MT_TOKENIZER_13A:
        tokenize_13a(codes);
        return;
    case MT_TOKENIZER_ZH:
        tokenize_zh(codes);
        return;
    case MT_TOKENIZER_CHAR:
        tokenize_char(codes);
        return;
    case MT_TOKENIZER_INTL:
        tokenize_intl(codes);
        return;
    case MT_TOKENIZER_NONE:
        return;
    }
}

static bool is_asian_punctuation(uint32_t code)
{
    static const CodeRange ranges[] = {{0x3001, 0x3002}, {0x3008, 0x3011}, {0x3014, 0x301F},
                                       {0xFF61, 0xFF65}, {0x30FB, 0x30FB}, {0xFF0E, 0xFF0E},
                                       {0xFF0C, 0xFF0C}, {0xFF1F, 0xFF1F}, {0xFF1A, 0xFF1B},
                                       {0xFF01, 0xFF02}, {0xFF08, 0xFF09}};
    return in_ranges(code, ranges, sizeof ranges / sizeof *ranges);
}

/* What stands alone: ideographs, strokes, radicals, compatibility forms, enclosed letters (to
 * U+3F22, where U+32FF was meant), punctuation. Tercom's patterns for runs of kana ask for the
 * beginning of the text, where there is a space by then: they never match. */
static bool stands_alone(uint32_t code)
{
    static const CodeRange ranges[] = {{0x3200, 0x4DBF}, {0x4E00, 0x9FFF}, {0x31C0, 0x31EF},
                                       {0x2E80, 0x2EFF}, {0xF900, 0xFAFF}, {0xFE30, 0xFE4F}};
    return in_ranges(code, ranges, sizeof ranges / sizeof *ranges) || is_asian_punctuation(code);
}

static bool is_tercom_punctuation(uint32_t code)
{
    return code < 0x80 && code != 0 && strchr(".,?:;!\"()", (int)code) != NULL;
}

void tercom_tokenize(const TercomOptions *options, Symbols *codes)
{
    static const Spacing around_asian = {stands_alone, NULL, true, false, true};
    if (codes->count == 0)
        return;
    if (!options->case_sensitive)
        symbols_lower(codes);
    if (options->normalize) {
        replace_all(codes, "\n-", "");
        replace_all(codes, "\n", " ");
        undo_entities(codes);
        put_between_spaces(codes);
        put_spaces(codes, &around_punctuation);
        replace_all(codes, "'s ", " 's ");
        put_all_spaces(codes, at_numbers, AT_NUMBERS);
        if (options->asian)
            put_spaces(codes, &around_asian);
    }
    if (options->no_punctuation) {
        remove_all(codes, is_tercom_punctuation);
        if (options->asian)
            remove_all(codes, is_asian_punctuation);
    }
    symbols_squeeze(codes);
}
