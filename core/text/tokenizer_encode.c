/* Encoding: names of added tokens are found first, what is not UTF-8 is set apart, the rest is
 * normalised where the vocabulary wants it, a pattern cuts it into pieces, pieces fall apart where
 * no merge can reach, and each is merged or recalled from a cache. None of these steps changes the
 * result of plain byte-pair merging. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/text/nfc.h"
#include "core/text/tokenizer_impl.h"
#include "core/text/utf8.h"

enum {
    CACHE_SLOTS = 1 << 15,
    CACHE_TEXT = 30, /* bytes of a piece that is remembered at most */
    CACHE_IDS = 8,
    WHOLE = 0x80, /* marks a piece to which ignore_merges applies */
};

/* One cache line: the piece with its length as four words, and what it became. */
typedef struct CacheKey {
    uint64_t words[4];
} CacheKey;

typedef struct CacheEntry {
    CacheKey key;
    int32_t ids[CACHE_IDS];
} CacheEntry;

struct EncodeWork {
    EncodeWork *next_idle;
    CacheEntry *cache; /* (CACHE_SLOTS), zero: empty, for no piece is empty */
    uint8_t *counts;   /* (CACHE_SLOTS) ids in each entry */
    BpeWork bpe;
    SplitterWork *splitter;
    int32_t *symbols;
    int64_t symbols_capacity;
};

/* What one call of encode carries around. */
typedef struct Encoding {
    const Tokenizer *tokenizer;
    EncodeWork *work;
    const char *end; /* of the readable text */
    IdList *out;
} Encoding;

/* ---- scratch memory -------------------------------------------------------------------------- */

static EncodeWork *work_take(const Tokenizer *tokenizer)
{
    /* The list of idle scratch memory is the one thing in a tokenizer that changes. */
    Tokenizer *owner = (Tokenizer *)(uintptr_t)tokenizer;
    pthread_mutex_lock(&owner->lock);
    EncodeWork *work = owner->idle;
    if (work)
        owner->idle = work->next_idle;
    pthread_mutex_unlock(&owner->lock);
    if (!work) {
        work = xcalloc(1, sizeof *work);
        work->cache = xcalloc(CACHE_SLOTS, sizeof *work->cache);
        work->counts = xcalloc(CACHE_SLOTS, sizeof *work->counts);
        if (tokenizer->splitter)
            work->splitter = splitter_work_new();
    }
    return work;
}

static void work_give_back(const Tokenizer *tokenizer, EncodeWork *work)
{
    Tokenizer *owner = (Tokenizer *)(uintptr_t)tokenizer;
    pthread_mutex_lock(&owner->lock);
    work->next_idle = owner->idle;
    owner->idle = work;
    pthread_mutex_unlock(&owner->lock);
}

void encode_work_free_all(EncodeWork *work)
{
    while (work) {
        EncodeWork *next = work->next_idle;
        free(work->cache);
        free(work->counts);
        free(work->symbols);
        bpe_work_clear(&work->bpe);
        splitter_work_free(work->splitter);
        free(work);
        work = next;
    }
}

/* ---- from text to first symbols -------------------------------------------------------------- */

static int32_t byte_or_unk(const Tokenizer *t, char byte)
{
    int32_t id = t->bytes[(uint8_t)byte];
    return id >= 0 ? id : t->spec.unk;
}

/* The symbols of one character without a token of its own: all its bytes or the unknown token. */
static int64_t fallback_symbols(const Tokenizer *t, const char *text, int length, int32_t *symbols)
{
    bool complete = true;
    for (int i = 0; i < length; i++) {
        symbols[i] = t->bytes[(uint8_t)text[i]];
        complete = complete && symbols[i] >= 0;
    }
    if (complete)
        return length;
    symbols[0] = t->spec.unk;
    return t->spec.unk >= 0;
}

static int32_t character_token(const Tokenizer *t, const char *text, int length)
{
    if (length < 4)
        return t->characters[utf8_code(text, length)];
    int32_t id = token_index_find(&t->index, &t->spec, text, length);
    bool usable = id >= 0 && (t->spec.types[id] == TOKEN_TEXT || t->spec.types[id] == TOKEN_ADDED);
    return usable ? id : -1;
}

int64_t tokenizer_symbols(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                          int32_t *symbols)
{
    int64_t count = 0;
    if (tokenizer->spec.byte_level) {
        for (int64_t i = 0; i < bytes; i++) {
            symbols[count] = byte_or_unk(tokenizer, text[i]);
            count += symbols[count] >= 0;
        }
        return count;
    }
    for (int64_t i = 0; i < bytes;) {
        int length = utf8_length(text[i]);
        symbols[count] = character_token(tokenizer, text + i, length);
        count += symbols[count] >= 0
                     ? 1
                     : fallback_symbols(tokenizer, text + i, length, symbols + count);
        i += length;
    }
    return count;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* The piece, padded with zeros, and its length in the last byte. */
static CacheKey cache_key(const Encoding *e, const char *text, int64_t bytes, int mark)
{
    static const uint8_t mask[64] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    CacheKey key = {{0}};
    if (e->end - text >= (int64_t)sizeof key) {
        CacheKey keep;
        memcpy(&key, text, sizeof key);
        memcpy(&keep, mask + 32 - bytes, sizeof keep);
        for (int i = 0; i < 4; i++)
            key.words[i] &= keep.words[i];
    } else {
        memcpy(&key, text, (size_t)bytes);
    }
    uint8_t length = (uint8_t)(bytes | mark);
    memcpy((char *)&key + sizeof key - 1, &length, 1);
    return key;
}

static uint64_t cache_slot(const CacheKey *key)
{
    const uint64_t *w = key->words;
    uint64_t a = (w[0] ^ w[2] * UINT64_C(0xBF58476D1CE4E5B9)) * UINT64_C(0x9E3779B97F4A7C15);
    uint64_t b = (w[1] ^ w[3] * UINT64_C(0x94D049BB133111EB)) * UINT64_C(0xD6E8FEB86659FD93);
    a ^= b ^ a >> 29;
    return (a * UINT64_C(0x9E3779B97F4A7C15)) >> 49; /* 15 bits: CACHE_SLOTS */
}

static void add_ids(IdList *out, const int32_t *ids, int64_t count)
{
    if (out->count + count > out->capacity)
        out->items = mem_grow(out->items, &out->capacity, out->count + count, sizeof *out->items);
    memcpy(out->items + out->count, ids, (size_t)count * sizeof *ids);
    out->count += count;
}

/* Merges a piece; `mark` WHOLE: the piece is taken as it is when it is a token. */
static void merge_piece(const Encoding *e, const char *text, int64_t bytes, int mark)
{
    const Tokenizer *t = e->tokenizer;
    EncodeWork *work = e->work;
    if (mark) {
        int32_t id = token_index_find(&t->index, &t->spec, text, bytes);
        if (id >= 0 && t->spec.types[id] == TOKEN_TEXT) {
            id_list_add(e->out, id);
            return;
        }
    }
    work->symbols = mem_grow(work->symbols, &work->symbols_capacity, bytes, sizeof *work->symbols);
    int64_t count = tokenizer_symbols(t, text, bytes, work->symbols);
    add_ids(e->out, work->symbols, bpe_merge(&t->pairs, &work->bpe, work->symbols, count));
}

/* Like merge_piece, but remembers. */
static void encode_piece(const Encoding *e, const char *text, int64_t bytes, int mark)
{
    if (bytes > CACHE_TEXT) {
        merge_piece(e, text, bytes, mark);
        return;
    }
    CacheKey key = cache_key(e, text, bytes, mark);
    uint64_t slot = cache_slot(&key);
    CacheEntry *entry = &e->work->cache[slot];
    if (memcmp(&entry->key, &key, sizeof key) == 0) {
        add_ids(e->out, entry->ids, e->work->counts[slot]);
        return;
    }
    int64_t before = e->out->count;
    merge_piece(e, text, bytes, mark);
    int64_t count = e->out->count - before;
    if (count > CACHE_IDS)
        return;
    entry->key = key;
    if (count > 0)
        memcpy(entry->ids, e->out->items + before, (size_t)count * sizeof *entry->ids);
    e->work->counts[slot] = (uint8_t)count;
}

static bool joined(const Tokenizer *t, int32_t left, int32_t right)
{
    uint64_t bit = joint_bit(t, left, right);
    return t->joints[bit / 64] >> bit % 64 & 1;
}

/* The symbols of the character (or byte) at `text`, which is `length` bytes; returns their number.
 */
static int64_t first_symbols(const Tokenizer *t, const char *text, int length,
                             int32_t symbols[UTF8_MAX])
{
    if (t->spec.byte_level) {
        symbols[0] = byte_or_unk(t, text[0]);
        return symbols[0] >= 0;
    }
    symbols[0] = character_token(t, text, length);
    return symbols[0] >= 0 ? 1 : fallback_symbols(t, text, length, symbols);
}

/* Cuts valid text where no merge can reach. A run of BPE_LONGEST bytes without such a place is cut
 * there, to bound memory. */
static void encode_by_joints(const Encoding *e, const char *text, int64_t bytes)
{
    const Tokenizer *t = e->tokenizer;
    int64_t start = 0, in_piece = 0;
    int32_t last = -1, symbols[UTF8_MAX];
    for (int64_t i = 0; i < bytes;) {
        int length = t->spec.byte_level ? 1 : utf8_length(text[i]);
        int64_t count = first_symbols(t, text + i, length, symbols);
        if (count > 0) {
            if (in_piece > 0 &&
                (!joined(t, last, symbols[0]) || i - start >= BPE_LONGEST - UTF8_MAX)) {
                if (in_piece == 1)
                    id_list_add(e->out, last);
                else
                    encode_piece(e, text + start, i - start, 0);
                start = i;
                in_piece = 0;
            }
            last = symbols[count - 1];
            in_piece += count;
        }
        i += length;
    }
    if (in_piece > 0)
        encode_piece(e, text + start, bytes - start, 0);
}

/* A piece that the pattern made. */
static void encode_pretoken(void *context, const char *text, int64_t bytes)
{
    const Encoding *e = context;
    const Tokenizer *t = e->tokenizer;
    int mark = t->spec.ignore_merges ? WHOLE : 0;
    if (bytes <= CACHE_TEXT) {
        encode_piece(e, text, bytes, mark);
        return;
    }
    if (mark) {
        int32_t id = token_index_find(&t->index, &t->spec, text, bytes);
        if (id >= 0 && t->spec.types[id] == TOKEN_TEXT) {
            id_list_add(e->out, id);
            return;
        }
    }
    encode_by_joints(e, text, bytes);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void encode_normal(Encoding *e, const char *text, int64_t bytes)
{
    if (e->tokenizer->splitter)
        splitter_run(e->tokenizer->splitter, e->work->splitter, text, bytes, encode_pretoken, e);
    else if (e->tokenizer->spec.ignore_merges)
        encode_pretoken(e, text, bytes);
    else
        encode_by_joints(e, text, bytes);
}

static void encode_valid(Encoding *e, const char *text, int64_t bytes)
{
    if (!e->tokenizer->spec.nfc || nfc_is_plain(text, bytes)) {
        encode_normal(e, text, bytes);
        return;
    }
    StrBuf normal = {0};
    nfc_append(&normal, text, bytes);
    const char *end = e->end;
    e->end = normal.data + normal.size;
    encode_normal(e, normal.data, normal.size);
    e->end = end;
    strbuf_clear(&normal);
}

/* Text between names: valid stretches, and bytes that are not UTF-8 one by one. */
static void encode_stretch(Encoding *e, const char *text, int64_t bytes)
{
    while (bytes > 0) {
        int64_t valid = utf8_valid_prefix(text, bytes);
        if (valid > 0)
            encode_valid(e, text, valid);
        text += valid;
        bytes -= valid;
        if (bytes > 0) {
            int32_t id = byte_or_unk(e->tokenizer, *text);
            if (id >= 0)
                id_list_add(e->out, id);
            text++;
            bytes--;
        }
    }
}

static void encode_section(Encoding *e, const char *text, int64_t bytes)
{
    const TokenizerSpec *spec = &e->tokenizer->spec;
    if (bytes == 0)
        return;
    if (!spec->add_prefix_space || (spec->byte_level && text[0] == ' ')) {
        encode_stretch(e, text, bytes);
        return;
    }
    char *copy = xmalloc((size_t)bytes + 1);
    copy[0] = ' ';
    memcpy(copy + 1, text, (size_t)bytes);
    const char *end = e->end;
    e->end = copy + bytes + 1;
    encode_stretch(e, copy, bytes + 1);
    e->end = end;
    free(copy);
}

/* Which names are found where. */
typedef struct Names {
    const NameSet *set;
    const TextSpan *plain; /* (n_plain) in order: no specials here */
    int64_t n_plain;
} Names;

/* The longest name of the set at `text`, or -1. */
static int32_t find_name(const Tokenizer *t, const NameSet *set, const char *text, int64_t bytes)
{
    if (!set->first[(uint8_t)text[0]])
        return -1;
    for (int64_t i = 0; i < set->n_lengths; i++) {
        if (set->lengths[i] > bytes)
            continue;
        int32_t id = token_index_find(&t->index, &t->spec, text, set->lengths[i]);
        if (id >= 0 && (t->spec.types[id] == TOKEN_ADDED ||
                        (set == &t->named && t->spec.types[id] == TOKEN_SPECIAL)))
            return id;
    }
    return -1;
}

/* The longest name at text[i] that counts there, or -1. Within a plain span only added tokens do,
 * and a name of the markup does not reach into a span. */
static int32_t name_at(const Tokenizer *t, const Names *names, const char *text, int64_t bytes,
                       int64_t i, int64_t *span)
{
    while (*span < names->n_plain && names->plain[*span].end <= i)
        ++*span;
    if (*span == names->n_plain)
        return find_name(t, names->set, text + i, bytes - i);
    int64_t begin = names->plain[*span].begin;
    return begin <= i ? find_name(t, &t->added, text + i, bytes - i)
                      : find_name(t, names->set, text + i, begin - i);
}

static void encode(const Tokenizer *t, const Names *names, const char *text, int64_t bytes,
                   IdList *out)
{
    Encoding e = {t, work_take(t), text + bytes, out};
    int64_t start = 0, span = 0;
    for (int64_t i = 0; names->set->n_lengths > 0 && i < bytes;) {
        int32_t id = name_at(t, names, text, bytes, i, &span);
        if (id < 0) {
            i++;
            continue;
        }
        encode_section(&e, text + start, i - start);
        id_list_add(out, id);
        i += t->spec.offsets[id + 1] - t->spec.offsets[id];
        start = i;
    }
    encode_section(&e, text + start, bytes - start);
    work_give_back(t, e.work);
}

void tokenizer_encode(const Tokenizer *tokenizer, const char *text, int64_t bytes, IdList *out)
{
    encode(tokenizer, &(Names){.set = &tokenizer->added}, text, bytes, out);
}

void tokenizer_encode_with_specials(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                                    IdList *out)
{
    encode(tokenizer, &(Names){.set = &tokenizer->named}, text, bytes, out);
}

void tokenizer_encode_marked(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                             const TextSpan *plain, int64_t n, IdList *out)
{
    encode(tokenizer, &(Names){&tokenizer->named, plain, n}, text, bytes, out);
}

void tokenizer_encode_prompt(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                             bool specials, IdList *out)
{
    const TokenizerSpec *spec = &tokenizer->spec;
    int32_t start = tokenizer_start(tokenizer);
    if (start < 0 && bytes == 0) /* an empty prompt must have something to go on from */
        start = spec->bos >= 0 ? spec->bos : spec->eos;
    if (start >= 0)
        id_list_add(out, start);
    if (specials)
        tokenizer_encode_with_specials(tokenizer, text, bytes, out);
    else
        tokenizer_encode(tokenizer, text, bytes, out);
}
