#include "core/text/bpe_train.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/text/utf8.h"

/* The words lie one behind the other in `cells`, one cell per character. A token of L characters
 * has its id in its first cell and, when L > 1, -L in its last, so that both neighbours of a token
 * are found without links. */
enum { CELL_EDGE = INT32_MIN, CELL_INNER = INT32_MIN + 1 };

typedef struct Pair {
    int32_t left, right;
    int32_t merge;   /* the merge that last added to it: when it was queued last */
    bool owned;      /* `places` is the pair's own memory */
    int64_t count;   /* weighted with the counts of the words */
    int32_t *places; /* cells where it was put; some no longer hold it */
    int64_t n_places, capacity;
} Pair;

typedef struct Ticket { /* in the queue; out of date when its count is not the pair's */
    int64_t count;
    int32_t pair;
} Ticket;

typedef struct Trainer {
    const BpeTrainOptions *options;
    SpecEdit *edit;
    int32_t *chars; /* (tokens): characters of each, by id */
    int64_t chars_capacity;
    int32_t *cells, *word_of; /* (n_cells) */
    int64_t n_cells;
    int64_t *weights; /* (words) */
    Pair *pairs;
    int64_t n_pairs, pair_capacity;
    int32_t *pair_slots; /* indices of pairs, -1: free */
    uint64_t pair_mask;
    int32_t *token_slots; /* ids by their bytes, -1: free */
    uint64_t token_mask;
    Ticket *queue; /* a binary heap, the most frequent pair on top */
    int64_t n_queue, queue_capacity;
    int32_t *pool;    /* the places of the first pairs */
    int32_t *touched; /* pairs that the present merge adds to */
    int64_t n_touched, touched_capacity;
} Trainer;

/* ---- tokens by their bytes ---------------------------------------------------------------------
 */

static int32_t *token_slot(const Trainer *t, const char *text, int64_t bytes)
{
    const TokenizerSpec *spec = t->edit->spec;
    uint64_t slot = hash_for_table(text, bytes) & t->token_mask;
    for (;; slot = (slot + 1) & t->token_mask) {
        int32_t id = t->token_slots[slot];
        if (id < 0)
            return &t->token_slots[slot];
        int64_t start = spec->offsets[id];
        if (spec->offsets[id + 1] - start == bytes &&
            memcmp(t->edit->text.data + start, text, (size_t)bytes) == 0)
            return &t->token_slots[slot];
    }
}

static void note_token(Trainer *t, int32_t id, int32_t chars)
{
    const TokenizerSpec *spec = t->edit->spec;
    t->chars = mem_grow(t->chars, &t->chars_capacity, id + 1, sizeof *t->chars);
    t->chars[id] = chars;
    if (spec->types[id] == TOKEN_TEXT)
        *token_slot(t, t->edit->text.data + spec->offsets[id],
                    spec->offsets[id + 1] - spec->offsets[id]) = id;
}

static void index_tokens(Trainer *t)
{
    const TokenizerSpec *spec = t->edit->spec;
    int64_t most = t->options->n_tokens > spec->n_tokens ? t->options->n_tokens : spec->n_tokens;
    uint64_t slots = 64;
    while (slots < 2 * (uint64_t)most)
        slots *= 2;
    t->token_slots = xmalloc(slots * sizeof *t->token_slots);
    memset(t->token_slots, 0xFF, slots * sizeof *t->token_slots);
    t->token_mask = slots - 1;
    for (int64_t id = 0; id < spec->n_tokens; id++) {
        int32_t chars = 0;
        for (int64_t at = spec->offsets[id]; at < spec->offsets[id + 1]; at++)
            chars += ((uint8_t)t->edit->text.data[at] & 0xC0) != 0x80;
        note_token(t, (int32_t)id, chars);
    }
}

/* The token that joins two; made when no other pair has made it before. */
static int32_t joined_token(Trainer *t, int32_t left, int32_t right)
{
    const TokenizerSpec *spec = t->edit->spec;
    StrBuf text = {0};
    strbuf_append(&text, t->edit->text.data + spec->offsets[left],
                  (size_t)(spec->offsets[left + 1] - spec->offsets[left]));
    strbuf_append(&text, t->edit->text.data + spec->offsets[right],
                  (size_t)(spec->offsets[right + 1] - spec->offsets[right]));
    int32_t id = *token_slot(t, text.data, text.size);
    if (id < 0) {
        id = spec_edit_token(t->edit, text.data, text.size, TOKEN_TEXT);
        note_token(t, id, t->chars[left] + t->chars[right]);
    }
    strbuf_clear(&text);
    return id;
}

/* ---- cells --------------------------------------------------------------------------------------
 */

static int64_t count_cells(const BpeWords *words)
{
    int64_t cells = 1;
    for (int64_t i = 0; i < bpe_words_count(words); i++) {
        int64_t bytes, count;
        const char *text = bpe_words_get(words, i, &bytes, &count);
        cells++;
        for (int64_t at = 0; at < bytes; at++)
            cells += ((uint8_t)text[at] & 0xC0) != 0x80;
    }
    return cells;
}

static Status fill_cells(Trainer *t, const BpeWords *words, Err *err)
{
    int64_t n_words = bpe_words_count(words), cells = count_cells(words), at = 1;
    if (cells > INT32_MAX)
        return err_set(err, "the corpus has more than 2^31 characters in distinct words: learn the "
                            "vocabulary from a part of it");
    void *memory;
    TRY(mem_try(&memory, (size_t)cells * sizeof *t->cells, "the words of the corpus", err));
    t->cells = memory;
    TRY(mem_try(&memory, (size_t)cells * sizeof *t->word_of, "the words of the corpus", err));
    t->word_of = memory;
    t->weights = xmalloc((size_t)(n_words + 1) * sizeof *t->weights);
    t->cells[0] = CELL_EDGE;
    t->word_of[0] = 0;
    for (int64_t i = 0; i < n_words; i++) {
        int64_t bytes;
        const char *text = bpe_words_get(words, i, &bytes, &t->weights[i]);
        for (int64_t from = 0; from < bytes; at++) {
            int length = utf8_length(text[from]);
            int32_t id = *token_slot(t, text + from, length);
            t->cells[at] = id < 0 ? CELL_EDGE : id;
            t->word_of[at] = (int32_t)i;
            from += length;
        }
        t->word_of[at] = (int32_t)i;
        t->cells[at++] = CELL_EDGE;
    }
    t->n_cells = at;
    return STATUS_OK;
}

/* ---- pairs -------------------------------------------------------------------------------------
 */

static uint64_t pair_hash(int32_t left, int32_t right)
{
    return hash_mix64((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
}

static void set_pair_slots(Trainer *t, uint64_t slots)
{
    t->pair_slots = xrealloc(t->pair_slots, slots * sizeof *t->pair_slots);
    memset(t->pair_slots, 0xFF, slots * sizeof *t->pair_slots);
    t->pair_mask = slots - 1;
    for (int64_t i = 0; i < t->n_pairs; i++) {
        uint64_t slot = pair_hash(t->pairs[i].left, t->pairs[i].right) & t->pair_mask;
        while (t->pair_slots[slot] >= 0)
            slot = (slot + 1) & t->pair_mask;
        t->pair_slots[slot] = (int32_t)i;
    }
}

static int32_t pair_of(Trainer *t, int32_t left, int32_t right)
{
    uint64_t slot = pair_hash(left, right) & t->pair_mask;
    for (; t->pair_slots[slot] >= 0; slot = (slot + 1) & t->pair_mask) {
        const Pair *pair = &t->pairs[t->pair_slots[slot]];
        if (pair->left == left && pair->right == right)
            return t->pair_slots[slot];
    }
    t->pairs = mem_grow(t->pairs, &t->pair_capacity, t->n_pairs + 1, sizeof(Pair));
    t->pairs[t->n_pairs] = (Pair){.left = left, .right = right, .merge = -1};
    t->pair_slots[slot] = (int32_t)t->n_pairs++;
    if ((uint64_t)t->n_pairs * 2 > t->pair_mask)
        set_pair_slots(t, (t->pair_mask + 1) * 2);
    return (int32_t)t->n_pairs - 1;
}

static bool is_before(const Trainer *t, Ticket a, Ticket b)
{
    if (a.count != b.count)
        return a.count > b.count;
    const Pair *x = &t->pairs[a.pair], *y = &t->pairs[b.pair];
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static void queue_push(Trainer *t, int32_t pair)
{
    const Pair *p = &t->pairs[pair];
    if (p->count < t->options->min_count ||
        t->chars[p->left] + t->chars[p->right] > t->options->max_chars)
        return;
    t->queue = mem_grow(t->queue, &t->queue_capacity, t->n_queue + 1, sizeof(Ticket));
    Ticket ticket = {p->count, pair};
    int64_t i = t->n_queue++;
    for (; i > 0 && is_before(t, ticket, t->queue[(i - 1) / 2]); i = (i - 1) / 2)
        t->queue[i] = t->queue[(i - 1) / 2];
    t->queue[i] = ticket;
}

static Ticket queue_pop(Trainer *t)
{
    Ticket top = t->queue[0], last = t->queue[--t->n_queue];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < t->n_queue; i = child) {
        if (child + 1 < t->n_queue && is_before(t, t->queue[child + 1], t->queue[child]))
            child++;
        if (!is_before(t, t->queue[child], last))
            break;
        t->queue[i] = t->queue[child];
    }
    if (t->n_queue > 0)
        t->queue[i] = last;
    return top;
}

/* Finds all pairs of neighbours; their places share one pool, in rising order. */
static Status find_pairs(Trainer *t, Err *err)
{
    void *memory;
    TRY(mem_try(&memory, (size_t)t->n_cells * sizeof *t->pool, "the pairs of the corpus", err));
    t->pool = memory;
    int32_t *pair_at = NULL;
    TRY(mem_try(&memory, (size_t)t->n_cells * sizeof *pair_at, "the pairs of the corpus", err));
    pair_at = memory;
    set_pair_slots(t, 1 << 16);
    for (int64_t i = 0; i + 1 < t->n_cells; i++) {
        bool both = t->cells[i] >= 0 && t->cells[i + 1] >= 0;
        pair_at[i] = both ? pair_of(t, t->cells[i], t->cells[i + 1]) : -1;
        if (both)
            t->pairs[pair_at[i]].capacity++;
    }
    int64_t used = 0;
    for (int64_t i = 0; i < t->n_pairs; i++) {
        t->pairs[i].places = t->pool + used;
        used += t->pairs[i].capacity;
    }
    for (int64_t i = 0; i + 1 < t->n_cells; i++) {
        if (pair_at[i] < 0)
            continue;
        Pair *pair = &t->pairs[pair_at[i]];
        pair->places[pair->n_places++] = (int32_t)i;
        pair->count += t->weights[t->word_of[i]];
    }
    free(pair_at);
    for (int64_t i = 0; i < t->n_pairs; i++)
        queue_push(t, (int32_t)i);
    return STATUS_OK;
}

/* ---- merging -----------------------------------------------------------------------------------
 */

static void add_place(Trainer *t, int32_t left, int32_t right, int32_t place, int32_t merge)
{
    int32_t index = pair_of(t, left, right);
    Pair *pair = &t->pairs[index];
    if (!pair->owned) { /* the pool has no room: move out */
        int32_t *old = pair->places;
        pair->places = NULL;
        pair->capacity = 0;
        pair->places = mem_grow(NULL, &pair->capacity, pair->n_places + 1, sizeof *pair->places);
        if (pair->n_places > 0)
            memcpy(pair->places, old, (size_t)pair->n_places * sizeof *old);
        pair->owned = true;
    }
    pair->places =
        mem_grow(pair->places, &pair->capacity, pair->n_places + 1, sizeof *pair->places);
    pair->places[pair->n_places++] = place;
    pair->count += t->weights[t->word_of[place]];
    if (pair->merge != merge) {
        pair->merge = merge;
        t->touched =
            mem_grow(t->touched, &t->touched_capacity, t->n_touched + 1, sizeof *t->touched);
        t->touched[t->n_touched++] = index;
    }
}

static void drop_place(Trainer *t, int32_t left, int32_t right, int32_t place)
{
    t->pairs[pair_of(t, left, right)].count -= t->weights[t->word_of[place]];
}

/* The first cell of the token that ends right before `place`, or -1. */
static int32_t token_before(const Trainer *t, int32_t place)
{
    int32_t cell = t->cells[place - 1];
    return cell >= 0 ? place - 1 : cell == CELL_EDGE ? -1 : place + cell;
}

static void merge_at(Trainer *t, int32_t place, int32_t left, int32_t right, int32_t whole,
                     int32_t merge)
{
    int32_t middle = place + t->chars[left], end = middle + t->chars[right];
    if (t->cells[place] != left || t->cells[middle] != right)
        return;
    int32_t before = token_before(t, place);
    if (before >= 0) {
        drop_place(t, t->cells[before], left, before);
        add_place(t, t->cells[before], whole, before, merge);
    }
    int32_t after = t->cells[end];
    t->cells[middle] = CELL_INNER;
    t->cells[place] = whole;
    t->cells[end - 1] = place - end;
    if (after >= 0) {
        drop_place(t, right, after, middle);
        add_place(t, whole, after, place, merge);
    }
}

static int compare_places(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void merge_pair(Trainer *t, int32_t index)
{
    Pair pair = t->pairs[index]; /* a copy: the array moves when pairs are added */
    int32_t merge = (int32_t)t->edit->spec->n_merges;
    int32_t whole = joined_token(t, pair.left, pair.right);
    spec_edit_merge(t->edit, pair.left, pair.right, whole);
    /* A run of one letter is joined from its start, so the order of places matters there. */
    if (pair.left == pair.right)
        qsort(pair.places, (size_t)pair.n_places, sizeof *pair.places, compare_places);
    t->pairs[index].places = NULL;
    t->pairs[index].owned = false;
    t->pairs[index].n_places = 0;
    for (int64_t i = 0; i < pair.n_places; i++)
        merge_at(t, pair.places[i], pair.left, pair.right, whole, merge);
    t->pairs[index].count = 0;
    if (pair.owned)
        free(pair.places);
    for (int64_t i = 0; i < t->n_touched; i++)
        queue_push(t, t->touched[i]);
    t->n_touched = 0;
}

static Status merge_all(Trainer *t)
{
    const TokenizerSpec *spec = t->edit->spec;
    Progress progress;
    int64_t first = spec->n_tokens;
    Status status = STATUS_OK;
    progress_start(&progress, "token", t->options->n_tokens - first);
    while (spec->n_tokens < t->options->n_tokens && t->n_queue > 0) {
        Ticket ticket = queue_pop(t);
        int64_t count = t->pairs[ticket.pair].count;
        if (count == ticket.count)
            merge_pair(t, ticket.pair);
        else if (count < ticket.count)
            queue_push(t, ticket.pair);
        progress_update(&progress, spec->n_tokens - first, NULL);
        if (stop_requested()) {
            status = STATUS_STOPPED;
            break;
        }
    }
    progress_end(&progress);
    return status;
}

static void trainer_clear(Trainer *t)
{
    for (int64_t i = 0; i < t->n_pairs; i++)
        if (t->pairs[i].owned)
            free(t->pairs[i].places);
    free(t->chars);
    free(t->cells);
    free(t->word_of);
    free(t->weights);
    free(t->pairs);
    free(t->pair_slots);
    free(t->token_slots);
    free(t->queue);
    free(t->pool);
    free(t->touched);
}

Status bpe_train(const BpeWords *words, const BpeTrainOptions *options, SpecEdit *edit, Err *err)
{
    CHECK(options->min_count >= 1, "pairs that never occur cannot be joined");
    Trainer t = {.options = options, .edit = edit};
    Status status = STATUS_OK;
    index_tokens(&t);
    TRY_GOTO(fill_cells(&t, words, err));
    TRY_GOTO(find_pairs(&t, err));
    TRY_GOTO(merge_all(&t));
done:
    trainer_clear(&t);
    return status;
}
