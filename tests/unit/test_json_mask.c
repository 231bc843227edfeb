/* Constrained JSON: the automaton takes exactly what is JSON, and texts drawn at random under the
 * mask are JSON whatever their limit is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "infer/serve/json_mask.h"
#include "tests/support/byte_vocabulary.h"

static bool takes(const char *text)
{
    JsonState state;
    json_state_init(&state);
    for (const char *c = text; *c; c++)
        if (!json_state_feed(&state, (uint8_t)*c))
            return false;
    return json_state_complete(&state);
}

static void takes_what_is_json(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        " {\n}",
        "{\"\":0}",
        "{\"a\": -0.5e+10, \"b\": [], \"c\": [1, {\"d\": [[]]}, \"x\"], \"e\": null}",
        "{\"t\":true,\"f\":false,\"n\":1E5 ,\"z\":0}",
        "{\"\\u00e9\\n\\\"\\\\\\/\": \"\\uD7FF\"}",
        "{\"ключ\": \"中文 \xF0\x9F\x98\x80\"}",
    };
    static const char *const bad[] = {
        "[]",
        "\"a\"",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":nul1}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":\"\n\"}",
        "{\"\\x\":1}",
        "{\"\\u12g4\":1}",
        "{\"a\":--1}",
        "{\"a\" 1}",
        "{,}",
        "{}}",
        "{} ",
        "{\"\\ud800\":1}",
        "{\"\xFF\":1}",
        "{\"\xC0\xAF\":1}",
        "{\"\xED\xA0\x80\":1}",
        "{\"\xE4\xB8\":1}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!takes(good[i]))
            fail_msg("refuses %s", good[i]);
        json_t *object = json_loads(good[i], 0, NULL);
        assert_non_null(object);
        json_decref(object);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (takes(bad[i]))
            fail_msg("takes %s", bad[i]);
}

/* One text of at most `most` tokens, each drawn evenly from those that the mask leaves. */
static void write_text(const Tokenizer *tokenizer, const JsonMask *mask, int64_t most, Rng *rng,
                       StrBuf *text)
{
    int64_t V = tokenizer_size(tokenizer);
    float *logits = xmalloc((size_t)V * sizeof *logits);
    JsonState state;
    json_state_init(&state);
    for (int64_t n = 0; n < most && !json_state_complete(&state); n++) {
        memset(logits, 0, (size_t)V * sizeof *logits);
        int64_t left = json_mask_apply(mask, &state, most - n, logits);
        assert_true(left > 0);
        int64_t chosen = rng_below(rng, left), id = -1;
        for (int64_t v = 0; v < V && chosen >= 0; v++)
            if (logits[v] == 0.0f && chosen-- == 0)
                id = v;
        assert_true(id >= 0);
        json_mask_advance(mask, &state, (int32_t)id);
        int64_t bytes;
        const char *token = tokenizer_token(tokenizer, (int32_t)id, &bytes);
        strbuf_append(text, token, (size_t)bytes);
    }
    assert_true(json_state_complete(&state));
    free(logits);
}

static void any_text_under_the_mask_is_json(void **state)
{
    (void)state;
    Tokenizer *tokenizer = byte_vocabulary();
    Err err = {.text = ""};
    JsonMask *mask = json_mask_new(tokenizer, &err);
    if (!mask)
        fail_msg("%s", err.text);
    Rng rng;
    rng_init(&rng, 3, 0);
    StrBuf text = {0};
    for (int64_t most = 2; most < 120; most++)
        for (int i = 0; i < 8; i++) {
            strbuf_reset(&text);
            write_text(tokenizer, mask, most, &rng, &text);
            json_error_t why;
            json_t *object = json_loadb(text.data, (size_t)text.size,
                                        JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);
            /* Numbers beyond a double are JSON, but not to Jansson. */
            if (!object && json_error_code(&why) != json_error_numeric_overflow)
                fail_msg("%s: %s", why.text, text.data);
            json_decref(object);
        }
    strbuf_clear(&text);
    json_mask_free(mask);
    tokenizer_free(tokenizer);
}

/* The mask agrees with feeding every token byte by byte. */
static void the_mask_is_the_automaton(void **state)
{
    (void)state;
    Tokenizer *tokenizer = byte_vocabulary();
    Err err = {.text = ""};
    JsonMask *mask = json_mask_new(tokenizer, &err);
    assert_non_null(mask);
    static const char *const beginnings[] = {
        "",         "{",         "{\"a",     "{\"a\":",
        "{\"a\":[", "{\"a\":[1", "{\"a\":-", "{\"a\":{\"b\":\"\\",
        "{\"a\":t", "{\"a\":0",  "{\"\xE4"};
    int64_t V = tokenizer_size(tokenizer);
    float *logits = xmalloc((size_t)V * sizeof *logits);
    for (size_t b = 0; b < sizeof beginnings / sizeof *beginnings; b++)
        for (int64_t left = 3; left < 12; left += 4) {
            JsonState begun;
            json_state_init(&begun);
            for (const char *c = beginnings[b]; *c; c++)
                assert_true(json_state_feed(&begun, (uint8_t)*c));
            memset(logits, 0, (size_t)V * sizeof *logits);
            json_mask_apply(mask, &begun, left, logits);
            for (int32_t id = 0; id < V; id++) {
                int64_t bytes;
                const char *token = tokenizer_token(tokenizer, id, &bytes);
                JsonState s = begun;
                bool fits = id != tokenizer_spec(tokenizer)->eos;
                for (int64_t i = 0; i < bytes && fits; i++)
                    fits = json_state_feed(&s, (uint8_t)token[i]);
                fits = fits && json_state_distance(&s) < left;
                if (fits != (logits[id] == 0.0f))
                    fail_msg("token %d behind %s", id, beginnings[b]);
            }
        }
    free(logits);
    json_mask_free(mask);
    tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_json),
        cmocka_unit_test(any_text_under_the_mask_is_json),
        cmocka_unit_test(the_mask_is_the_automaton),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
