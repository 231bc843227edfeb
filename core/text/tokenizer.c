#include "core/text/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/text_step.h"
#include "core/text/token_roles.h"
#include "core/text/tokenizer_impl.h"
#include "core/text/utf8.h"

void tokenizer_spec_clear(TokenizerSpec *spec)
{
    free(spec->text);
    free(spec->offsets);
    free(spec->types);
    free(spec->scores);
    free(spec->merges);
    free(spec->ends);
    free(spec->find);
    free(spec->normalizer);
    free(spec->pre_tokenizer);
    free(spec->pattern);
    free(spec->name);
    free(spec->chat_template);
    free(spec->tool_template);
    *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1};
}

void tokenizer_spec_add_end(TokenizerSpec *spec, int32_t id)
{
    bool known = id == spec->eos || spec->n_ends == TOKENIZER_ENDS;
    for (int64_t i = 0; i < spec->n_ends && !known; i++)
        known = spec->ends[i] == id;
    if (known)
        return;
    spec->ends = xrealloc(spec->ends, (size_t)(spec->n_ends + 1) * sizeof *spec->ends);
    spec->ends[spec->n_ends++] = id;
}

void id_list_add(IdList *list, int32_t id)
{
    if (list->count == list->capacity)
        list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = id;
}

bool id_list_has(const IdList *list, int32_t id)
{
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i] == id)
            return true;
    return false;
}

void id_list_clear(IdList *list)
{
    free(list->items);
    *list = (IdList){0};
}

static int64_t token_bytes(const TokenizerSpec *spec, int64_t id)
{
    return spec->offsets[id + 1] - spec->offsets[id];
}

static const char *token_text(const TokenizerSpec *spec, int64_t id)
{
    return spec->text + spec->offsets[id];
}

/* Whether the token is made of characters of a text. */
static bool is_text(const TokenizerSpec *spec, int64_t id)
{
    return spec->types[id] == TOKEN_TEXT || spec->types[id] == TOKEN_ADDED;
}

/* ---- checks --------------------------------------------------------------------------------- */

static Status check_token(const TokenizerSpec *spec, int64_t id, Err *err)
{
    int64_t bytes = token_bytes(spec, id);
    if (bytes < 0)
        return err_set(err, "tokenizer: token %lld ends before it begins", (long long)id);
    if (spec->find && spec->find[id] >= FIND_BITS)
        return err_set(err, "tokenizer: token %lld is found in an unknown way", (long long)id);
    if (spec->types[id] > TOKEN_ADDED)
        return err_set(err, "tokenizer: token %lld has the unknown type %d", (long long)id,
                       spec->types[id]);
    if (spec->types[id] == TOKEN_BYTE && bytes != 1)
        return err_set(err, "tokenizer: byte token %lld stands for %lld bytes instead of one",
                       (long long)id, (long long)bytes);
    if (spec->types[id] != TOKEN_UNUSED && bytes == 0)
        return err_set(err, "tokenizer: token %lld is empty", (long long)id);
    if (is_text(spec, id) && !spec->byte_level &&
        utf8_valid_prefix(token_text(spec, id), bytes) != bytes)
        return err_set(err,
                       "tokenizer: token %lld is not UTF-8, and the vocabulary is not byte-level",
                       (long long)id);
    if (spec->scores && !isfinite(spec->scores[id]))
        return err_set(err, "tokenizer: the score of token %lld is not a number", (long long)id);
    return STATUS_OK;
}

static Status check_merge(const TokenizerSpec *spec, int64_t merge, Err *err)
{
    const int32_t *ids = spec->merges + 3 * merge;
    for (int i = 0; i < 3; i++) {
        if (ids[i] < 0 || ids[i] >= spec->n_tokens)
            return err_set(err, "tokenizer: merge %lld names token %d of %lld", (long long)merge,
                           ids[i], (long long)spec->n_tokens);
        if (!is_text(spec, ids[i]) && spec->types[ids[i]] != TOKEN_BYTE)
            return err_set(err, "tokenizer: merge %lld uses token %d, which is not text",
                           (long long)merge, ids[i]);
    }
    int64_t left = token_bytes(spec, ids[0]), right = token_bytes(spec, ids[1]);
    if (token_bytes(spec, ids[2]) != left + right ||
        memcmp(token_text(spec, ids[2]), token_text(spec, ids[0]), (size_t)left) != 0 ||
        memcmp(token_text(spec, ids[2]) + left, token_text(spec, ids[1]), (size_t)right) != 0)
        return err_set(err,
                       "tokenizer: merge %lld of tokens %d and %d gives token %d, which is "
                       "not their text joined",
                       (long long)merge, ids[0], ids[1], ids[2]);
    return STATUS_OK;
}

static Status check_spec(const TokenizerSpec *spec, Err *err)
{
    if (spec->kind != TOKENIZER_RANKED && spec->kind != TOKENIZER_SCORED)
        return err_set(err, "tokenizer: unknown kind %d", (int)spec->kind);
    if (spec->n_tokens < 1 || spec->n_tokens > INT32_MAX)
        return err_set(err,
                       "tokenizer: %lld tokens; there must be at least one and fewer than "
                       "2^31",
                       (long long)spec->n_tokens);
    if (spec->n_merges < 0 || spec->n_merges >= INT32_MAX)
        return err_set(err, "tokenizer: %lld merges", (long long)spec->n_merges);
    if (spec->kind == TOKENIZER_SCORED && (!spec->scores || spec->n_merges > 0))
        return err_set(err, "tokenizer: a vocabulary that merges by score needs scores and has no "
                            "merge list");
    if (spec->strip > STRIP_TOKEN)
        return err_set(err, "tokenizer: texts are decoded in the unknown way %d", (int)spec->strip);
    if ((spec->normalizer || spec->pre_tokenizer) &&
        (spec->pattern || spec->nfc || spec->add_prefix_space))
        return err_set(err, "tokenizer: both steps and a pattern, nfc or add_prefix_space");
    if (spec->offsets[0] != 0)
        return err_set(err, "tokenizer: the first token does not begin at byte 0");
    for (int64_t id = 0; id < spec->n_tokens; id++)
        TRY(check_token(spec, id, err));
    for (int64_t merge = 0; merge < spec->n_merges; merge++)
        TRY(check_merge(spec, merge, err));
    const int32_t special[] = {spec->pad, spec->bos, spec->eos, spec->unk};
    for (int i = 0; i < 4; i++)
        if (special[i] < -1 || special[i] >= spec->n_tokens)
            return err_set(err, "tokenizer: special token %d is outside the %lld tokens",
                           special[i], (long long)spec->n_tokens);
    for (int64_t i = 0; i < spec->n_ends; i++)
        if (spec->ends[i] < 0 || spec->ends[i] >= spec->n_tokens)
            return err_set(err, "tokenizer: the end token %d is outside the %lld tokens",
                           spec->ends[i], (long long)spec->n_tokens);
    return STATUS_OK;
}

/* ---- tables --------------------------------------------------------------------------------- */

/* Which tokens encoding may produce from the characters of a text: no control tokens, and of those
 * that were added only what merges need or the vocabulary has as a character. */
static void fill_texts(Tokenizer *t)
{
    const TokenizerSpec *spec = &t->spec;
    t->texts = xcalloc((size_t)spec->n_tokens, sizeof *t->texts);
    for (int64_t i = 0; i < 3 * spec->n_merges; i++)
        t->texts[spec->merges[i]] = !t->control[spec->merges[i]];
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        bool known = spec->types[id] == TOKEN_TEXT ||
                     (spec->types[id] == TOKEN_ADDED &&
                      (t->texts[id] || (spec->find && spec->find[id] & FIND_CHARACTER)));
        t->texts[id] = known && !t->control[id];
    }
}

static void fill_symbols(Tokenizer *t)
{
    const TokenizerSpec *spec = &t->spec;
    memset(t->bytes, 0xFF, sizeof t->bytes);
    for (int pass = 0; pass < 2; pass++) /* a text token goes before a byte token */
        for (int64_t id = 0; id < spec->n_tokens; id++) {
            bool wanted = pass ? spec->types[id] == TOKEN_BYTE : spec->byte_level && t->texts[id];
            if (!wanted || token_bytes(spec, id) != 1)
                continue;
            int32_t *slot = &t->bytes[(uint8_t)token_text(spec, id)[0]];
            if (*slot < 0)
                *slot = (int32_t)id;
        }
    t->all_bytes = true;
    for (int i = 0; i < 256; i++)
        t->all_bytes = t->all_bytes && t->bytes[i] >= 0;
    if (spec->byte_level)
        return;
    t->characters = xmalloc(CHARS * sizeof *t->characters);
    memset(t->characters, 0xFF, CHARS * sizeof *t->characters);
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        uint32_t code;
        const char *text = token_text(spec, id);
        int64_t bytes = token_bytes(spec, id);
        if (t->texts[id] && utf8_decode(text, bytes, &code) == bytes && code < CHARS &&
            token_index_find(&t->index, spec, text, bytes) == id)
            t->characters[code] = (int32_t)id;
    }
}

static Status fill_ranked_pairs(Tokenizer *t, Err *err)
{
    pair_table_init(&t->pairs, t->spec.n_merges);
    for (int64_t merge = 0; merge < t->spec.n_merges; merge++) {
        const int32_t *ids = t->spec.merges + 3 * merge;
        if (t->control[ids[2]])
            continue;
        if (!pair_table_add(&t->pairs, ids[0], ids[1], (uint32_t)merge, ids[2]))
            return err_set(err, "tokenizer: merge %lld repeats merge %u of tokens %d and %d",
                           (long long)merge, pair_table_find(&t->pairs, ids[0], ids[1])->rank,
                           ids[0], ids[1]);
    }
    return STATUS_OK;
}

static int descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x > y ? -1 : x < y;
}

/* How many of the `count` descending scores are greater than `score`. */
static uint32_t scores_above(const float *scores, int64_t count, float score)
{
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (scores[middle] > score)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

typedef struct PairList {
    int32_t (*items)[3];
    int64_t count;
    int64_t capacity;
} PairList;

/* Every way to cut the token into two text tokens. */
static void add_cuts(const Tokenizer *t, int64_t id, PairList *list)
{
    const TokenizerSpec *spec = &t->spec;
    const char *text = token_text(spec, id);
    int64_t bytes = token_bytes(spec, id);
    if (!t->texts[id] || token_index_find(&t->index, spec, text, bytes) != id)
        return;
    for (int64_t cut = 1; cut < bytes; cut++) {
        int32_t left = token_index_find(&t->index, spec, text, cut);
        if (left < 0 || !t->texts[left])
            continue;
        int32_t right = token_index_find(&t->index, spec, text + cut, bytes - cut);
        if (right < 0 || !t->texts[right])
            continue;
        list->items = mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
        memcpy(list->items[list->count++], (int32_t[]){left, right, (int32_t)id},
               sizeof *list->items);
    }
}

/* Merging by score is merging by rank, where the rank of a pair is its joined token's place among
 * the scores; equal scores share a rank, so that the leftmost goes first. */
static void fill_scored_pairs(Tokenizer *t)
{
    int64_t n = t->spec.n_tokens;
    float *sorted = xmalloc((size_t)n * sizeof *sorted);
    memcpy(sorted, t->spec.scores, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    PairList list = {0};
    for (int64_t id = 0; id < n; id++)
        add_cuts(t, id, &list);
    pair_table_init(&t->pairs, list.count);
    for (int64_t i = 0; i < list.count; i++) {
        const int32_t *ids = list.items[i];
        uint32_t rank = scores_above(sorted, n, t->spec.scores[ids[2]]);
        pair_table_add(&t->pairs, ids[0], ids[1], rank, ids[2]);
    }
    free(list.items);
    free(sorted);
}

/* The first (or last) symbol that a token's text starts out as, -1: none. */
static int32_t edge_symbol(const Tokenizer *t, int32_t id, bool last, int32_t *symbols)
{
    if (t->spec.types[id] == TOKEN_BYTE)
        return id;
    int64_t count =
        tokenizer_symbols(t, token_text(&t->spec, id), token_bytes(&t->spec, id), symbols);
    return count == 0 ? -1 : symbols[last ? count - 1 : 0];
}

/* No merge can ever reach across two neighbouring first symbols unless some pair's left token ends
 * with the one and its right token begins with the other. Texts fall apart there, exactly, into
 * short pieces that are fast to merge and worth remembering. */
static void fill_joints(Tokenizer *t)
{
    int bits = 12;
    while (bits < 22 && (UINT64_C(1) << bits) < 16 * t->pairs.count)
        bits++;
    t->joint_shift = 64 - bits;
    t->joints = xcalloc((size_t)1 << (bits - 6), sizeof *t->joints);
    int64_t longest = 1;
    for (int64_t id = 0; id < t->spec.n_tokens; id++)
        if (token_bytes(&t->spec, id) > longest)
            longest = token_bytes(&t->spec, id);
    int32_t *symbols = xmalloc((size_t)longest * sizeof *symbols);
    for (uint64_t slot = 0; slot <= t->pairs.mask; slot++) {
        const Pair *pair = &t->pairs.slots[slot];
        if (pair->rank == BPE_NO_RANK)
            continue;
        int32_t left = edge_symbol(t, (int32_t)(pair->key >> 32), true, symbols);
        int32_t right = edge_symbol(t, (int32_t)(uint32_t)pair->key, false, symbols);
        if (left >= 0 && right >= 0) {
            uint64_t bit = joint_bit(t, left, right);
            t->joints[bit / 64] |= UINT64_C(1) << bit % 64;
        }
    }
    free(symbols);
}

static void count_ordinary(const Tokenizer *t, NameSet *set)
{
    for (int64_t i = 0; i < set->count; i++)
        set->n_ordinary += !t->control[set->names[i].id];
}

/* Names are looked for in two rounds: as they are, then in the normalised text. */
static Status fill_names(Tokenizer *t, Err *err)
{
    const TokenizerSpec *spec = &t->spec;
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        if (spec->types[id] != TOKEN_ADDED && spec->types[id] != TOKEN_SPECIAL)
            continue;
        const char *text = token_text(spec, id);
        int64_t bytes = token_bytes(spec, id);
        if (!spec->find || !(spec->find[id] & FIND_NORMALIZED)) {
            name_set_add(&t->names, text, bytes, (int32_t)id);
            continue;
        }
        TaggedText normal = {0};
        strbuf_append(&normal.text, text, (size_t)bytes);
        strbuf_append(&normal.tags, text, (size_t)bytes);
        if (t->normalizer && utf8_valid_prefix(text, bytes) == bytes)
            normalizer_run(t->normalizer, &normal);
        bool gone = normal.text.size == 0;
        name_set_add(&t->normal_names, normal.text.data, normal.text.size, (int32_t)id);
        tagged_text_clear(&normal);
        if (gone)
            return err_set(err,
                           "tokenizer: nothing is left of the added token \"%.*s\" in normalised "
                           "text, where it is to be found",
                           (int)(bytes < 60 ? bytes : 60), text);
    }
    if (t->normalizer && t->normal_names.count > 0) {
        t->normal_of = xmalloc((size_t)spec->n_tokens * sizeof *t->normal_of);
        memset(t->normal_of, 0xFF, (size_t)spec->n_tokens * sizeof *t->normal_of);
        for (int64_t i = 0; i < t->normal_names.count; i++)
            t->normal_of[t->normal_names.names[i].id] = (int32_t)i;
    }
    count_ordinary(t, &t->names);
    count_ordinary(t, &t->normal_names);
    name_set_finish(&t->names);
    name_set_finish(&t->normal_names);
    return STATUS_OK;
}

/* What the flags do to a text, as steps: names that are found in normalised text need them. */
static Status fill_implied(Tokenizer *t, Err *err)
{
    const TokenizerSpec *spec = &t->spec;
    bool named = false, marks = t->spaces && !spec->pre_tokenizer;
    for (int64_t id = 0; id < spec->n_tokens && spec->find && !named; id++)
        named = spec->find[id] & FIND_NORMALIZED;
    if (!named || t->normalizer || (!spec->nfc && !marks))
        return STATUS_OK;
    char *steps = xasprintf(
        "[%s%s%s%s]", spec->nfc ? "{\"type\":\"NFC\"}" : "", spec->nfc && marks ? "," : "",
        marks && spec->add_prefix_space ? "{\"type\":\"Prepend\",\"prepend\":\"" TEXT_METASPACE
                                          "\"},"
                                        : "",
        marks ? "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" TEXT_METASPACE
                "\"}"
              : "");
    t->normalizer = normalizer_new(steps, err);
    free(steps);
    return t->normalizer ? STATUS_OK : STATUS_FAIL;
}

static Status fill_steps(Tokenizer *t, Err *err)
{
    const TokenizerSpec *spec = &t->spec;
    if (spec->pattern && !(t->splitter = splitter_new(spec->pattern, err)))
        return STATUS_FAIL;
    if (spec->pre_tokenizer && !(t->splitter = splitter_new_steps(spec->pre_tokenizer, err)))
        return STATUS_FAIL;
    if (spec->normalizer && !(t->normalizer = normalizer_new(spec->normalizer, err)))
        return STATUS_FAIL;
    t->spaces = spec->metaspace || spec->kind == TOKENIZER_SCORED ||
                (spec->add_prefix_space && !spec->byte_level);
    return fill_implied(t, err);
}

/* ---- life ----------------------------------------------------------------------------------- */

Tokenizer *tokenizer_new(TokenizerSpec *spec, Err *err)
{
    Tokenizer *t = xcalloc(1, sizeof *t);
    t->spec = *spec;
    *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1};
    pthread_mutex_init(&t->lock, NULL);
    if (check_spec(&t->spec, err) != STATUS_OK)
        goto failed;
    if (fill_steps(t, err) != STATUS_OK)
        goto failed;
    t->control = token_roles_control(&t->spec);
    token_index_init(&t->index, &t->spec);
    fill_texts(t);
    fill_symbols(t);
    if (t->spec.kind == TOKENIZER_SCORED)
        fill_scored_pairs(t);
    else if (fill_ranked_pairs(t, err) != STATUS_OK)
        goto failed;
    fill_joints(t);
    if (fill_names(t, err) != STATUS_OK)
        goto failed;
    return t;

failed:
    tokenizer_free(t);
    return NULL;
}

void tokenizer_free(Tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    encode_work_free_all(tokenizer->idle);
    pthread_mutex_destroy(&tokenizer->lock);
    splitter_free(tokenizer->splitter);
    normalizer_free(tokenizer->normalizer);
    free(tokenizer->normal_of);
    name_set_clear(&tokenizer->names);
    name_set_clear(&tokenizer->normal_names);
    free(tokenizer->control);
    free(tokenizer->texts);
    free(tokenizer->joints);
    free(tokenizer->characters);
    pair_table_clear(&tokenizer->pairs);
    token_index_clear(&tokenizer->index);
    tokenizer_spec_clear(&tokenizer->spec);
    free(tokenizer);
}

/* ---- questions ------------------------------------------------------------------------------ */

const TokenizerSpec *tokenizer_spec(const Tokenizer *tokenizer)
{
    return &tokenizer->spec;
}

int32_t tokenizer_start(const Tokenizer *tokenizer)
{
    const TokenizerSpec *spec = &tokenizer->spec;
    return spec->bare_start ? -1 : spec->bos >= 0 ? spec->bos : spec->eos;
}

bool tokenizer_is_control(const Tokenizer *tokenizer, int32_t id)
{
    return tokenizer->control[id];
}

void tokenizer_ends(const Tokenizer *tokenizer, IdList *out)
{
    const TokenizerSpec *spec = &tokenizer->spec;
    if (spec->eos >= 0 && !id_list_has(out, spec->eos))
        id_list_add(out, spec->eos);
    for (int64_t i = 0; i < spec->n_ends; i++)
        if (!id_list_has(out, spec->ends[i]))
            id_list_add(out, spec->ends[i]);
}

int64_t tokenizer_size(const Tokenizer *tokenizer)
{
    return tokenizer->spec.n_tokens;
}

const char *tokenizer_token(const Tokenizer *tokenizer, int32_t id, int64_t *bytes)
{
    CHECK(id >= 0 && id < tokenizer->spec.n_tokens, "token %d of %lld", id,
          (long long)tokenizer->spec.n_tokens);
    *bytes = token_bytes(&tokenizer->spec, id);
    return token_text(&tokenizer->spec, id);
}

int32_t tokenizer_find(const Tokenizer *tokenizer, const char *text, int64_t bytes)
{
    return token_index_find(&tokenizer->index, &tokenizer->spec, text, bytes);
}

/* The bytes that a token decodes to. A name that is found in normalised text is that text.
 * `drop`: without its spaces as the vocabulary writes them. */
static const char *shown(const Tokenizer *t, int32_t id, bool drop, int64_t *bytes, StrBuf *spaced)
{
    const char *text = token_text(&t->spec, id);
    *bytes = token_bytes(&t->spec, id);
    if (t->spec.types[id] != TOKEN_ADDED && t->spec.types[id] != TOKEN_SPECIAL)
        return text;
    if (t->normal_of && t->normal_of[id] >= 0) {
        const Name *name = &t->normal_names.names[t->normal_of[id]];
        text = t->normal_names.text.data + name->at;
        *bytes = name->bytes;
    }
    if (!t->spaces || !memmem(text, (size_t)*bytes, TEXT_METASPACE, 3))
        return text;
    text_step_replace(spaced, text, *bytes, TEXT_METASPACE, drop ? "" : " ");
    *bytes = spaced->size;
    return spaced->data ? spaced->data : "";
}

static DecodeStrip strip_of(const TokenizerSpec *spec)
{
    if (spec->strip != STRIP_PREFIX)
        return spec->strip;
    return spec->add_prefix_space && !spec->byte_level ? STRIP_SPACE : STRIP_NOTHING;
}

/* Appends the token that a text begins with. */
static void append_first(const Tokenizer *t, int32_t id, StrBuf *out)
{
    StrBuf spaced = {0};
    DecodeStrip strip = strip_of(&t->spec);
    int64_t bytes;
    const char *text = shown(t, id, strip == STRIP_TOKEN, &bytes, &spaced);
    if (strip == STRIP_TOKEN && t->spec.types[id] == TOKEN_TEXT) {
        text_step_replace(out, text, bytes, " ", "");
    } else {
        int64_t skipped = strip == STRIP_SPACE && bytes > 0 && text[0] == ' ';
        strbuf_append(out, text + skipped, (size_t)(bytes - skipped));
    }
    strbuf_clear(&spaced);
}

void tokenizer_decode_on(const Tokenizer *tokenizer, const int32_t *ids, int64_t count,
                         bool specials, bool *at_start, StrBuf *out)
{
    const TokenizerSpec *spec = &tokenizer->spec;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= spec->n_tokens) {
            strbuf_puts(out, UTF8_REPLACEMENT);
            *at_start = false;
            continue;
        }
        bool hidden = spec->types[ids[i]] == TOKEN_SPECIAL || spec->types[ids[i]] == TOKEN_UNUSED;
        if (hidden && !specials)
            continue;
        if (*at_start && !hidden) {
            append_first(tokenizer, ids[i], out);
            *at_start = false;
            continue;
        }
        StrBuf spaced = {0};
        int64_t bytes;
        const char *text = shown(tokenizer, ids[i], false, &bytes, &spaced);
        strbuf_append(out, text, (size_t)bytes);
        strbuf_clear(&spaced);
    }
}

void tokenizer_decode(const Tokenizer *tokenizer, const int32_t *ids, int64_t count, bool specials,
                      StrBuf *out)
{
    bool at_start = true;
    tokenizer_decode_on(tokenizer, ids, count, specials, &at_start, out);
}
