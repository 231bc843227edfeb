#include "embed/recipe_bvv241.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/text/token_index.h"
#include "core/text/utf8.h"

/* The published bounds of the deterministic "augmentation" of easy scripts. */
static const Bvv241Recipe recipes[] = {
    {"bvv241-2-3", 65536, 3, 338, false, {RENDER_CELLS, 32, 4, 2, 0.01}},
    {"bvv241-max", 131072, 5, 906, true, {RENDER_CELLS, 32, 7, 3, 0.03}},
    {"bvv241-abs", 131072, 5, 906, true, {RENDER_CELLS, 64, 7, 3, 0.03}},
};

static const char *const special_names[] = {
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "<think>",
    "</think>",
    "<emotions>",
    "</emotions>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "[INST]",
    "[/INST]",
    "[EOT]",
    "[USER]",
    "[ASSISTANT]",
    "[FIM_PREFIX]",
    "[FIM_MIDDLE]",
    "[FIM_SUFFIX]",
    "[FIM_PAD]",
    "[REPO_NAME]",
    "[FILE_SEP]",
};
enum {
    SPECIAL_FIRST = 0xE000,
    SPECIAL_COUNT = 256,
    SPECIAL_NAMED = sizeof special_names / sizeof special_names[0],
    ID_UNK = SPECIAL_FIRST + 3,
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

static void add_special(int64_t id, StrBuf *text)
{
    if (id - SPECIAL_FIRST < SPECIAL_NAMED)
        strbuf_puts(text, special_names[id - SPECIAL_FIRST]);
    else
        strbuf_printf(text, "<special_token_%lld>", (long long)id);
}

/* Fills text, offsets and types of all ids. */
static void fill_tokens(TokenizerSpec *spec, const Gram *grams, int64_t n_grams, Bvv241Stats *stats)
{
    StrBuf text = {0};
    int64_t next = 0;
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        Place place = place_of(id);
        if (place == PLACE_NGRAM && next == n_grams)
            place = PLACE_UNUSED;
        spec->offsets[id] = text.size;
        spec->types[id] = TOKEN_TEXT;
        if (place == PLACE_CODE_POINT) {
            char utf8[UTF8_MAX];
            strbuf_append(&text, utf8, (size_t)utf8_encode((uint32_t)id, utf8));
        } else if (place == PLACE_NGRAM) {
            strbuf_append(&text, grams[next].text, (size_t)grams[next].bytes);
            next++;
        } else if (place == PLACE_SPECIAL) {
            spec->types[id] = TOKEN_SPECIAL;
            add_special(id, &text);
        } else {
            spec->types[id] = TOKEN_UNUSED;
            strbuf_printf(&text, "<unused_%lld>", (long long)id);
            stats->n_unused++;
        }
    }
    spec->offsets[spec->n_tokens] = text.size;
    spec->text = strbuf_detach(&text);
    stats->n_grams = n_grams;
    stats->n_dropped = n_grams - next;
}

/* For each n-gram, longest first, every split whose halves are both tokens. N-grams that found no
 * place take part in the published loop too, but have no id to merge into. */
static void fill_merges(TokenizerSpec *spec, const Gram *grams, int64_t n_grams)
{
    TokenIndex index;
    int64_t capacity = 0;
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
            if (left < 0 || right < 0)
                continue;
            spec->merges =
                mem_grow(spec->merges, &capacity, spec->n_merges + 1, 3 * sizeof(int32_t));
            int32_t *merge = spec->merges + 3 * spec->n_merges++;
            merge[0] = left, merge[1] = right, merge[2] = whole;
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
    *out = (TokenizerSpec){.kind = TOKENIZER_RANKED, .n_tokens = recipe->n_tokens};
    if (n_grams == 0) {
        free(grams);
        return err_set(err,
                       "%s needs the published n-gram lists of 2 to %d characters: give them "
                       "with --ngrams FILE",
                       recipe->name, recipe->n_max);
    }
    out->offsets = xmalloc((size_t)(out->n_tokens + 1) * sizeof *out->offsets);
    out->types = xmalloc((size_t)out->n_tokens);
    out->name = xstrdup(recipe->name);
    out->pad = SPECIAL_FIRST;
    out->bos = SPECIAL_FIRST + 1;
    out->eos = SPECIAL_FIRST + 2;
    out->unk = ID_UNK;
    fill_tokens(out, grams, n_grams, stats);
    fill_merges(out, grams, n_grams);
    free(grams);
    return STATUS_OK;
}
