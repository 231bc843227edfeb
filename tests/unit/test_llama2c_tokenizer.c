#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/text/llama2c_tokenizer.h"
#include "tests/support/assert_ok.h"
#include "tests/support/data_file.h"

static void put_token(StrBuf *out, float score, const char *text)
{
    int32_t length = (int32_t)strlen(text);
    strbuf_append(out, (const char *)&score, 4);
    strbuf_append(out, (const char *)&length, 4);
    strbuf_puts(out, text);
}

static void make_file(StrBuf *out)
{
    strbuf_append(out, "\x08\0\0\0", 4);
    put_token(out, 0, "<unk>");
    put_token(out, 0, "\n<s>\n");
    put_token(out, 0, "\n</s>\n");
    put_token(out, 0, "<0xD0>");
    put_token(out, 0, "<0xB6>");
    put_token(out, -1, " a");
    put_token(out, -2, "ab");
    put_token(out, -3, " ");
    put_token(out, -4, "a");
    put_token(out, -5, "b");
}

static void the_parts_are_understood(void **state)
{
    (void)state;
    Err err;
    StrBuf file = {0};
    TokenizerSpec spec;
    make_file(&file);
    ASSERT_OK(llama2c_tokenizer_parse(file.data, file.size, &spec, &err));
    Tokenizer *t = tokenizer_new(&spec, &err);
    assert_non_null(t);
    assert_int_equal(tokenizer_size(t), 10);
    assert_int_equal(tokenizer_find(t, "<s>", 3), 1);
    assert_int_equal(tokenizer_spec(t)->types[4], TOKEN_BYTE);
    IdList ids = {0};
    /* " ab" is " a", "b": the greater score goes before the earlier place. */
    tokenizer_encode(t, "abab\xD0\xB6!", 7, &ids);
    static const int32_t want[] = {5, 9, 6, 3, 4, 0};
    assert_int_equal(ids.count, 6);
    assert_memory_equal(ids.items, want, sizeof want);
    id_list_clear(&ids);
    tokenizer_free(t);
    strbuf_clear(&file);
}

static void cut_files_are_refused(void **state)
{
    (void)state;
    Err err;
    StrBuf file = {0};
    TokenizerSpec spec;
    make_file(&file);
    for (int64_t bytes = 0; bytes < file.size; bytes++) {
        err.text[0] = '\0';
        /* Some cuts fall between two tokens, and the rest is a smaller vocabulary. */
        if (llama2c_tokenizer_parse(file.data, bytes, &spec, &err) == STATUS_OK)
            tokenizer_spec_clear(&spec);
        else
            assert_non_null(strstr(err.text, "tokenizer.bin"));
        assert_null(spec.text);
    }
    memset(file.data + 8, 0xFF, 4);
    assert_int_equal(llama2c_tokenizer_parse(file.data, file.size, &spec, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "-1 bytes"));
    strbuf_clear(&file);
}

/* The ids were made by llama2.c's rule, written anew in Python from its description: the pair whose
 * joined text scores highest, the leftmost of equals, until none is left. */
static void the_published_vocabulary(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t ids[24];
        int64_t count;
    } golden[] = {
        {"Once upon a time", {403, 407, 261, 378}, 4},
        {"Lily's mom said, \"\xD0\xB6 \xE4\xB8\xAD \xF0\x9F\x98\x80\"\n",
         {317, 439, 419, 357, 336, 432, 313, 211, 185, 410,
          231, 187, 176, 410, 243, 162, 155, 131, 436, 13},
         20},
        {"", {0}, 0},
    };
    const char *path = data_file("stories260k/tok512.bin");
    const char *story_path = data_file("stories260k/greedy-200.txt");
    if (!path || !story_path)
        skip();
    Err err;
    TokenizerSpec spec;
    ASSERT_OK(llama2c_tokenizer_read(path, &spec, &err));
    Tokenizer *t = tokenizer_new(&spec, &err);
    assert_non_null(t);
    assert_int_equal(tokenizer_size(t), 512);
    IdList ids = {0};
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        ids.count = 0;
        tokenizer_encode(t, golden[i].text, (int64_t)strlen(golden[i].text), &ids);
        assert_int_equal(ids.count, golden[i].count);
        for (int64_t j = 0; j < ids.count; j++)
            assert_int_equal(ids.items[j], golden[i].ids[j]);
    }
    StrBuf story = {0}, back = {0};
    ASSERT_OK(file_read(story_path, 0, &story, &err));
    ids.count = 0;
    tokenizer_encode(t, story.data, story.size, &ids);
    tokenizer_decode(t, ids.items, ids.count, false, &back);
    assert_string_equal(back.data, story.data);
    strbuf_clear(&story);
    strbuf_clear(&back);
    id_list_clear(&ids);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_are_understood),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(the_published_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
