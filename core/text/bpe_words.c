#include "core/text/bpe_words.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/text/splitter.h"
#include "core/text/utf8.h"

typedef struct Word {
    int64_t offset, bytes, count;
    uint64_t hash;
} Word;

struct BpeWords {
    Splitter *splitter;
    SplitterWork *work;
    StrBuf text;
    Word *items;
    int64_t count, capacity;
    int64_t *slots; /* indices of items, -1: free; open addressing, a power of two */
    uint64_t mask;
};

enum { FIRST_SLOTS = 1 << 16 };

static void set_slots(BpeWords *words, uint64_t slots)
{
    words->slots = xrealloc(words->slots, slots * sizeof *words->slots);
    memset(words->slots, 0xFF, slots * sizeof *words->slots);
    words->mask = slots - 1;
    for (int64_t i = 0; i < words->count; i++) {
        uint64_t slot = words->items[i].hash & words->mask;
        while (words->slots[slot] >= 0)
            slot = (slot + 1) & words->mask;
        words->slots[slot] = i;
    }
}

BpeWords *bpe_words_new(const char *pattern, Err *err)
{
    Splitter *splitter = splitter_new(pattern, err);
    if (!splitter)
        return NULL;
    BpeWords *words = xcalloc(1, sizeof *words);
    words->splitter = splitter;
    words->work = splitter_work_new();
    set_slots(words, FIRST_SLOTS);
    return words;
}

void bpe_words_free(BpeWords *words)
{
    if (!words)
        return;
    splitter_free(words->splitter);
    splitter_work_free(words->work);
    strbuf_clear(&words->text);
    free(words->items);
    free(words->slots);
    free(words);
}

void bpe_words_add(BpeWords *words, const char *piece, int64_t bytes, int64_t count)
{
    uint64_t hash = hash_for_table(piece, bytes), slot = hash & words->mask;
    for (; words->slots[slot] >= 0; slot = (slot + 1) & words->mask) {
        Word *word = &words->items[words->slots[slot]];
        if (word->hash == hash && word->bytes == bytes &&
            memcmp(words->text.data + word->offset, piece, (size_t)bytes) == 0) {
            word->count += count;
            return;
        }
    }
    words->items = mem_grow(words->items, &words->capacity, words->count + 1, sizeof(Word));
    words->items[words->count] = (Word){words->text.size, bytes, count, hash};
    words->slots[slot] = words->count++;
    strbuf_append(&words->text, piece, (size_t)bytes);
    if ((uint64_t)words->count * 2 > words->mask)
        set_slots(words, (words->mask + 1) * 2);
}

static void add_piece(void *context, const char *piece, int64_t bytes)
{
    bpe_words_add(context, piece, bytes, 1);
}

void bpe_words_add_text(BpeWords *words, const char *text, int64_t bytes)
{
    splitter_run(words->splitter, words->work, text, bytes, true, add_piece, words);
}

int64_t bpe_words_count(const BpeWords *words)
{
    return words->count;
}

const char *bpe_words_get(const BpeWords *words, int64_t i, int64_t *bytes, int64_t *count)
{
    const Word *word = &words->items[i];
    *bytes = word->bytes;
    *count = word->count;
    return words->text.data + word->offset;
}

void bpe_words_code_points(const BpeWords *words, int64_t *counts)
{
    for (int64_t i = 0; i < words->count; i++) {
        const Word *word = &words->items[i];
        const char *text = words->text.data + word->offset;
        for (int64_t at = 0; at < word->bytes;) {
            uint32_t code;
            int used = utf8_decode(text + at, word->bytes - at, &code);
            CHECK(used > 0, "a piece of the corpus is not UTF-8");
            counts[code] += word->count;
            at += used;
        }
    }
}
