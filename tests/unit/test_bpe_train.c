#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/text/bpe_train.h"

static BpeWords *must_words(const char *pattern)
{
    Err err;
    BpeWords *words = bpe_words_new(pattern, &err);
    if (!words)
        fail_msg("%s", err.text);
    return words;
}

static void must_train(const BpeWords *words, const BpeTrainOptions *options, SpecEdit *edit)
{
    Err err;
    if (bpe_train(words, options, edit, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void start_letters(SpecEdit *edit, TokenizerSpec *spec, const char *letters)
{
    spec_edit_begin(edit, spec);
    for (; *letters; letters++)
        spec_edit_token(edit, letters, 1, TOKEN_TEXT);
}

/* ---- against the definition --------------------------------------------------------------------
 */

enum { WORDS = 40, LONGEST = 12 };
typedef struct Plain {
    int32_t ids[WORDS][LONGEST];
    int length[WORDS];
    int64_t count[WORDS];
} Plain;

/* How often the pair stands in the words: places that overlap count each. */
static int64_t pair_count(const Plain *p, int32_t left, int32_t right)
{
    int64_t count = 0;
    for (int w = 0; w < WORDS; w++)
        for (int i = 0; i + 1 < p->length[w]; i++)
            if (p->ids[w][i] == left && p->ids[w][i + 1] == right)
                count += p->count[w];
    return count;
}

static void join(Plain *p, int32_t left, int32_t right, int32_t whole)
{
    for (int w = 0; w < WORDS; w++) {
        int to = 0;
        for (int i = 0; i < p->length[w]; to++) {
            bool here = i + 1 < p->length[w] && p->ids[w][i] == left && p->ids[w][i + 1] == right;
            p->ids[w][to] = here ? whole : p->ids[w][i];
            i += here ? 2 : 1;
        }
        p->length[w] = to;
    }
}

static void follows_the_definition(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        Rng rng;
        rng_init(&rng, seed, 0);
        Plain plain;
        BpeWords *words = must_words("[a-z]+");
        for (int w = 0; w < WORDS; w++) {
            char text[LONGEST];
            plain.length[w] = 1 + (int)rng_below(&rng, LONGEST);
            plain.count[w] = 1 + rng_below(&rng, 20);
            for (int i = 0; i < plain.length[w]; i++) {
                plain.ids[w][i] = (int32_t)rng_below(&rng, 2 + (int64_t)seed % 3);
                text[i] = (char)('a' + plain.ids[w][i]);
            }
            bpe_words_add(words, text, plain.length[w], plain.count[w]);
        }
        TokenizerSpec spec;
        SpecEdit edit;
        start_letters(&edit, &spec, "abcd");
        must_train(words, &(BpeTrainOptions){60, 3, 8}, &edit);
        spec_edit_end(&edit);
        for (int64_t m = 0; m < spec.n_merges; m++) {
            const int32_t *merge = spec.merges + 3 * m;
            int64_t chosen = pair_count(&plain, merge[0], merge[1]);
            assert_true(chosen >= 3);
            for (int32_t left = 0; left < spec.n_tokens; left++) {
                for (int32_t right = 0; right < spec.n_tokens; right++) {
                    int64_t bytes = spec.offsets[left + 1] - spec.offsets[left] +
                                    spec.offsets[right + 1] - spec.offsets[right];
                    int64_t count = bytes > 8 ? 0 : pair_count(&plain, left, right);
                    if (count > chosen ||
                        (count == chosen &&
                         (left < merge[0] || (left == merge[0] && right < merge[1]))))
                        fail_msg("seed %d, merge %d: (%d, %d) occurs %d times, (%d, %d) %d times",
                                 (int)seed, (int)m, left, right, (int)count, merge[0], merge[1],
                                 (int)chosen);
                }
            }
            join(&plain, merge[0], merge[1], merge[2]);
        }
        assert_true(spec.n_merges > 10);
        tokenizer_spec_clear(&spec);
        bpe_words_free(words);
    }
}

static void words_are_counted(void **state)
{
    (void)state;
    BpeWords *words = must_words(" ?\\p{L}+|\\d|[^\\p{L}\\d]");
    const char *text = "the cat, the \xD0\xB6 12 the";
    bpe_words_add_text(words, text, (int64_t)strlen(text));
    int64_t bytes, count, distinct = bpe_words_count(words);
    assert_int_equal(distinct, 8); /* the, " cat", ",", " the", " ж", " ", 1, 2 */
    assert_memory_equal(bpe_words_get(words, 3, &bytes, &count), " the", 4);
    assert_int_equal(bytes, 4);
    assert_int_equal(count, 2);
    int64_t *counts = xcalloc(CODE_POINTS, sizeof *counts);
    bpe_words_code_points(words, counts);
    assert_int_equal(counts['t'], 4);
    assert_int_equal(counts[0x436], 1);
    assert_int_equal(counts[' '], 5);
    free(counts);
    bpe_words_free(words);
    Err err;
    assert_null(bpe_words_new("(", &err));
}

static void characters_outside_the_alphabet_cut(void **state)
{
    (void)state;
    BpeWords *words = must_words("\\S+");
    const char *text = "a\xD0\xB6"
                       "a a\xD0\xB6"
                       "a ab ab";
    bpe_words_add_text(words, text, (int64_t)strlen(text));
    TokenizerSpec spec;
    SpecEdit edit;
    start_letters(&edit, &spec, "ab");
    must_train(words, &(BpeTrainOptions){100, 2, 30}, &edit);
    spec_edit_end(&edit);
    assert_int_equal(spec.n_merges, 1); /* a b; "aa" is never there */
    assert_int_equal(spec.n_tokens, 3);
    assert_memory_equal(spec.text + spec.offsets[2], "ab", 2);
    tokenizer_spec_clear(&spec);

    /* No word at all, or nothing to add: no merges, no error. */
    start_letters(&edit, &spec, "ab");
    must_train(words, &(BpeTrainOptions){2, 1, 30}, &edit);
    BpeWords *none = must_words("\\S+");
    must_train(none, &(BpeTrainOptions){50, 1, 30}, &edit);
    spec_edit_end(&edit);
    assert_int_equal(spec.n_merges, 0);
    tokenizer_spec_clear(&spec);
    bpe_words_free(none);
    bpe_words_free(words);
}

static void a_wish_to_stop_is_heard(void **state)
{
    (void)state;
    BpeWords *words = must_words("\\S+");
    bpe_words_add(words, "abab", 4, 5);
    TokenizerSpec spec;
    SpecEdit edit;
    Err err;
    start_letters(&edit, &spec, "ab");
    stop_request();
    assert_int_equal(bpe_train(words, &(BpeTrainOptions){50, 1, 30}, &edit, &err), STATUS_STOPPED);
    stop_reset();
    spec_edit_end(&edit);
    tokenizer_spec_clear(&spec);
    bpe_words_free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_definition),
        cmocka_unit_test(words_are_counted),
        cmocka_unit_test(characters_outside_the_alphabet_cut),
        cmocka_unit_test(a_wish_to_stop_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
