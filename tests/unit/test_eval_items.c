/* The file of evaluated questions: what is there is kept, what was cut off is taken off, and what
 * belongs to another run is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "infer/eval/items.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

static json_t *header(int shots)
{
    return json_pack("{s:s, s:i, s:{s:i, s:s}}", "format", "cambium-items", "version", 1,
                     "settings", "shots", shots, "split", "test");
}

static Status open_with(ItemsFile **items, int shots, bool resume, Err *err)
{
    json_t *wanted = header(shots);
    Status status = items_open(items, folder_path("items.jsonl"), wanted, resume, err);
    json_decref(wanted);
    return status;
}

static void add(ItemsFile *items, int from, int to)
{
    Err err;
    for (int i = from; i < to; i++)
        ASSERT_OK(items_add(items, json_pack("{s:i, s:f}", "n", i, "x", i / 3.0), &err));
    ASSERT_OK(items_flush(items, &err));
}

static char *content(void)
{
    Err err;
    StrBuf text = {0};
    ASSERT_OK(file_read(folder_path("items.jsonl"), 0, &text, &err));
    return strbuf_detach(&text);
}

static void an_interrupted_file_becomes_the_same(void **state)
{
    (void)state;
    Err err;
    ItemsFile *items;
    ASSERT_OK(open_with(&items, 5, false, &err));
    add(items, 0, 9);
    ASSERT_OK(items_close(items, &err));
    char *whole = content();
    /* Cut anywhere, also within the header, within a line and between lines. */
    for (size_t cut = 0; cut <= strlen(whole); cut++) {
        folder_put("items.jsonl", whole, (int64_t)cut);
        ASSERT_OK(open_with(&items, 5, true, &err));
        int64_t kept = items_count(items);
        for (int64_t i = 0; i < kept; i++) {
            assert_int_equal(json_integer_value(json_object_get(items_line(items, i), "n")), i);
            assert_true(json_real_value(json_object_get(items_line(items, i), "x")) ==
                        (double)i / 3.0);
        }
        if (kept > 2) {
            kept = 2;
            ASSERT_OK(items_cut(items, kept, &err));
        }
        add(items, (int)kept, 9);
        ASSERT_OK(items_close(items, &err));
        char *again = content();
        assert_string_equal(again, whole);
        free(again);
    }
    free(whole);
}

/* Locks belong to the open file, so one process shows what two would see. */
static void one_writer_at_a_time(void **state)
{
    (void)state;
    Err err;
    ItemsFile *items, *second;
    ASSERT_OK(open_with(&items, 5, false, &err));
    add(items, 0, 3);
    char *before = content();
    assert_int_equal(open_with(&second, 5, true, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "another process (pid "));
    assert_non_null(strstr(err.text, "writes "));
    char *after = content();
    assert_string_equal(before, after);
    ASSERT_OK(items_close(items, &err));
    ASSERT_OK(open_with(&second, 5, true, &err));
    assert_int_equal(items_count(second), 3);
    ASSERT_OK(items_close(second, &err));
    free(before);
    free(after);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    Err err = {.text = ""};
    ItemsFile *items;
    ASSERT_OK(open_with(&items, 5, true, &err)); /* none is there: a new one */
    add(items, 0, 2);
    ASSERT_OK(items_close(items, &err));
    assert_int_equal(open_with(&items, 5, false, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "items.jsonl is there already; --resume goes on with it"));
    assert_int_equal(open_with(&items, 4, true, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "items.jsonl differs in settings: shots;"));
    folder_put("items.jsonl", "{\"text\": \"a corpus\"}\n{}\n", -1);
    assert_int_equal(open_with(&items, 5, true, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "is not a file of --save-items"));
    /* Of one line, and not even ended: nothing of it may be taken for a header that was cut off. */
    folder_put("items.jsonl", "my only notes", -1);
    assert_int_equal(open_with(&items, 5, true, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "is not a file of --save-items"));
    char *notes = content();
    assert_string_equal(notes, "my only notes");
    free(notes);
    json_t *wanted = header(5);
    char *text = json_dumps(wanted, JSON_COMPACT);
    json_decref(wanted);
    StrBuf damaged = {0};
    strbuf_printf(&damaged, "%s\n{\"n\": 0}\n{\"n\"\n{\"n\": 2}\n", text);
    folder_put("items.jsonl", damaged.data, damaged.size);
    assert_int_equal(open_with(&items, 5, true, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "items.jsonl:3: not JSON at column"));
    strbuf_clear(&damaged);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_interrupted_file_becomes_the_same, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(one_writer_at_a_time, folder_set_up, folder_tear_down),
        cmocka_unit_test_setup_teardown(other_files_are_refused, folder_set_up, folder_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
