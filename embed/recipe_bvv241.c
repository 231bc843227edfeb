#include "embed/recipe_bvv241.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/spec_edit.h"
#include "core/text/token_index.h"
#include "core/text/utf8.h"
#include "embed/special_names.h"

/* The published bounds of the deterministic "augmentation" of easy scripts. */
static const Bvv241Recipe recipes[] = {
    {"bvv241-2-3", 65536, 3, 338, false, {RENDER_CELLS, 32, 4, 2, 0.01}},
    {"bvv241-max", 131072, 5, 906, true, {RENDER_CELLS, 32, 7, 3, 0.03}},
    {"bvv241-abs", 131072, 5, 906, true, {RENDER_CELLS, 64, 7, 3, 0.03}},
};

enum {
    SPECIAL_FIRST = 0xE000,
    SPECIAL_COUNT = 256,
};

typedef enum Place { PLACE_CODE_POINT, PLACE_NGRAM, PLACE_SPECIAL, PLACE_UNUSED } Place;

/* What stands at an id. The last id of each plane is left out of the author's loops. */
static Place place_of(int64_t id)
{
    if (id >= SPECIAL_FIRST && id < SPECIAL_FIRST + SPECIAL_COUNT)
        return PLACE_SPECIAL;
    if (id == 0xFFFF || id == 0x1FFFF)
        return PLACE_UNUSED;
    if ((id >= 0xD800 && id <= 0xF8FF) || id >= 0x10000)
        return PLACE_NGRAM;
    return PLACE_CODE_POINT;
}

const Bvv241Recipe *bvv241_find(const char *name)
{
    for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++)
        if (strcmp(recipes[i].name, name) == 0)
            return &recipes[i];
    return NULL;
}

typedef struct Gram {
    const char *text;
    int32_t bytes, length;
} Gram;

/* Python's sorted(key=(-len, text)); UTF-8 sorts as code points do. */
static int compare_grams(const void *a, const void *b)
{
    const Gram *x = a, *y = b;
    if (x->length != y->length)
        return y->length - x->length;
    int32_t common = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->text, y->text, (size_t)common);
    return order ? order : x->bytes - y->bytes;
}

static bool is_wanted(const Bvv241Recipe *recipe, const Ngram *ngram)
{
    if (ngram->length < 2)
        return false;
    if (ngram->lang < 0)
        return recipe->intersection;
    return ngram->n <= recipe->n_max && ngram->rank < recipe->top;
}

/* The wanted n-grams, distinct, in order of their ids. The caller frees. */
static Gram *collect(const Bvv241Recipe *recipe, const NgramList *ngrams, int64_t *count)
{
    Gram *grams = xmalloc((size_t)(ngrams->count + 1) * sizeof *grams);
    int64_t n = 0, distinct = 0;
    for (int64_t i = 0; i < ngrams->count; i++) {
        const Ngram *ngram = &ngrams->items[i];
        if (is_wanted(recipe, ngram))
            grams[n++] = (Gram){ngrams->text.data + ngram->offset, ngram->bytes, ngram->length};
    }
    qsort(grams, (size_t)n, sizeof *grams, compare_grams);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || compare_grams(&grams[i], &grams[distinct - 1]) != 0)
            grams[distinct++] = grams[i];
    *count = distinct;
    return grams;
}

static void add_named(SpecEdit *edit, int64_t id, TokenType type)
{
    char name[40];
    int n = (int)(id - SPECIAL_FIRST);
    if (type == TOKEN_SPECIAL && n < SPECIAL_NAMES)
        snprintf(name, sizeof name, "%s", special_names[n]);
    else
        snprintf(name, sizeof name, type == TOKEN_SPECIAL ? "<special_token_%d>" : "<unused_%d>",
                 (int)id);
    spec_edit_token(edit, name, (int64_t)strlen(name), type);
}

static void add_tokens(SpecEdit *edit, int64_t n_tokens, const Gram *grams, int64_t n_grams,
                       Bvv241Stats *stats)
{
    int64_t next = 0;
    for (int64_t id = 0; id < n_tokens; id++) {
        Place place = place_of(id);
        if (place == PLACE_NGRAM && next == n_grams)
            place = PLACE_UNUSED;
        char utf8[UTF8_MAX];
        if (place == PLACE_CODE_POINT) {
            spec_edit_token(edit, utf8, utf8_encode((uint32_t)id, utf8), TOKEN_TEXT);
        } else if (place == PLACE_NGRAM) {
            spec_edit_token(edit, grams[next].text, grams[next].bytes, TOKEN_TEXT);
            next++;
        } else {
            add_named(edit, id, place == PLACE_SPECIAL ? TOKEN_SPECIAL : TOKEN_UNUSED);
            stats->n_unused += place == PLACE_UNUSED;
        }
    }
    stats->n_grams = n_grams;
    stats->n_dropped = n_grams - next;
}

/* For each n-gram, longest first, every split whose halves are both tokens. N-grams that found no
 * place take part in the published loop too, but have no id to merge into. */
static void add_merges(SpecEdit *edit, const Gram *grams, int64_t n_grams)
{
    const TokenizerSpec *spec = edit->spec;
    TokenIndex index;
    token_index_init(&index, spec);
    for (int64_t i = 0; i < n_grams; i++) {
        int32_t whole = token_index_find(&index, spec, grams[i].text, grams[i].bytes);
        if (whole < 0)
            continue;
        for (int32_t cut = 1; cut < grams[i].bytes; cut++) {
            if (((uint8_t)grams[i].text[cut] & 0xC0) == 0x80)
                continue;
            int32_t left = token_index_find(&index, spec, grams[i].text, cut);
            int32_t right =
                token_index_find(&index, spec, grams[i].text + cut, grams[i].bytes - cut);
            if (left >= 0 && right >= 0)
                spec_edit_merge(edit, left, right, whole);
        }
    }
    token_index_clear(&index);
}

Status bvv241_build(const Bvv241Recipe *recipe, const NgramList *ngrams, TokenizerSpec *out,
                    Bvv241Stats *stats, Err *err)
{
    int64_t n_grams;
    Gram *grams = collect(recipe, ngrams, &n_grams);
    *stats = (Bvv241Stats){0};
    *out = (TokenizerSpec){0};
    if (n_grams == 0) {
        free(grams);
        return err_usage(err,
                         "%s needs the published n-gram lists of 2 to %d characters: give them "
                         "with --ngrams FILE",
                         recipe->name, recipe->n_max);
    }
    SpecEdit edit;
    spec_edit_begin(&edit, out);
    add_tokens(&edit, recipe->n_tokens, grams, n_grams, stats);
    spec_edit_end(&edit);
    add_merges(&edit, grams, n_grams);
    out->name = xstrdup(recipe->name);
    out->pad = SPECIAL_FIRST;
    out->bos = SPECIAL_FIRST + 1;
    out->eos = SPECIAL_FIRST + 2;
    out->unk = SPECIAL_FIRST + 3;
    free(grams);
    return STATUS_OK;
}
