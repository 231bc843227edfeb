#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"
#include "core/text/tokenizer.h"
#include "core/text/utf8.h"
#include "tests/support/spec_builder.h"

static Tokenizer *must_new(TokenizerSpec *spec)
{
    Err err;
    Tokenizer *t = tokenizer_new(spec, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

static void assert_ids(const Tokenizer *t, const char *text, int64_t bytes, const int32_t *ids,
                       int64_t count)
{
    IdList got = {0};
    tokenizer_encode(t, text, bytes, &got);
    assert_int_equal(got.count, count);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(got.items[i], ids[i]);
    id_list_clear(&got);
}

#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / 4

static void assert_round_trip(const Tokenizer *t, const char *text, int64_t bytes)
{
    IdList ids = {0};
    StrBuf back = {0};
    tokenizer_encode(t, text, bytes, &ids);
    tokenizer_decode(t, ids.items, ids.count, false, &back);
    assert_int_equal(back.size, bytes);
    if (bytes > 0)
        assert_memory_equal(back.data, text, (size_t)bytes);
    strbuf_clear(&back);
    id_list_clear(&ids);
}

/* ---- against the definition ---------------------------------------------------------------- */

/* Byte-pair merging word for word: look at all pairs, join the first one of the best. */
static int64_t merge_by_definition(const TokenizerSpec *spec, int32_t *ids, int64_t count)
{
    for (;;) {
        int64_t best = INT64_MAX, where = -1;
        for (int64_t i = 0; i + 1 < count; i++)
            for (int64_t m = 0; m < spec->n_merges && m < best; m++)
                if (spec->merges[3 * m] == ids[i] && spec->merges[3 * m + 1] == ids[i + 1]) {
                    best = m;
                    where = i;
                }
        if (where < 0)
            return count;
        ids[where] = spec->merges[3 * best + 2];
        memmove(ids + where + 1, ids + where + 2, (size_t)(count - where - 2) * sizeof *ids);
        count--;
    }
}

static const char *const letters[] = {
    "a", "b", "c", "\xD0\xB6", "\xE4\xB8\xAD", "\xF0\x9F\x98\x80"};
enum { LETTERS = sizeof letters / sizeof *letters };

/* Random merges; `backwards` gives later, longer tokens the lower ranks, as the published glyph
 * vocabularies do, so that a merge may call for one of a lower rank. */
static void random_merges(TokenizerSpec *spec, Rng *rng, bool backwards)
{
    int64_t first = spec->n_tokens;
    for (int i = 0; i < LETTERS; i++)
        spec_text(spec, letters[i]);
    for (int i = 0; i < 30; i++) {
        int32_t left = (int32_t)(first + rng_below(rng, spec->n_tokens - first));
        spec_merge(spec, left, (int32_t)(first + rng_below(rng, spec->n_tokens - first)));
    }
    for (int64_t m = 0; backwards && m < spec->n_merges / 2; m++) {
        int32_t *a = spec->merges + 3 * m, *b = spec->merges + 3 * (spec->n_merges - 1 - m);
        int32_t keep[3];
        memcpy(keep, a, sizeof keep);
        memcpy(a, b, sizeof keep);
        memcpy(b, keep, sizeof keep);
    }
}

static void ranked_follows_the_definition(void **state)
{
    (void)state;
    Rng rng;
    rng_init(&rng, 7, 0);
    for (int round = 0; round < 60; round++) {
        TokenizerSpec spec, copy;
        Rng twin = rng;
        spec_start(&spec);
        spec_start(&copy);
        random_merges(&spec, &rng, round % 2);
        random_merges(&copy, &twin, round % 2);
        Tokenizer *t = must_new(&spec);
        for (int text = 0; text < 20; text++) {
            int32_t ids[300];
            StrBuf bytes = {0};
            int64_t n = rng_below(&rng, text % 4 ? 40 : 300);
            int64_t kinds = 1 + rng_below(&rng, LETTERS);
            for (int64_t i = 0; i < n; i++) {
                ids[i] = (int32_t)rng_below(&rng, kinds);
                strbuf_puts(&bytes, letters[ids[i]]);
            }
            n = merge_by_definition(&copy, ids, n);
            assert_ids(t, bytes.data ? bytes.data : "", bytes.size, ids, n);
            strbuf_clear(&bytes);
        }
        tokenizer_free(t);
        tokenizer_spec_clear(&copy);
    }
}

/* SentencePiece's rule word for word: join the neighbours whose joined text scores highest. */
static int64_t score_by_definition(const TokenizerSpec *spec, int32_t *ids, int64_t count)
{
    for (;;) {
        int64_t where = -1;
        int32_t joined = -1;
        for (int64_t i = 0; i + 1 < count; i++) {
            StrBuf text = {0};
            for (int64_t j = i; j < i + 2; j++)
                strbuf_append(&text, spec->text + spec->offsets[ids[j]],
                              (size_t)(spec->offsets[ids[j] + 1] - spec->offsets[ids[j]]));
            int32_t id = spec_find(spec, text.data, text.size);
            strbuf_clear(&text);
            if (id >= 0 && (where < 0 || spec->scores[id] > spec->scores[joined])) {
                where = i;
                joined = id;
            }
        }
        if (where < 0)
            return count;
        ids[where] = joined;
        memmove(ids + where + 1, ids + where + 2, (size_t)(count - where - 2) * sizeof *ids);
        count--;
    }
}

static void scored_spec(TokenizerSpec *spec, Rng *rng)
{
    spec_start(spec);
    random_merges(spec, rng, false);
    spec->kind = TOKENIZER_SCORED;
    spec->n_merges = 0;
    spec->scores = xmalloc((size_t)spec->n_tokens * sizeof *spec->scores);
    for (int64_t id = 0; id < spec->n_tokens; id++)
        spec->scores[id] = -(float)rng_below(rng, 12); /* with many equals */
}

static void scored_follows_the_definition(void **state)
{
    (void)state;
    Rng rng;
    rng_init(&rng, 8, 0);
    for (int round = 0; round < 40; round++) {
        TokenizerSpec spec, copy;
        Rng twin = rng;
        scored_spec(&spec, &rng);
        scored_spec(&copy, &twin);
        Tokenizer *t = must_new(&spec);
        for (int text = 0; text < 10; text++) {
            int32_t ids[120];
            StrBuf bytes = {0};
            int64_t n = rng_below(&rng, text % 3 ? 30 : 120);
            for (int64_t i = 0; i < n; i++) {
                ids[i] = (int32_t)rng_below(&rng, LETTERS);
                strbuf_puts(&bytes, letters[ids[i]]);
            }
            n = score_by_definition(&copy, ids, n);
            assert_ids(t, bytes.data ? bytes.data : "", bytes.size, ids, n);
            strbuf_clear(&bytes);
        }
        tokenizer_free(t);
        tokenizer_spec_clear(&copy);
    }
}

/* ---- what is not a token ------------------------------------------------------------------- */

static void unknown_characters_and_bytes(void **state)
{
    (void)state;
    TokenizerSpec spec;
    spec_start(&spec);
    int32_t a = spec_text(&spec, "a");
    int32_t b = spec_text(&spec, "b");
    int32_t ab = spec_merge(&spec, a, b);
    int32_t unk = spec.unk = spec_token(&spec, "<unk>", 5, TOKEN_SPECIAL);
    Tokenizer *t = must_new(&spec);
    assert_ids(t,
               "ab\xD0\xB6"
               "ab\xFF\xFE!",
               9, IDS(ab, unk, ab, unk, unk, unk));
    assert_ids(t, "<unk>", 5, IDS(unk, unk, unk, unk, unk));
    tokenizer_free(t);

    /* Without an unknown token they vanish, and their neighbours meet. */
    spec_start(&spec);
    a = spec_text(&spec, "a");
    b = spec_text(&spec, "b");
    ab = spec_merge(&spec, a, b);
    t = must_new(&spec);
    assert_ids(t,
               "a\xD0\xB6"
               "bb",
               5, IDS(ab, b));
    tokenizer_free(t);

    /* Byte tokens stand in, also for the wrong bytes. */
    spec_start(&spec);
    spec_bytes(&spec);
    a = spec_text(&spec, "a");
    t = must_new(&spec);
    assert_ids(t, "a\xD0\xB6\xFF", 4, IDS(a, 0xD0, 0xB6, 0xFF));
    tokenizer_free(t);
}

static void any_bytes_round_trip(void **state)
{
    (void)state;
    Rng rng;
    rng_init(&rng, 9, 0);
    for (int form = 0; form < 6; form++) {
        TokenizerSpec spec;
        spec_start(&spec);
        spec_bytes(&spec);
        spec.byte_level = form % 2;
        if (form >= 2)
            spec.pattern = xstrdup("\\p{L}+| ?\\p{N}+|\\s+(?!\\S)|\\s+");
        if (form >= 4) {
            spec.add_prefix_space = !spec.byte_level;
            spec.ignore_merges = true;
        }
        if (!spec.byte_level) {
            spec_text(&spec, " ");
            random_merges(&spec, &rng, true);
        } else {
            for (int i = 0; i < 200; i++)
                spec_merge(&spec, (int32_t)rng_below(&rng, spec.n_tokens),
                           (int32_t)rng_below(&rng, 256));
        }
        Tokenizer *t = must_new(&spec);
        for (int round = 0; round < 300; round++) {
            char text[200];
            int64_t n = rng_below(&rng, sizeof text);
            for (int64_t i = 0; i < n; i++)
                text[i] = (char)(round % 2 ? rng_below(&rng, 256)
                                           : " abcz\xD0\xB6\xE4\xB8\xAD"[rng_below(&rng, 10)]);
            assert_round_trip(t, text, n);
        }
        tokenizer_free(t);
    }
}

static void prefix_space(void **state)
{
    (void)state;
    TokenizerSpec spec;
    spec_start(&spec);
    int32_t space = spec_text(&spec, " ");
    int32_t a = spec_text(&spec, "a");
    int32_t space_a = spec_merge(&spec, space, a);
    spec.add_prefix_space = true;
    int32_t bos = spec.bos = spec_token(&spec, "<s>", 3, TOKEN_SPECIAL);
    Tokenizer *t = must_new(&spec);
    assert_ids(t, "a", 1, IDS(space_a));
    assert_ids(t, " a", 2, IDS(space, space_a));
    assert_ids(t, "", 0, NULL, 0);
    assert_round_trip(t, " a a", 4);
    StrBuf out = {0};
    tokenizer_decode(t, (int32_t[]){bos, space_a, space_a, 99}, 4, false, &out);
    assert_string_equal(out.data, "a a" UTF8_REPLACEMENT);
    strbuf_reset(&out);
    tokenizer_decode(t, (int32_t[]){bos, space_a, space_a}, 3, true, &out);
    assert_string_equal(out.data, "<s>a a");
    strbuf_clear(&out);
    tokenizer_free(t);
}

static void names_of_specials(void **state)
{
    (void)state;
    TokenizerSpec spec;
    spec_start(&spec);
    spec_bytes(&spec);
    spec.byte_level = true;
    int32_t s = spec_token(&spec, "<s>", 3, TOKEN_SPECIAL);
    int32_t sx = spec_token(&spec, "<s>x", 4, TOKEN_SPECIAL);
    int32_t added = spec_token(&spec, "\t\t", 2, TOKEN_ADDED);
    Tokenizer *t = must_new(&spec);
    assert_ids(t, "<s>\t\t\t", 6, IDS('<', 's', '>', added, '\t'));
    IdList ids = {0};
    tokenizer_encode_with_specials(t, "a<s>x<s><s\t\t", 12, &ids);
    int32_t expected[] = {'a', sx, s, '<', 's', added};
    assert_int_equal(ids.count, 6);
    assert_memory_equal(ids.items, expected, sizeof expected);
    StrBuf out = {0};
    tokenizer_decode(t, ids.items, ids.count, false, &out);
    assert_string_equal(out.data, "a<s\t\t");
    strbuf_reset(&out);
    tokenizer_decode(t, ids.items, ids.count, true, &out);
    assert_string_equal(out.data, "a<s>x<s><s\t\t");
    strbuf_clear(&out);
    id_list_clear(&ids);
    assert_int_equal(tokenizer_find(t, "<s>", 3), s);
    assert_int_equal(tokenizer_find(t, "a", 1), 'a');
    assert_int_equal(tokenizer_find(t, "zz", 2), -1);
    assert_int_equal(tokenizer_find(t, "", 0), -1);
    tokenizer_free(t);
}

/* ---- patterns ------------------------------------------------------------------------------ */

/* A byte-level vocabulary in which every pair of bytes joins, so that the ids show the pieces:
 * each piece becomes as few tokens as its halves allow. */
static void patterns_cut(void **state)
{
    (void)state;
    TokenizerSpec spec;
    spec_start(&spec);
    spec_bytes(&spec);
    spec.byte_level = true;
    spec.pattern = xstrdup("\\p{N}\n ?\\p{L}+|\\s+(?!\\S)|\\s+");
    int32_t aa = spec_merge(&spec, 'a', 'a');
    int32_t space_a = spec_merge(&spec, ' ', 'a');
    int32_t two_spaces = spec_merge(&spec, ' ', ' ');
    int32_t a1 = spec_merge(&spec, 'a', '1');
    int32_t bang_a = spec_merge(&spec, '!', 'a');
    (void)a1;
    (void)bang_a; /* what must not appear */
    Tokenizer *t = must_new(&spec);
    assert_ids(t, "aaa a", 5, IDS(aa, 'a', space_a));
    assert_ids(t, "a1a", 3, IDS('a', '1', 'a'));
    assert_ids(t, "!a!!a", 5, IDS('!', 'a', '!', '!', 'a'));
    assert_ids(t, "a  a", 4, IDS('a', ' ', space_a));
    /* The digit is cut off first, so the blanks before it end their piece. */
    assert_ids(t, "a  1", 4, IDS('a', two_spaces, '1'));
    tokenizer_free(t);
}

static void ignore_merges_takes_whole_pieces(void **state)
{
    (void)state;
    TokenizerSpec spec;
    spec_start(&spec);
    spec_bytes(&spec);
    spec.byte_level = true;
    spec.ignore_merges = true;
    spec.pattern = xstrdup("\\p{L}+");
    int32_t whole = spec_text(&spec, "abc");
    int32_t lengthy = spec_text(&spec, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    Tokenizer *t = must_new(&spec);
    assert_ids(t, "abc abcd", 8, IDS(whole, ' ', 'a', 'b', 'c', 'd'));
    assert_ids(t, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", 52, IDS(lengthy));
    tokenizer_free(t);
}

/* A longer run than any fixed number of steps allows is still one piece, and ends where it ends. */
static void endless_words_are_cut_like_short_ones(void **state)
{
    (void)state;
    enum { RUN = 12 << 20 };
    TokenizerSpec spec;
    spec_start(&spec);
    spec_bytes(&spec);
    spec.byte_level = true;
    spec.pattern = xstrdup("(?:\\p{L}\\p{M}*+)++|\\p{N}");
    spec_merge(&spec, 'a', '1'); /* what must not appear */
    Tokenizer *t = must_new(&spec);
    char *text = xmalloc(RUN + 1);
    memset(text, 'a', RUN);
    text[RUN] = '1';
    IdList ids = {0};
    tokenizer_encode(t, text, RUN + 1, &ids);
    assert_int_equal(ids.count, RUN + 1);
    assert_int_equal(ids.items[RUN], '1');
    id_list_clear(&ids);
    free(text);
    tokenizer_free(t);
}

/* A pattern that backtracks without end must not hang; its piece stays whole. */
static void hostile_pattern_gives_up(void **state)
{
    (void)state;
    TokenizerSpec spec;
    spec_start(&spec);
    spec_bytes(&spec);
    spec.byte_level = true;
    spec.pattern = xstrdup("(?:(?:a|aa)+)+$");
    Tokenizer *t = must_new(&spec);
    char text[3000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    log_set_level(LOG_QUIET);
    double start = clock_seconds();
    assert_round_trip(t, text, sizeof text);
    assert_true(clock_seconds() - start < 20);
    log_set_level(LOG_INFO);
    tokenizer_free(t);
}

/* ---- time and threads ---------------------------------------------------------------------- */

static void a_megabyte_of_one_letter(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    char *text = xmalloc(BYTES);
    memset(text, 'a', BYTES);
    for (int form = 0; form < 2; form++) {
        TokenizerSpec spec;
        spec_start(&spec);
        spec_bytes(&spec);
        spec.byte_level = true;
        if (form)
            spec.pattern = xstrdup("\\p{L}+|\\s+(?!\\S)|\\s+");
        int32_t longest = 'a';
        for (int i = 0; i < 5; i++)
            longest = spec_merge(&spec, longest, longest);
        Tokenizer *t = must_new(&spec);
        IdList ids = {0};
        double start = clock_seconds();
        tokenizer_encode(t, text, BYTES, &ids);
        double took = clock_seconds() - start;
        print_message("a megabyte of one letter: %.0f ms\n", 1e3 * took);
        assert_true(took < 10);
        assert_int_equal(ids.count, BYTES / 32);
        for (int64_t i = 0; i < ids.count; i++)
            assert_int_equal(ids.items[i], longest);
        id_list_clear(&ids);
        tokenizer_free(t);
    }
    free(text);
}

typedef struct Shared {
    const Tokenizer *tokenizer;
    const char *text;
    int64_t bytes;
    IdList results[64];
} Shared;

static void encode_many(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    Shared *shared = context;
    for (int64_t i = begin; i < end; i++)
        tokenizer_encode(shared->tokenizer, shared->text, shared->bytes, &shared->results[i]);
}

static void threads_share_a_tokenizer(void **state)
{
    (void)state;
    Rng rng;
    rng_init(&rng, 10, 0);
    TokenizerSpec spec;
    spec_start(&spec);
    random_merges(&spec, &rng, true);
    spec.pattern = xstrdup("\\p{L}{1,20}");
    Tokenizer *t = must_new(&spec);
    StrBuf text = {0};
    for (int i = 0; i < 5000; i++)
        strbuf_puts(&text, letters[rng_below(&rng, LETTERS)]);
    Shared shared = {.tokenizer = t, .text = text.data, .bytes = text.size};
    parallel_set_width(4);
    parallel_dynamic(64, 1, encode_many, &shared);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(shared.results[i].count, shared.results[0].count);
        assert_memory_equal(shared.results[i].items, shared.results[0].items,
                            (size_t)shared.results[0].count * sizeof(int32_t));
    }
    for (int i = 0; i < 64; i++)
        id_list_clear(&shared.results[i]);
    strbuf_clear(&text);
    tokenizer_free(t);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void refuse(TokenizerSpec *spec, const char *word)
{
    Err err = {.text = ""};
    Tokenizer *t = tokenizer_new(spec, &err);
    assert_null(t);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not speak of \"%s\"", err.text, word);
    assert_null(spec->text);
}

static void bad_specs_are_refused(void **state)
{
    (void)state;
    TokenizerSpec spec;
    spec_start(&spec);
    refuse(&spec, "at least one");

    spec_start(&spec);
    spec_text(&spec, "a");
    spec_text(&spec, "b");
    spec_merge(&spec, 0, 1);
    spec.merges[1] = 77;
    refuse(&spec, "token 77");

    spec_start(&spec);
    spec_text(&spec, "a");
    spec_text(&spec, "b");
    spec_merge(&spec, 0, 1);
    spec.merges[1] = 0;
    refuse(&spec, "joined");

    spec_start(&spec);
    spec_text(&spec, "a");
    spec_merge(&spec, 0, 0);
    spec_merge(&spec, 0, 1);
    spec.merges[4] = 0;
    spec.merges[5] = 1;
    refuse(&spec, "repeats");

    spec_start(&spec);
    spec_text(&spec, "\xFF");
    refuse(&spec, "UTF-8");

    spec_start(&spec);
    spec_text(&spec, "");
    refuse(&spec, "empty");

    spec_start(&spec);
    spec_token(&spec, "ab", 2, TOKEN_BYTE);
    refuse(&spec, "byte token");

    spec_start(&spec);
    spec_text(&spec, "a");
    spec.types[0] = 9;
    refuse(&spec, "type 9");

    spec_start(&spec);
    spec_text(&spec, "a");
    spec.kind = TOKENIZER_SCORED;
    refuse(&spec, "scores");

    spec_start(&spec);
    spec_text(&spec, "a");
    spec.eos = 5;
    refuse(&spec, "special token 5");

    spec_start(&spec);
    spec_text(&spec, "a");
    spec.pattern = xstrdup("(a");
    refuse(&spec, "at byte 2");

    spec_start(&spec);
    spec_text(&spec, "a");
    spec.pattern = xstrdup("a\n");
    refuse(&spec, "empty");
}

/* ---- control tokens -------------------------------------------------------------------------- */

/* A vocabulary whose marks have all kinds of reasons to be marks; merges lead to one of them. */
static Tokenizer *with_marks(bool scored)
{
    static const char *const names[] = {"<turn>", "[END]", "<|x|>",   "<\xEF\xBD\x9Cy\xEF\xBD\x9C>",
                                        "word",   "<b>",   "[[new]]", "<s>"};
    Err err;
    TokenizerSpec spec;
    spec_start(&spec);
    spec_bytes(&spec);
    for (const char *c = "<turn>[END]"; *c; c++)
        if (spec_find(&spec, c, 1) < 0)
            spec_token(&spec, c, 1, TOKEN_TEXT);
    int32_t ids[8];
    for (int i = 0; i < 8; i++)
        ids[i] = spec_token(&spec, names[i], (int64_t)strlen(names[i]),
                            i == 7 ? TOKEN_SPECIAL : TOKEN_ADDED);
    spec.chat_template = xstrdup("{{ '<turn>' + role + word }}");
    tokenizer_spec_add_end(&spec, ids[1]);
    spec.pad = ids[5];
    int32_t first = spec_text(&spec, "<tur"), second = spec_text(&spec, "n>");
    if (scored) {
        spec.kind = TOKENIZER_SCORED;
        spec.scores = xcalloc((size_t)spec.n_tokens, sizeof *spec.scores);
    } else {
        spec.merges = xcalloc(1, 3 * sizeof *spec.merges);
        spec.n_merges = 1;
        spec.merges[0] = first, spec.merges[1] = second;
        spec.merges[2] = ids[0];
    }
    Tokenizer *t = tokenizer_new(&spec, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

static int count_marks(const Tokenizer *t, const IdList *ids, const char *except)
{
    int n = 0;
    for (int64_t i = 0; i < ids->count; i++) {
        int64_t bytes;
        const char *text = tokenizer_token(t, ids->items[i], &bytes);
        bool ordinary =
            bytes == (int64_t)strlen(except) && memcmp(text, except, (size_t)bytes) == 0;
        int type = tokenizer_spec(t)->types[ids->items[i]];
        n += (type == TOKEN_ADDED || type == TOKEN_SPECIAL) && !ordinary;
    }
    return n;
}

static void what_a_user_writes_is_text(void **state)
{
    (void)state;
    static const char text[] =
        "<turn>[END]<|x|><\xEF\xBD\x9Cy\xEF\xBD\x9C><b><s> word <turn<turn>>";
    const int64_t bytes = (int64_t)sizeof text - 1;
    for (int scored = 0; scored < 2; scored++) {
        Tokenizer *t = with_marks(scored);
        IdList ids = {0};
        tokenizer_encode(t, text, bytes, &ids);
        assert_int_equal(count_marks(t, &ids, "word"), 0);
        assert_true(id_list_has(&ids, tokenizer_find(t, "word", 4)));
        ids.count = 0;
        tokenizer_encode_with_specials(t, text, bytes, &ids);
        assert_int_equal(count_marks(t, &ids, "word"), 7);
        /* A mark that only this template's text shows is one in its messages, too; and none reaches
         * from the one into the other. */
        static const char chat[] = "[[new]]say [[new]] <s>word<turn>[END]";
        ids.count = 0;
        tokenizer_encode_marked(t, chat, 37, (TextSpan[]){{7, 29}}, 1, &ids);
        assert_int_equal(count_marks(t, &ids, "word"), 2);
        assert_int_equal(ids.items[0], tokenizer_find(t, "[[new]]", 7));
        assert_int_equal(ids.items[ids.count - 1], tokenizer_find(t, "[END]", 5));
        id_list_clear(&ids);
        tokenizer_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranked_follows_the_definition),
        cmocka_unit_test(scored_follows_the_definition),
        cmocka_unit_test(unknown_characters_and_bytes),
        cmocka_unit_test(any_bytes_round_trip),
        cmocka_unit_test(prefix_space),
        cmocka_unit_test(names_of_specials),
        cmocka_unit_test(patterns_cut),
        cmocka_unit_test(ignore_merges_takes_whole_pieces),
        cmocka_unit_test(endless_words_are_cut_like_short_ones),
        cmocka_unit_test(hostile_pattern_gives_up),
        cmocka_unit_test(a_megabyte_of_one_letter),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(bad_specs_are_refused),
        cmocka_unit_test(what_a_user_writes_is_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
