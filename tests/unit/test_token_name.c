/* Names of tokens are keys: no two tokens have the same, whatever the vocabulary holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/text/token_name.h"
#include "core/text/utf8.h"
#include "tests/support/assert_ok.h"
#include "tests/support/spec_builder.h"

static void assert_name(const Tokenizer *tokenizer, int32_t id, const char *want)
{
    StrBuf name = {0};
    token_name(tokenizer, id, &name);
    assert_string_equal(name.data, want);
    strbuf_clear(&name);
}

static void pieces_are_named_by_their_bytes(void **state)
{
    (void)state;
    TokenizerSpec spec;
    Err err = {.text = ""};
    spec_start(&spec);
    spec.byte_level = true;
    int32_t text = spec_text(&spec, " word"), half = spec_token(&spec, "\xF0\x9F", 2, TOKEN_TEXT);
    int32_t zero = spec_token(&spec, "\0", 1, TOKEN_TEXT), twice = spec_text(&spec, "A");
    int32_t other = spec_token(&spec, "\xF0\xA0", 2, TOKEN_TEXT);
    int32_t liar = spec_text(&spec, "bytes:\\xf0\\x9f"), thief = spec_text(&spec, "token_id:3");
    int32_t named = spec_token(&spec, " word", 5, TOKEN_SPECIAL);
    spec_bytes(&spec);
    Tokenizer *t = tokenizer_new(&spec, &err);
    if (!t)
        fail_msg("%s", err.text);
    assert_name(t, text, " word");
    assert_name(t, half, "bytes:\\xf0\\x9f");
    assert_name(t, other, "bytes:\\xf0\\xa0");
    assert_name(t, zero, "bytes:\\x00");
    assert_name(t, twice, "A");
    assert_name(t, named + 1 + 'A', "token_id:73"); /* the byte of the same text */
    assert_name(t, named + 1 + 0xF0, "bytes:\\xf0");
    assert_name(t, named, "token_id:7");
    assert_name(t, liar,
                "bytes:\\x62\\x79\\x74\\x65\\x73\\x3a\\x5c\\x78\\x66\\x30\\x5c\\x78\\x39\\x66");
    assert_name(t, thief, "bytes:\\x74\\x6f\\x6b\\x65\\x6e\\x5f\\x69\\x64\\x3a\\x33");
    assert_name(t, 100000, "token_id:100000");
    tokenizer_free(t);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void no_two_tokens_have_one_name(void **state)
{
    (void)state;
    static const char letters[] = "ab\xF0\x9F\x98\x80:\\x0";
    Rng rng;
    rng_init(&rng, 4, 0);
    for (int round = 0; round < 50; round++) {
        enum { TOKENS = 150, BEYOND = 5 };
        TokenizerSpec spec;
        Err err = {.text = ""};
        char *names[TOKENS + BEYOND];
        spec_start(&spec);
        spec.byte_level = true;
        for (int i = 0; i < TOKENS; i++) {
            char text[16] = "bytes:\\x";
            int64_t bytes = rng_below(&rng, 8) == 0 ? 8 : 0, more = 1 + (int64_t)rng_below(&rng, 3);
            while (more-- > 0)
                text[bytes++] = letters[rng_below(&rng, sizeof letters)];
            spec_token(&spec, text, bytes, rng_below(&rng, 4) ? TOKEN_TEXT : TOKEN_SPECIAL);
        }
        Tokenizer *t = tokenizer_new(&spec, &err);
        if (!t)
            fail_msg("%s", err.text);
        for (int32_t id = 0; id < TOKENS + BEYOND; id++) {
            StrBuf name = {0};
            token_name(t, id, &name);
            assert_int_equal(strlen(name.data), name.size);
            assert_int_equal(utf8_valid_prefix(name.data, name.size), name.size);
            names[id] = strbuf_detach(&name);
        }
        qsort(names, TOKENS + BEYOND, sizeof *names, compare);
        for (int i = 1; i < TOKENS + BEYOND; i++)
            assert_string_not_equal(names[i - 1], names[i]);
        for (int i = 0; i < TOKENS + BEYOND; i++)
            free(names[i]);
        tokenizer_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_named_by_their_bytes),
        cmocka_unit_test(no_two_tokens_have_one_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
