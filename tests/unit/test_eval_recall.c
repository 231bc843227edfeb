/* Prompts for recall at a length and depth: as long as asked for, the number where it should be,
 * and one sentence for what cannot be made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "infer/eval/recall.h"
#include "tests/support/assert_ok.h"
#include "tests/support/byte_vocabulary.h"
#include "tests/support/folder.h"

enum { SLACK = 16, SENTENCE = 90 }; /* what a prompt may be shorter by, in tokens that are bytes */

static StrBuf haystack_of(int sentences)
{
    StrBuf text = {0};
    for (int i = 0; i < sentences; i++)
        strbuf_printf(&text, "Sentence %d is of no use. Тоже %d. ", i, i);
    return text;
}

static int64_t tokens_of(const Tokenizer *tokenizer, const char *text)
{
    IdList ids = {0};
    tokenizer_encode(tokenizer, text, (int64_t)strlen(text), &ids);
    int64_t count = ids.count;
    id_list_clear(&ids);
    return count;
}

static void check_prompts(const QuestionGroups *groups, const Tokenizer *tokenizer,
                          const int64_t *lengths, int64_t depths, int64_t samples, const char *lead)
{
    for (int64_t g = 0; g < groups->count; g++) {
        const QuestionList *list = &groups->items[g].questions;
        assert_int_equal(list->count, samples);
        for (int64_t i = 0; i < samples; i++) {
            const Question *q = &list->items[i];
            int64_t size = (int64_t)strlen(q->context), length = lengths[g / depths];
            int64_t tokens = tokens_of(tokenizer, q->context);
            char said[64];
            snprintf(said, sizeof said, "%s %s.", lead, q->choices[0]);
            const char *at = strstr(q->context, said);
            assert_non_null(at); /* the number stands in the prompt, which ends before it */
            assert_string_equal(q->context + size - 2, "is");
            assert_true(tokens + 6 <= length && tokens >= length - SLACK - SENTENCE - 6);
            double place = (double)(at - q->context) / (double)size;
            double depth = (double)(g % depths) / (double)(depths - 1);
            assert_true(place > depth - 0.3 && place < depth + 0.3);
        }
    }
}

static void prompts_have_their_length_and_depth(void **state)
{
    (void)state;
    Err err;
    static const int64_t lengths[] = {800, 2000};
    Tokenizer *tokenizer = byte_vocabulary();
    StrBuf haystack = haystack_of(200);
    for (int needle = 0; needle < 2; needle++) {
        QuestionGroups groups = {0}, again = {0};
        RecallSettings settings = {.lengths = "800,2K",
                                   .longest = 2000,
                                   .depths = 3,
                                   .samples = 2,
                                   .seed = 7,
                                   .haystack = needle ? &haystack : NULL};
        ASSERT_OK(recall_make(&groups, &settings, tokenizer, &err));
        assert_int_equal(groups.count, 6);
        assert_string_equal(groups.items[5].name, "2000 tokens, depth 100 %");
        assert_string_equal(groups.items[5].category, "2000 tokens");
        check_prompts(&groups, tokenizer, lengths, 3, 2,
                      needle ? "The secret number of Oslo is" : "The pass key is");
        ASSERT_OK(recall_make(&again, &settings, tokenizer, &err));
        Sha256 a = question_groups_hash(&groups), b = question_groups_hash(&again);
        assert_true(hash_equal(&a, &b));
        question_groups_clear(&again);
        settings.seed = 8;
        ASSERT_OK(recall_make(&again, &settings, tokenizer, &err));
        b = question_groups_hash(&again);
        assert_false(hash_equal(&a, &b));
        question_groups_clear(&again);
        question_groups_clear(&groups);
    }
    strbuf_clear(&haystack);
    tokenizer_free(tokenizer);
}

static void what_cannot_be_made_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *lengths, *said;
        int64_t depths;
        bool needle;
    } cases[] = {
        {"1K,x", "--lengths: 'x' is no number of tokens", 5, false},
        {"0", "'0' is no number", 5, false},
        {"3K", "3000 tokens are more than the context of 2000; --context", 5, false},
        {"60", "60 tokens do not hold the question", 5, false},
        {"800", "--depths is from 1 to 101", 0, false},
        {"800", "--depths is from 1 to 101", 102, false},
        {"800,1K,800", "--lengths: 800 is named twice", 5, false},
        {"2K", "shorter than 2000 tokens; give more with --data", 5, true},
    };
    Tokenizer *tokenizer = byte_vocabulary();
    StrBuf haystack = haystack_of(9);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {.text = ""};
        QuestionGroups groups = {0};
        RecallSettings settings = {.lengths = cases[i].lengths,
                                   .longest = 2000,
                                   .depths = cases[i].depths,
                                   .samples = 1,
                                   .haystack = cases[i].needle ? &haystack : NULL};
        assert_int_equal(recall_make(&groups, &settings, tokenizer, &err), STATUS_FAIL);
        if (!strstr(err.text, cases[i].said))
            fail_msg("%s", err.text);
        question_groups_clear(&groups);
    }
    strbuf_clear(&haystack);
    tokenizer_free(tokenizer);
}

static void haystacks_are_read_as_far_as_needed(void **state)
{
    (void)state;
    Err err;
    int64_t bytes;
    StrBuf text = {0};
    StringList paths = {0};
    CorpusOptions reading = {.field = "text"};
    folder_put("a.txt", "One.\fTwo.\fThree.", -1);
    folder_put("b.jsonl", "{\"text\": \"Four.\"}\n", -1);
    string_list_add(&paths, folder_path("a.txt"));
    string_list_add(&paths, folder_path("b.jsonl"));
    ASSERT_OK(recall_haystack_bytes("10,2K", &bytes, &err));
    assert_int_equal(bytes, 32000);
    ASSERT_OK(recall_haystack(&text, &paths, &reading, 6, &err));
    assert_string_equal(text.data, "One.\nTwo.\n");
    strbuf_reset(&text);
    ASSERT_OK(recall_haystack(&text, &paths, &reading, bytes, &err));
    assert_string_equal(text.data, "One.\nTwo.\nThree.\nFour.\n");
    folder_put("c.jsonl", "{\"text\": \"Five\\u0000six.\"}\n", -1);
    string_list_add(&paths, folder_path("c.jsonl"));
    assert_int_equal(recall_haystack(&text, &paths, &reading, bytes, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "c.jsonl: a document holds U+0000"));
    strbuf_clear(&text);
    string_list_clear(&paths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_have_their_length_and_depth),
        cmocka_unit_test(what_cannot_be_made_is_told),
        cmocka_unit_test_setup_teardown(haystacks_are_read_as_far_as_needed, folder_set_up,
                                        folder_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
