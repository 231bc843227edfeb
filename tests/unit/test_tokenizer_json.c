#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/text/byte_alphabet.h"
#include "core/text/tokenizer_json.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"

static Tokenizer *must_parse(const char *json, int64_t bytes)
{
    Err err;
    TokenizerSpec spec;
    ASSERT_OK(tokenizer_json_parse(json, bytes, &spec, &err));
    Tokenizer *t = tokenizer_new(&spec, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

/* Writes the tokenizer and reads it back. */
static Tokenizer *rewritten(const Tokenizer *t)
{
    Err err;
    StrBuf json = {0};
    ASSERT_OK(tokenizer_json_format(t, &json, &err));
    Tokenizer *back = must_parse(json.data, json.size);
    strbuf_clear(&json);
    return back;
}

/* ---- against another implementation -------------------------------------------------------- */

static void check_texts(const Tokenizer *t, const char *name, const json_t *texts,
                        const json_t *golden)
{
    size_t i, j;
    json_t *text, *id;
    json_array_foreach(texts, i, text)
    {
        IdList ids = {0};
        const json_t *want = json_array_get(golden, i);
        tokenizer_encode(t, json_string_value(text), (int64_t)json_string_length(text), &ids);
        bool same = ids.count == (int64_t)json_array_size(want);
        json_array_foreach(want, j, id) same = same && ids.items[j] == json_integer_value(id);
        if (!same)
            fail_msg("%s: \"%s\" becomes other ids", name, json_string_value(text));
        id_list_clear(&ids);
    }
}

static void hugging_face_gives_the_same_ids(void **state)
{
    (void)state;
    Err err;
    StrBuf file = {0};
    ASSERT_OK(file_read("tests/golden/tokenizers.jsonl", 0, &file, &err));
    int forms = 0;
    for (char *line = file.data; *line; forms++) {
        size_t length = strcspn(line, "\n");
        json_t *record = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
        assert_non_null(record);
        const char *name = json_string_value(json_object_get(record, "name"));
        char *form = json_dumps(json_object_get(record, "tokenizer"), JSON_COMPACT);
        Tokenizer *t = must_parse(form, (int64_t)strlen(form));
        Tokenizer *again = rewritten(t);
        check_texts(t, name, json_object_get(record, "texts"), json_object_get(record, "ids"));
        check_texts(again, name, json_object_get(record, "texts"), json_object_get(record, "ids"));
        tokenizer_free(t);
        tokenizer_free(again);
        free(form);
        json_decref(record);
        line += length + (line[length] == '\n');
    }
    assert_int_equal(forms, 10);
    strbuf_clear(&file);
}

/* ---- there and back -------------------------------------------------------------------------- */

static void assert_same_spec(const Tokenizer *a, const Tokenizer *b)
{
    const TokenizerSpec *x = tokenizer_spec(a), *y = tokenizer_spec(b);
    assert_int_equal(x->n_tokens, y->n_tokens);
    assert_int_equal(x->n_merges, y->n_merges);
    assert_memory_equal(x->types, y->types, (size_t)x->n_tokens);
    assert_memory_equal(x->offsets, y->offsets, (size_t)(x->n_tokens + 1) * sizeof *x->offsets);
    assert_memory_equal(x->text, y->text, (size_t)x->offsets[x->n_tokens]);
    assert_memory_equal(x->merges, y->merges, (size_t)x->n_merges * 3 * sizeof *x->merges);
    assert_string_equal(x->pattern ? x->pattern : "", y->pattern ? y->pattern : "");
    assert_int_equal(x->byte_level, y->byte_level);
    assert_int_equal(x->add_prefix_space, y->add_prefix_space);
    assert_int_equal(x->ignore_merges, y->ignore_merges);
    assert_int_equal(x->nfc, y->nfc);
    assert_int_equal(x->pad, y->pad);
    assert_int_equal(x->bos, y->bos);
    assert_int_equal(x->eos, y->eos);
    assert_int_equal(x->unk, y->unk);
}

static void build_spec(TokenizerSpec *spec, int form)
{
    spec_start(spec);
    spec->unk = spec_token(spec, "<unk>", 5, TOKEN_SPECIAL);
    spec->bos = spec_token(spec, "<s>", 3, TOKEN_SPECIAL);
    spec->eos = spec_token(spec, "</s>", 4, TOKEN_SPECIAL);
    spec->pad = spec_token(spec, "<pad>", 5, TOKEN_SPECIAL);
    spec_token(spec, "\t\t", 2, TOKEN_ADDED);
    spec->byte_level = form == 1;
    spec->add_prefix_space = form == 2;
    if (form == 1)
        for (int byte = 0; byte < 256; byte++)
            spec_token(spec, (char[]){(char)byte}, 1, TOKEN_TEXT);
    else
        spec_bytes(spec);
    if (form == 0)
        spec_token(spec, "", 1, TOKEN_TEXT); /* the character U+0000 */
    if (form != 1)
        for (const char *c = "ab\"\\ \x7F"; *c; c++)
            spec_token(spec, c, 1, TOKEN_TEXT);
    int32_t a = spec_find(spec, "a", 1), b = spec_find(spec, "b", 1),
            space = spec_find(spec, " ", 1);
    spec_merge(spec, space, spec_merge(spec, a, b));
    spec_merge(spec, spec_find(spec, "\"", 1), spec_find(spec, "\\", 1));
    if (form == 0)
        spec_merge(spec, a, spec_find(spec, "", 1));
    if (form < 2)
        spec->pattern = xstrdup(" ?[\\p{L}\\p{Han}]+\n[^\"\\\\]+");
    spec->ignore_merges = form == 1;
    spec->nfc = form > 0;
}

static void every_field_comes_back(void **state)
{
    (void)state;
    for (int form = 0; form < 3; form++) {
        TokenizerSpec spec;
        Err err;
        build_spec(&spec, form);
        Tokenizer *t = tokenizer_new(&spec, &err);
        assert_non_null(t);
        Tokenizer *again = rewritten(t);
        assert_same_spec(t, again);
        tokenizer_free(t);
        tokenizer_free(again);
    }
}

static void files_are_written_and_read(void **state)
{
    (void)state;
    TokenizerSpec spec;
    Err err;
    build_spec(&spec, 1);
    Tokenizer *t = tokenizer_new(&spec, &err);
    assert_non_null(t);
    folder_begin();
    ASSERT_OK(tokenizer_json_write(t, folder_path("tokenizer.json"), &err));
    ASSERT_OK(tokenizer_json_read(folder_path("tokenizer.json"), &spec, &err));
    Tokenizer *again = tokenizer_new(&spec, &err);
    assert_same_spec(t, again);
    tokenizer_free(t);
    tokenizer_free(again);
    assert_int_equal(tokenizer_json_read(folder_path("none.json"), &spec, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "none.json"));
    assert_null(spec.text);
    folder_end();
}

static void what_the_format_cannot_hold_is_refused(void **state)
{
    (void)state;
    TokenizerSpec spec;
    Err err;
    StrBuf out = {0};
    spec_start(&spec);
    spec_text(&spec, "a");
    spec_text(&spec, "a");
    Tokenizer *t = tokenizer_new(&spec, &err);
    assert_int_equal(tokenizer_json_format(t, &out, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "tokens 0 and 1"));
    tokenizer_free(t);

    spec_start(&spec);
    spec_text(&spec, "\xE2\x96\x81");
    spec.add_prefix_space = true;
    t = tokenizer_new(&spec, &err);
    assert_int_equal(tokenizer_json_format(t, &out, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "U+2581"));
    tokenizer_free(t);
    strbuf_clear(&out);
}

static void the_byte_alphabet_is_complete(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        StrBuf letter = {0}, back = {0};
        byte_alphabet_write(&letter, (char[]){(char)byte}, 1);
        assert_true(byte_alphabet_read(&back, letter.data, letter.size));
        assert_int_equal(back.size, 1);
        assert_int_equal((uint8_t)back.data[0], byte);
        strbuf_clear(&letter);
        strbuf_clear(&back);
    }
    StrBuf out = {0};
    byte_alphabet_write(&out, " \n\xAD", 3);
    assert_string_equal(out.data, "\xC4\xA0\xC4\x8A\xC5\x83");
    assert_false(byte_alphabet_read(&out, " ", 1));
    assert_false(byte_alphabet_read(&out, "\xC5\x84", 2));
    strbuf_clear(&out);
}

/* A zero travels through the JSON library as another character, which must not be mistaken. */
static void zeros_and_their_stand_ins(void **state)
{
    (void)state;
    static const char json[] =
        "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\u0000|\\\\\\u0000|"
        "\\\\\\\\u0000\"},\"behavior\":\"Isolated\"},\"model\":{\"type\":\"BPE\",\"vocab\":{"
        "\"\\u0000\":0,\"\xF4\x8F\xBF\xBF\":1,\"\\udbff\\udffe\":2,\"\\\\u0000\":3},\"merges\":[]}"
        "}";
    Tokenizer *t = must_parse(json, (int64_t)strlen(json));
    assert_int_equal(tokenizer_find(t, "", 1), 0);
    assert_int_equal(tokenizer_find(t, "\xF4\x8F\xBF\xBF", 4), 1);
    assert_int_equal(tokenizer_find(t, "\xF4\x8F\xBF\xBE", 4), 2);
    assert_int_equal(tokenizer_find(t, "\\u0000", 6), 3);
    assert_string_equal(tokenizer_spec(t)->pattern, "\\x00|\\x00|\\\\u0000");
    tokenizer_free(t);
}

/* ---- refusals -------------------------------------------------------------------------------- */

#define MODEL(rest) "{\"model\":{\"type\":\"BPE\"," rest "}}"
#define PARTS(parts)                                                                               \
    "{" parts ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a " \
    "b\"]}}"

static void unknown_parts_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"[]", "no \"model\""},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "model Unigram"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "model WordPiece"},
        {MODEL("\"merges\":[]"), "no vocabulary"},
        {MODEL("\"vocab\":{\"a\":0}"), "no list of merges"},
        {MODEL("\"vocab\":{\"a\":\"x\"},\"merges\":[]"), "not a number"},
        {MODEL("\"vocab\":{\"a\":-1},\"merges\":[]"), "far outside"},
        {MODEL("\"vocab\":{\"a\":4000000000},\"merges\":[]"), "far outside"},
        {MODEL("\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]"), "share id 0"},
        {MODEL("\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]"), "duplicate"},
        {MODEL("\"vocab\":{\"a\":0},\"merges\":[\"a a\"]"), "\"aa\""},
        {MODEL("\"vocab\":{\"a\":0},\"merges\":[\"a\"]"), "merge 0 is not a pair"},
        {MODEL("\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]"), "merge 0 is not a pair"},
        {MODEL("\"vocab\":{\"a\":0},\"merges\":[7]"), "merge 0 is not a pair"},
        {MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\""), "unknown token"},
        {MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1"), "dropout"},
        {MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\""),
         "end_of_word_suffix"},
        {MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"continuing_subword_prefix\":\"##\""),
         "continuing_subword_prefix"},
        {MODEL("\"vocab\":{\"a\":0,\"<0x41>\":1},\"merges\":[],\"unk_token\":\"a\","
               "\"byte_fallback\":true"),
         "byte_fallback without all byte tokens"},
        {PARTS("\"normalizer\":{\"type\":\"Precompiled\"}"), "normalizer Precompiled"},
        {PARTS("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"}]}"),
         "normalizer Nmt"},
        {PARTS("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"x*\"},"
               "\"content\":\"y\"}"),
         "matches the empty text"},
        {PARTS("\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"\xE2\x96\x81\"}"),
         "Prepend without"},
        {PARTS("\"normalizer\":7"), "(without a type)"},
        {PARTS("\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"),
         "pre-tokenizer BertPreTokenizer"},
        {PARTS("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},"
               "\"behavior\":\"Doubled\"}"),
         "behavior 'Doubled'"},
        {PARTS("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a[b]]\"},"
               "\"behavior\":\"Removed\"}"),
         "a class inside a class"},
        {PARTS("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\"}"),
         "other than U+2581"},
        {PARTS("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\","
               "\"prepend_scheme\":\"second\"}"),
         "'second'"},
        {PARTS("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\"}"),
         "Split without a pattern"},
        {PARTS("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
               "{\"type\":\"ByteLevel\"},{\"type\":\"ByteLevel\"}]}"),
         "after ByteLevel"},
        {PARTS("\"decoder\":{\"type\":\"WordPiece\"}"), "decoder WordPiece"},
        {PARTS("\"post_processor\":{\"type\":\"BertProcessing\"}"),
         "post-processor BertProcessing"},
        {PARTS("\"added_tokens\":[{\"id\":3}]"), "no content"},
        {PARTS("\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},"
               "\"content\":\"y\"}"),
         "decoder Replace"},
        {PARTS("\"decoder\":{\"type\":\"ByteLevel\"}"), "decoder ByteLevel without"},
        {PARTS("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
               "{\"SpecialToken\":{\"id\":\"a\"}},{\"SpecialToken\":{\"id\":\"a\"}}]}"),
         "several tokens before"},
        {PARTS("\"added_tokens\":[{\"id\":3,\"content\":\"a\"}]"), "two ids"},
        {PARTS("\"added_tokens\":[{\"id\":2,\"content\":\"c\"}]"), "share id 2"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":"
         "{\"a b\":0},\"merges\":[]}}",
         "byte alphabet"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        TokenizerSpec spec;
        Err err = {0};
        Status status =
            tokenizer_json_parse(wrong[i][0], (int64_t)strlen(wrong[i][0]), &spec, &err);
        if (status != STATUS_FAIL || !strstr(err.text, wrong[i][1]))
            fail_msg("%s: \"%s\" does not speak of \"%s\"", wrong[i][0], err.text, wrong[i][1]);
        assert_null(spec.text);
    }
}

static void damaged_files_do_no_harm(void **state)
{
    (void)state;
    TokenizerSpec spec;
    Err err;
    StrBuf json = {0};
    build_spec(&spec, 0);
    Tokenizer *t = tokenizer_new(&spec, &err);
    ASSERT_OK(tokenizer_json_format(t, &json, &err));
    tokenizer_free(t);
    Rng rng;
    rng_init(&rng, 11, 0);
    for (int round = 0; round < 400; round++) {
        StrBuf copy = {0};
        strbuf_append(&copy, json.data, (size_t)json.size);
        if (round % 4 == 0)
            copy.size = rng_below(&rng, copy.size);
        for (int i = 0; i < round % 4; i++)
            copy.data[rng_below(&rng, copy.size)] ^= (char)(1 << rng_below(&rng, 8));
        err.text[0] = '\0';
        if (tokenizer_json_parse(copy.data, copy.size, &spec, &err) == STATUS_OK)
            tokenizer_free(tokenizer_new(&spec, &err));
        else
            assert_true(strlen(err.text) > 0);
        strbuf_clear(&copy);
    }
    strbuf_clear(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hugging_face_gives_the_same_ids),
        cmocka_unit_test(every_field_comes_back),
        cmocka_unit_test(files_are_written_and_read),
        cmocka_unit_test(what_the_format_cannot_hold_is_refused),
        cmocka_unit_test(the_byte_alphabet_is_complete),
        cmocka_unit_test(zeros_and_their_stand_ins),
        cmocka_unit_test(unknown_parts_are_refused_by_name),
        cmocka_unit_test(damaged_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
