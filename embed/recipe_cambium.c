#include "embed/recipe_cambium.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/bpe_train.h"
#include "core/text/spec_edit.h"
#include "core/text/utf8.h"
#include "embed/special_names.h"

/* [^\P{L}\p{Han}] are letters that are not Han. \p{Han} alone would take in the signs that Han
 * texts share with others (PCRE2 reads it as a script extension), hence the look-ahead. */
const char cambium_pattern[] = " ?(?:[^\\P{L}\\p{Han}]\\p{M}*+)++"
                               "| ?(?:(?=[\\p{L}\\p{Nl}])\\p{Han})++"
                               "|\\p{N}{1,3}"
                               "| ?[^\\s\\p{L}\\p{N}]++"
                               "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

enum { BMP_END = 0x10000, SURROGATES = 0xD800, SURROGATES_END = 0xE000 };

typedef struct Candidate {
    uint32_t code;
    int64_t count;
} Candidate;

static int by_count(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->code > y->code) - (x->code < y->code);
}

static void add_code_point(SpecEdit *edit, uint32_t code)
{
    char utf8[UTF8_MAX];
    spec_edit_token(edit, utf8, utf8_encode(code, utf8), TOKEN_TEXT);
}

static void add_fixed(SpecEdit *edit)
{
    for (int i = 0; i < CAMBIUM_SPECIALS; i++) {
        char name[32];
        if (i < SPECIAL_NAMES)
            snprintf(name, sizeof name, "%s", special_names[i]);
        else
            snprintf(name, sizeof name, "<reserved_%d>", i);
        spec_edit_token(edit, name, (int64_t)strlen(name), TOKEN_SPECIAL);
    }
    for (int i = 0; i < CAMBIUM_BYTES; i++) {
        char byte = (char)(0x80 + i);
        spec_edit_token(edit, &byte, 1, TOKEN_BYTE);
    }
    for (uint32_t code = 0; code < CAMBIUM_ASCII; code++)
        add_code_point(edit, code);
}

/* Marks the most frequent code points of the texts until they make up `coverage` of all characters
 * or `room` is used up. Returns their number. */
static int64_t choose_frequent(const int64_t *counts, double coverage, int64_t room, bool *chosen,
                               CambiumStats *stats)
{
    Candidate *candidates = xmalloc(CODE_POINTS * sizeof *candidates);
    int64_t n = 0, total = 0, covered = 0, taken = 0;
    for (uint32_t code = 0; code < CODE_POINTS; code++) {
        total += counts[code];
        stats->text_code_points += counts[code] > 0;
        if (code < CAMBIUM_ASCII)
            covered += counts[code];
        else if (counts[code] > 0)
            candidates[n++] = (Candidate){code, counts[code]};
    }
    qsort(candidates, (size_t)n, sizeof *candidates, by_count);
    while (taken < n && taken < room && (double)covered < coverage * (double)total) {
        chosen[candidates[taken].code] = true;
        covered += candidates[taken++].count;
    }
    stats->covered = total > 0 ? (double)covered / (double)total : 1;
    free(candidates);
    return taken;
}

static bool is_drawable(const Font *font, uint32_t code)
{
    return (code < SURROGATES || code >= SURROGATES_END) && font_covers(font, code);
}

/* Marks code points in rising order up to `end` while there is room; returns how many. */
static int64_t choose_drawable(const Font *font, uint32_t end, int64_t room, bool *chosen)
{
    int64_t taken = 0;
    for (uint32_t code = CAMBIUM_ASCII; code < end && taken < room; code++) {
        if (chosen[code] || !is_drawable(font, code))
            continue;
        chosen[code] = true;
        taken++;
    }
    return taken;
}

static void add_chosen(SpecEdit *edit, const bool *chosen, const bool *already)
{
    for (uint32_t code = CAMBIUM_ASCII; code < CODE_POINTS; code++)
        if (chosen[code] && !(already && already[code]))
            add_code_point(edit, code);
}

/* Code points before merges: half of what is left at most, so that a small vocabulary for Chinese
 * keeps places for words. */
static void choose_alphabet(const CambiumOptions *options, const BpeWords *words, const Font *font,
                            bool *chosen, CambiumStats *stats)
{
    int64_t *counts = xcalloc(CODE_POINTS, sizeof *counts);
    int64_t room = options->n_tokens - CAMBIUM_MIN_TOKENS;
    bpe_words_code_points(words, counts);
    int64_t taken = choose_frequent(counts, options->coverage, room / 2, chosen, stats);
    if (options->all_bmp)
        taken += choose_drawable(font, BMP_END, room - taken, chosen);
    stats->n_code_points = taken;
    free(counts);
}

static int64_t count_without_glyph(const Font *font, const bool *chosen)
{
    int64_t count = 0;
    for (uint32_t code = 0; code < CODE_POINTS; code++)
        count += chosen[code] && !font_covers(font, code);
    return count;
}

Status cambium_build(const CambiumOptions *options, const BpeWords *words, const Font *font,
                     TokenizerSpec *out, CambiumStats *stats, Err *err)
{
    *stats = (CambiumStats){0};
    *out = (TokenizerSpec){0};
    if (options->n_tokens < CAMBIUM_MIN_TOKENS || options->n_tokens > 1 << 23)
        return err_usage(err, "a vocabulary of %lld tokens: take --vocab-size from %d to %d",
                         (long long)options->n_tokens, CAMBIUM_MIN_TOKENS, 1 << 23);
    bool *chosen = xcalloc(CODE_POINTS, 1), *alphabet = xmalloc(CODE_POINTS);
    SpecEdit edit;
    spec_edit_begin(&edit, out);
    add_fixed(&edit);
    choose_alphabet(options, words, font, chosen, stats);
    add_chosen(&edit, chosen, NULL);
    int64_t before = out->n_tokens;
    BpeTrainOptions train = {options->n_tokens, options->min_count, options->max_chars};
    Status status = bpe_train(words, &train, &edit, err);
    stats->n_merged = out->n_tokens - before;
    memcpy(alphabet, chosen, CODE_POINTS);
    stats->n_filled = choose_drawable(font, CODE_POINTS, options->n_tokens - out->n_tokens, chosen);
    add_chosen(&edit, chosen, alphabet);
    stats->n_without_glyph = count_without_glyph(font, chosen);
    spec_edit_end(&edit);
    out->name = xstrdup("cambium");
    out->pattern = xstrdup(cambium_pattern);
    out->pad = 0, out->bos = 1, out->eos = 2, out->unk = 3;
    free(chosen);
    free(alphabet);
    if (status != STATUS_OK)
        tokenizer_spec_clear(out);
    return status;
}
