/* Encoding a text without names: what is not UTF-8 is set apart, a pattern or steps cut the rest
 * into pieces, pieces fall apart where no merge can reach, and each is merged or recalled from a
 * cache. The last two change nothing of the result of plain byte-pair merging. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/text/nfc.h"
#include "core/text/text_step.h"
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

/* ---- scratch memory -------------------------------------------------------------------------- */

EncodeWork *encode_work_take(const Tokenizer *tokenizer)
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

void encode_work_give_back(const Tokenizer *tokenizer, EncodeWork *work)
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

/* A character that has no token, and no unknown token to stand for it, is left out. */
static void tell_lost(const Tokenizer *t, const char *text, int length)
{
    if (atomic_exchange((atomic_bool *)(uintptr_t)&t->told, true))
        return;
    StrBuf bytes = {0};
    for (int i = 0; i < length; i++)
        strbuf_printf(&bytes, " %02X", (uint8_t)text[i]);
    log_warn(
        "the vocabulary has no token for the bytes%s of a text, and none for the unknown: they "
        "are left out, and so are others like them",
        bytes.data);
    strbuf_clear(&bytes);
}

static int32_t byte_or_unk(const Tokenizer *t, const char *byte)
{
    int32_t id = t->bytes[(uint8_t)*byte];
    if (id < 0 && t->spec.unk < 0)
        tell_lost(t, byte, 1);
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
    if (t->spec.unk < 0)
        tell_lost(t, text, length);
    symbols[0] = t->spec.unk;
    return t->spec.unk >= 0;
}

static int32_t character_token(const Tokenizer *t, const char *text, int length)
{
    if (length < 4)
        return t->characters[utf8_code(text, length)];
    int32_t id = token_index_find(&t->index, &t->spec, text, length);
    bool usable = id >= 0 && t->texts[id];
    return usable ? id : -1;
}

int64_t tokenizer_symbols(const Tokenizer *tokenizer, const char *text, int64_t bytes,
                          int32_t *symbols)
{
    int64_t count = 0;
    if (tokenizer->spec.byte_level) {
        for (int64_t i = 0; i < bytes; i++) {
            symbols[count] = byte_or_unk(tokenizer, text + i);
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
    if (count == 0) /* then there may be no list to copy to */
        return;
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
        if (id >= 0 && t->spec.types[id] == TOKEN_TEXT && t->texts[id]) {
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
        symbols[0] = byte_or_unk(t, text);
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

static void encode_whole(const Encoding *e, const char *text, int64_t bytes)
{
    const Tokenizer *t = e->tokenizer;
    int mark = t->spec.ignore_merges ? WHOLE : 0;
    if (bytes <= CACHE_TEXT) {
        encode_piece(e, text, bytes, mark);
        return;
    }
    if (mark) {
        int32_t id = token_index_find(&t->index, &t->spec, text, bytes);
        if (id >= 0 && t->spec.types[id] == TOKEN_TEXT && t->texts[id]) {
            id_list_add(e->out, id);
            return;
        }
    }
    encode_by_joints(e, text, bytes);
}

/* Unknown tokens in a row, from `start` on, become one. */
static void fuse_unknown(const Tokenizer *t, IdList *out, int64_t start)
{
    int64_t kept = start;
    for (int64_t i = start; i < out->count; i++)
        if (out->items[i] != t->spec.unk || kept == start || out->items[kept - 1] != t->spec.unk)
            out->items[kept++] = out->items[i];
    out->count = kept;
}

/* A piece that the pattern or the steps made; steps make it in memory of its own. */
static void encode_pretoken(void *context, const char *text, int64_t bytes)
{
    Encoding *e = context;
    const Tokenizer *t = e->tokenizer;
    if (!t->spaces && !t->spec.pre_tokenizer && !t->spec.fuse_unk) {
        encode_whole(e, text, bytes);
        return;
    }
    const char *end = e->end;
    int64_t start = e->out->count;
    StrBuf spaced = {0};
    /* Where there is a token for it; elsewhere the mark falls back to its own bytes. */
    if (t->spaces && t->characters && t->characters[' '] >= 0 &&
        memmem(text, (size_t)bytes, TEXT_METASPACE, 3)) {
        text_put_spaces(&spaced, text, bytes);
        text = spaced.data;
        bytes = spaced.size;
    }
    if (spaced.data || t->spec.pre_tokenizer)
        e->end = text + bytes;
    encode_whole(e, text, bytes);
    if (t->spec.fuse_unk && t->spec.unk >= 0)
        fuse_unknown(t, e->out, start);
    e->end = end;
    strbuf_clear(&spaced);
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void encode_normal(Encoding *e, const char *text, int64_t bytes, bool first)
{
    if (e->tokenizer->splitter)
        splitter_run(e->tokenizer->splitter, e->work->splitter, text, bytes, first, encode_pretoken,
                     e);
    else
        encode_pretoken(e, text, bytes);
}

static void encode_valid(Encoding *e, const char *text, int64_t bytes, bool first)
{
    if (!e->tokenizer->spec.nfc || nfc_is_plain(text, bytes)) {
        encode_normal(e, text, bytes, first);
        return;
    }
    StrBuf normal = {0};
    nfc_append(&normal, text, bytes);
    const char *end = e->end;
    e->end = normal.data + normal.size;
    encode_normal(e, normal.data, normal.size, first);
    e->end = end;
    strbuf_clear(&normal);
}

void encode_stretches(Encoding *e, const char *text, int64_t bytes, bool first)
{
    while (bytes > 0) {
        int64_t valid = utf8_valid_prefix(text, bytes);
        if (valid > 0)
            encode_valid(e, text, valid, first);
        text += valid;
        bytes -= valid;
        if (bytes > 0) {
            int32_t id = byte_or_unk(e->tokenizer, text);
            if (id >= 0)
                id_list_add(e->out, id);
            text++;
            bytes--;
        }
        first = false;
    }
}
