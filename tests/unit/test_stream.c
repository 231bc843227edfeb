#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/text/stream.h"
#include "core/text/utf8.h"
#include "tests/support/spec_builder.h"

static Tokenizer *byte_tokenizer(bool prefix_space)
{
    TokenizerSpec spec;
    Err err;
    spec_start(&spec);
    spec_bytes(&spec);
    spec.bos = spec_token(&spec, "<s>", 3, TOKEN_SPECIAL); /* 256 */
    spec_text(&spec, " ");                                 /* 257 */
    spec_text(&spec, " a\xD0\xB6");                        /* 258 */
    spec.add_prefix_space = prefix_space;
    Tokenizer *t = tokenizer_new(&spec, &err);
    assert_non_null(t);
    return t;
}

static void characters_are_never_split(void **state)
{
    (void)state;
    Tokenizer *t = byte_tokenizer(false);
    StreamDecoder decoder;
    stream_decoder_init(&decoder, t, false, true);
    StrBuf out = {0};
    static const int32_t ids[] = {'a', 0xF0, 0x9F, 256, 0x98, 0x80, 0xD0, 'b', 0xFF, 0xE4, 0xB8};
    static const char *const shown[] = {
        "a", "", "", "", "", "\xF0\x9F\x98\x80", "", UTF8_REPLACEMENT "b", UTF8_REPLACEMENT,
        "",  ""};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        strbuf_reset(&out);
        stream_decoder_feed(&decoder, ids[i], &out);
        assert_string_equal(out.data ? out.data : "", shown[i]);
    }
    strbuf_reset(&out);
    stream_decoder_flush(&decoder, &out);
    assert_string_equal(out.data, UTF8_REPLACEMENT);
    strbuf_clear(&out);
    stream_decoder_clear(&decoder);
    tokenizer_free(t);
}

static void streams_add_up_to_the_whole(void **state)
{
    (void)state;
    Tokenizer *t = byte_tokenizer(false);
    Rng rng;
    rng_init(&rng, 3, 0);
    for (int round = 0; round < 500; round++) {
        StreamDecoder decoder;
        stream_decoder_init(&decoder, t, true, true);
        StrBuf parts = {0}, whole = {0}, clean = {0};
        int32_t ids[40];
        for (int i = 0; i < 40; i++) {
            ids[i] =
                (int32_t)(rng_below(&rng, 3) ? 0x80 + rng_below(&rng, 0x80) : rng_below(&rng, 260));
            stream_decoder_feed(&decoder, ids[i], &parts);
            assert_int_equal(utf8_valid_prefix(parts.data ? parts.data : "", parts.size),
                             parts.size);
        }
        stream_decoder_flush(&decoder, &parts);
        tokenizer_decode(t, ids, 40, true, &whole);
        utf8_append_clean(&clean, whole.data, whole.size);
        assert_string_equal(parts.data, clean.data);
        strbuf_clear(&parts);
        strbuf_clear(&whole);
        strbuf_clear(&clean);
        stream_decoder_clear(&decoder);
    }
    tokenizer_free(t);
}

static void prefix_space_goes_at_the_start_only(void **state)
{
    (void)state;
    Tokenizer *t = byte_tokenizer(true);
    for (int at_start = 0; at_start < 2; at_start++) {
        StreamDecoder decoder;
        stream_decoder_init(&decoder, t, false, at_start);
        StrBuf out = {0};
        stream_decoder_feed(&decoder, 256, &out);
        stream_decoder_feed(&decoder, 258, &out);
        stream_decoder_feed(&decoder, 258, &out);
        assert_string_equal(out.data, at_start ? "a\xD0\xB6 a\xD0\xB6" : " a\xD0\xB6 a\xD0\xB6");
        strbuf_clear(&out);
        stream_decoder_clear(&decoder);
    }
    tokenizer_free(t);
}

static void stop_strings_are_held_back(void **state)
{
    (void)state;
    StringList stops = {0};
    StopMatcher matcher;
    StrBuf out = {0};
    string_list_add(&stops, "\n\nUser:");
    string_list_add(&stops, "");
    string_list_add(&stops, "END");
    stop_matcher_init(&matcher, &stops);
    assert_false(stop_matcher_feed(&matcher, "one\n", 4, &out));
    assert_string_equal(out.data, "one");
    assert_false(stop_matcher_feed(&matcher, "\nUs", 3, &out));
    assert_string_equal(out.data, "one");
    assert_false(stop_matcher_feed(&matcher, "ed E", 4, &out));
    assert_string_equal(out.data, "one\n\nUsed ");
    assert_true(stop_matcher_feed(&matcher, "NDless", 6, &out));
    assert_true(stop_matcher_feed(&matcher, "more", 4, &out));
    stop_matcher_flush(&matcher, &out);
    assert_string_equal(out.data, "one\n\nUsed ");
    stop_matcher_clear(&matcher);

    stop_matcher_init(&matcher, &stops);
    strbuf_reset(&out);
    assert_false(stop_matcher_feed(&matcher, "the EN", 6, &out));
    stop_matcher_flush(&matcher, &out);
    assert_string_equal(out.data, "the EN");
    stop_matcher_clear(&matcher);
    string_list_clear(&stops);
    strbuf_clear(&out);
}

/* What comes out must not depend on how the text was cut. */
static void stop_strings_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    Rng rng;
    rng_init(&rng, 4, 0);
    for (int round = 0; round < 2000; round++) {
        StringList stops = {0};
        char text[24] = "";
        for (int i = 0; i < 3; i++) {
            char stop[5] = "";
            int64_t length = 1 + rng_below(&rng, 4);
            for (int64_t j = 0; j < length; j++)
                stop[j] = (char)('a' + rng_below(&rng, 2 + (i > 0)));
            string_list_add(&stops, stop);
        }
        for (size_t j = 0; j + 1 < sizeof text; j++)
            text[j] = (char)('a' + rng_below(&rng, 4));
        StrBuf results[2] = {{0}, {0}};
        for (int way = 0; way < 2; way++) {
            StopMatcher matcher;
            stop_matcher_init(&matcher, &stops);
            for (size_t at = 0; at < strlen(text);) {
                size_t step = way ? 1 + (size_t)rng_below(&rng, 6) : strlen(text);
                if (at + step > strlen(text))
                    step = strlen(text) - at;
                stop_matcher_feed(&matcher, text + at, (int64_t)step, &results[way]);
                at += step;
            }
            stop_matcher_flush(&matcher, &results[way]);
            stop_matcher_clear(&matcher);
        }
        assert_int_equal(results[0].size, results[1].size);
        if (results[0].size > 0)
            assert_memory_equal(results[0].data, results[1].data, (size_t)results[0].size);
        strbuf_clear(&results[0]);
        strbuf_clear(&results[1]);
        string_list_clear(&stops);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_never_split),
        cmocka_unit_test(streams_add_up_to_the_whole),
        cmocka_unit_test(prefix_space_goes_at_the_start_only),
        cmocka_unit_test(stop_strings_are_held_back),
        cmocka_unit_test(stop_strings_do_not_depend_on_the_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
