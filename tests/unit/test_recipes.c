#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/text/tokenizer.h"
#include "embed/recipe_bvv241.h"
#include "tests/support/assert_ok.h"
#include "tests/support/data_file.h"

static void must_build(const char *name, const NgramList *ngrams, TokenizerSpec *spec,
                       Bvv241Stats *stats)
{
    Err err;
    if (bvv241_build(bvv241_find(name), ngrams, spec, stats, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void assert_token(const TokenizerSpec *spec, int64_t id, TokenType type, const char *text)
{
    int64_t bytes = spec->offsets[id + 1] - spec->offsets[id];
    assert_int_equal(bytes, strlen(text));
    assert_memory_equal(spec->text + spec->offsets[id], text, strlen(text));
    assert_int_equal(spec->types[id], type);
}

static void published_ids_of_a_few_ngrams(void **state)
{
    (void)state;
    NgramList ngrams = {0};
    Err err;
    const char *text = "[{'lang': 'en', 'top_ngrams': {2: [('th', 9), ('he', 8), ('th', 7)],"
                       "3: [('the', 3)], 4: [('then', 2)]}}]";
    assert_int_equal(ngrams_parse(&ngrams, "file", text, (int64_t)strlen(text), &err), STATUS_OK);
    const char *lines = "hen\nx\n";
    assert_int_equal(ngrams_parse(&ngrams, "lines", lines, (int64_t)strlen(lines), &err),
                     STATUS_OK);
    TokenizerSpec spec;
    Bvv241Stats stats;
    must_build("bvv241-2-3", &ngrams, &spec, &stats);
    assert_int_equal(spec.n_tokens, 65536);
    assert_int_equal(stats.n_grams, 3);
    assert_token(&spec, 0x416, TOKEN_TEXT, "\xD0\x96");
    assert_token(&spec, 0xD800, TOKEN_TEXT, "the");
    assert_token(&spec, 0xD801, TOKEN_TEXT, "he");
    assert_token(&spec, 0xD802, TOKEN_TEXT, "th");
    assert_token(&spec, 0xD803, TOKEN_UNUSED, "<unused_55299>");
    assert_token(&spec, 0xE000, TOKEN_SPECIAL, "<pad>");
    assert_token(&spec, 0xE016, TOKEN_SPECIAL, "[FILE_SEP]");
    assert_token(&spec, 0xE017, TOKEN_SPECIAL, "<special_token_57367>");
    assert_token(&spec, 0xFFFE, TOKEN_TEXT, "\xEF\xBF\xBE");
    assert_token(&spec, 0xFFFF, TOKEN_UNUSED, "<unused_65535>");
    /* the: t + he, th + e; he: h + e; th: t + h */
    assert_int_equal(spec.n_merges, 4);
    assert_int_equal(spec.merges[0], 't');
    assert_int_equal(spec.merges[1], 0xD801);
    assert_int_equal(spec.merges[2], 0xD800);
    tokenizer_spec_clear(&spec);

    must_build("bvv241-max", &ngrams, &spec, &stats);
    assert_int_equal(spec.n_tokens, 131072);
    assert_int_equal(stats.n_grams, 5); /* then, hen, the, he, th */
    assert_token(&spec, 0xD801, TOKEN_TEXT, "hen");
    tokenizer_spec_clear(&spec);
    ngrams_clear(&ngrams);

    assert_null(bvv241_find("bvv241"));
    assert_int_equal(bvv241_build(bvv241_find("bvv241-max"), &ngrams, &spec, &stats, &err),
                     STATUS_FAIL);
    assert_non_null(strstr(err.text, "--ngrams"));
}

static void published_merge_counts(void **state)
{
    (void)state;
    const char *small = data_file("bvv241/_n-gramms-2-3.txt");
    const char *large = data_file("bvv241/_n-gramms-2-3-4-5.txt");
    const char *lines = data_file("bvv241/_n-gramms-intersection.txt");
    if (!small || !large || !lines)
        skip();
    NgramList ngrams = {0};
    Err err;
    TokenizerSpec spec;
    Bvv241Stats stats;
    assert_int_equal(ngrams_read(&ngrams, small, &err), STATUS_OK);
    assert_int_equal(ngrams.langs.count, 32);
    must_build("bvv241-2-3", &ngrams, &spec, &stats);
    assert_int_equal(stats.n_grams, 8177);
    assert_int_equal(stats.n_dropped, 0);
    assert_int_equal(stats.n_unused, 16);
    assert_int_equal(spec.n_merges, 12224);
    tokenizer_spec_clear(&spec);
    ngrams_clear(&ngrams);

    assert_int_equal(ngrams_read(&ngrams, large, &err), STATUS_OK);
    assert_int_equal(ngrams_read(&ngrams, lines, &err), STATUS_OK);
    must_build("bvv241-max", &ngrams, &spec, &stats);
    assert_int_equal(stats.n_grams, 73768);
    assert_int_equal(stats.n_dropped, 41);
    assert_int_equal(stats.n_unused, 2);
    assert_int_equal(spec.n_merges, 182678);
    /* The published example: "hello the test" -> [70960, 32, 113757, 32, 99060]. */
    static const int32_t expected[] = {70960, 32, 113757, 32, 99060};
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    assert_non_null(tokenizer);
    IdList ids = {0};
    tokenizer_encode(tokenizer, "hello the test", 14, &ids);
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.items, expected, sizeof expected);
    id_list_clear(&ids);
    tokenizer_free(tokenizer);
    ngrams_clear(&ngrams);
}

static void check_golden_tokens(const char *ngram_path, const char *golden_path)
{
    NgramList ngrams = {0};
    Err err;
    TokenizerSpec spec;
    Bvv241Stats stats;
    assert_int_equal(ngrams_read(&ngrams, ngram_path, &err), STATUS_OK);
    must_build("bvv241-2-3", &ngrams, &spec, &stats);
    Tokenizer *tokenizer = tokenizer_new(&spec, &err);
    if (!tokenizer)
        fail_msg("%s", err.text);

    FILE *file = fopen(golden_path, "r");
    assert_non_null(file);
    int64_t texts = 0;
    IdList ids = {0};
    for (json_t *row; (row = json_loadf(file, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL));
         texts++) {
        const json_t *text = json_object_get(row, "text"), *golden = json_object_get(row, "ids");
        ids.count = 0;
        tokenizer_encode(tokenizer, json_string_value(text), (int64_t)json_string_length(text),
                         &ids);
        assert_int_equal(ids.count, json_array_size(golden));
        for (int64_t i = 0; i < ids.count; i++)
            assert_int_equal(ids.items[i], json_integer_value(json_array_get(golden, (size_t)i)));
        json_decref(row);
    }
    fclose(file);
    assert_int_equal(texts, 199);
    id_list_clear(&ids);
    tokenizer_free(tokenizer);
    ngrams_clear(&ngrams);
}

/* Byte pair encoding as it is defined: of all neighbours that a merge joins, the one of the lowest
 * rank, the leftmost of equals, until none is left. */
static int64_t merged(const TokenizerSpec *spec, int32_t *ids, int64_t n)
{
    for (;;) {
        int64_t rank = spec->n_merges, at = -1;
        for (int64_t i = 0; i + 1 < n; i++)
            for (int64_t m = 0; m < rank; m++)
                if (spec->merges[3 * m] == ids[i] && spec->merges[3 * m + 1] == ids[i + 1]) {
                    rank = m;
                    at = i;
                }
        if (at < 0)
            return n;
        ids[at] = spec->merges[3 * rank + 2];
        memmove(ids + at + 1, ids + at + 2, (size_t)(n - at - 2) * sizeof *ids);
        n--;
    }
}

/* A random letter of six, two of them Cyrillic; its id is its code point. */
static int32_t random_letter(Rng *rng, StrBuf *text)
{
    static const char *const letters[] = {"a", "b", "c", " ", "\xD0\xB0", "\xD0\xB6"};
    static const int32_t points[] = {'a', 'b', 'c', ' ', 0x430, 0x436};
    int64_t i = rng_below(rng, 6);
    strbuf_puts(text, letters[i]);
    return points[i];
}

/* Random lists of n-grams, and random texts of their letters; the published ones where they are. */
static void tokens_are_those_of_the_merges(void **state)
{
    (void)state;
    enum { LISTS = 4, NGRAMS = 20, TEXTS = 100, LENGTH = 60 };
    Rng rng;
    Err err;
    rng_init(&rng, 3, 4);
    for (int list = 0; list < LISTS; list++) {
        NgramList ngrams = {0};
        StrBuf lines = {0};
        strbuf_puts(&lines, "[{'lang': 'en', 'top_ngrams': {");
        for (int size = 2; size <= 3; size++) {
            strbuf_printf(&lines, "%d: [", size);
            for (int i = 0; i < NGRAMS; i++) {
                strbuf_puts(&lines, i ? ", ('" : "('");
                for (int j = 0; j < size; j++)
                    random_letter(&rng, &lines);
                strbuf_printf(&lines, "', %d)", NGRAMS - i);
            }
            strbuf_puts(&lines, size == 2 ? "], " : "]}}]");
        }
        ASSERT_OK(ngrams_parse(&ngrams, "made", lines.data, lines.size, &err));
        TokenizerSpec spec;
        Bvv241Stats stats;
        must_build("bvv241-2-3", &ngrams, &spec, &stats);
        assert_true(stats.n_grams > 10);
        Tokenizer *tokenizer = tokenizer_new(&spec, &err);
        assert_non_null(tokenizer);
        for (int i = 0; i < TEXTS; i++) {
            int32_t want[LENGTH];
            StrBuf text = {0};
            for (int j = 0; j < LENGTH; j++)
                want[j] = random_letter(&rng, &text);
            int64_t n = merged(tokenizer_spec(tokenizer), want, LENGTH);
            IdList ids = {0};
            tokenizer_encode(tokenizer, text.data, text.size, &ids);
            assert_int_equal(ids.count, n);
            assert_memory_equal(ids.items, want, (size_t)n * sizeof *want);
            id_list_clear(&ids);
            strbuf_clear(&text);
        }
        tokenizer_free(tokenizer);
        ngrams_clear(&ngrams);
        strbuf_clear(&lines);
    }
    const char *ngram_path = data_file_found("bvv241/_n-gramms-2-3.txt");
    const char *golden_path = data_file_found("bvv241/golden-tokens-2-3.jsonl");
    if (ngram_path && golden_path)
        check_golden_tokens(ngram_path, golden_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_ids_of_a_few_ngrams),
        cmocka_unit_test(published_merge_counts),
        cmocka_unit_test(tokens_are_those_of_the_merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
