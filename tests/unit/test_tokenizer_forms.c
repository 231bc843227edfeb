/* Forms of tokenizer.json, published ones and such as chance made: the ids and texts that Hugging
 * Face's `tokenizers` gives (tests/golden/tokenizer_law.py), also once they are written and read
 * again, and token by token. Where PYTHON names a Python that has that package, more forms are
 * drawn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/tokenizer_io.h"
#include "core/text/stream.h"
#include "core/text/tokenizer_json.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

enum { FORMS = 37, LAW_FORMS = 40 };

static Tokenizer *parsed(const char *json, int64_t bytes)
{
    Err err;
    TokenizerSpec spec;
    ASSERT_OK(tokenizer_json_parse(json, bytes, &spec, &err));
    Tokenizer *t = tokenizer_new(&spec, &err);
    if (!t)
        fail_msg("%s", err.text);
    return t;
}

static Tokenizer *rewritten(const Tokenizer *t)
{
    Err err;
    StrBuf json = {0};
    ASSERT_OK(tokenizer_json_format(t, &json, &err));
    Tokenizer *again = parsed(json.data, json.size);
    strbuf_clear(&json);
    return again;
}

static Tokenizer *stored(const Tokenizer *t)
{
    Err err;
    ContainerWriter *writer;
    Container *container;
    Tokenizer *again;
    const char *path = folder_path("tokenizer.h5");
    ASSERT_OK(container_create(&writer, path, &err));
    ASSERT_OK(tokenizer_put(writer, tokenizer_spec(t), &err));
    ASSERT_OK(container_commit(writer, &err));
    ASSERT_OK(container_open(&container, path, &err));
    ASSERT_OK(tokenizer_read(container, &again, &err));
    container_close(container);
    return again;
}

static void assert_ids(const char *name, const char *text, const IdList *ids, const json_t *want)
{
    size_t i;
    json_t *id;
    bool same = ids->count == (int64_t)json_array_size(want);
    json_array_foreach(want, i, id) same = same && ids->items[i] == json_integer_value(id);
    if (!same)
        fail_msg("%s: \"%s\" becomes other ids", name, text);
}

/* As a whole, and token by token. */
static void assert_text(const char *name, const Tokenizer *t, const IdList *ids, const json_t *want)
{
    StrBuf whole = {0}, parts = {0};
    StreamDecoder decoder;
    if (!json_is_string(want) || strstr(json_string_value(want), "\xEF\xBF\xBD"))
        return; /* none to compare with, or bytes that are no character */
    strbuf_puts(&whole, "");
    strbuf_puts(&parts, "");
    tokenizer_decode(t, ids->items, ids->count, false, &whole);
    stream_decoder_init(&decoder, t, false, true);
    for (int64_t i = 0; i < ids->count; i++)
        stream_decoder_feed(&decoder, ids->items[i], &parts);
    stream_decoder_flush(&decoder, &parts);
    stream_decoder_clear(&decoder);
    if (strcmp(whole.data, json_string_value(want)) != 0)
        fail_msg("%s: the text is \"%s\", not \"%s\"", name, whole.data, json_string_value(want));
    assert_string_equal(whole.data, parts.data);
    strbuf_clear(&whole);
    strbuf_clear(&parts);
}

static void check_form(const Tokenizer *t, const json_t *form)
{
    const char *name = json_string_value(json_object_get(form, "name"));
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(form, "texts"), i, text)
    {
        IdList ids = {0};
        const char *bytes = json_string_value(text);
        int64_t n = (int64_t)json_string_length(text);
        tokenizer_encode(t, bytes, n, &ids);
        assert_ids(name, bytes, &ids, json_array_get(json_object_get(form, "ids"), i));
        ids.count = 0;
        tokenizer_encode_with_specials(t, bytes, n, &ids);
        assert_ids(name, bytes, &ids, json_array_get(json_object_get(form, "special_ids"), i));
        assert_text(name, t, &ids, json_array_get(json_object_get(form, "decoded"), i));
        /* All of it a user's, and all of it the template's, are these two. */
        IdList marked = {0};
        tokenizer_encode_marked(t, bytes, n, NULL, 0, &marked);
        assert_int_equal(marked.count, ids.count);
        assert_memory_equal(marked.items, ids.items, (size_t)ids.count * sizeof *ids.items);
        marked.count = ids.count = 0;
        tokenizer_encode_marked(t, bytes, n, &(TextSpan){0, n}, 1, &marked);
        tokenizer_encode(t, bytes, n, &ids);
        assert_int_equal(marked.count, ids.count);
        assert_memory_equal(marked.items, ids.items, (size_t)ids.count * sizeof *ids.items);
        id_list_clear(&marked);
        id_list_clear(&ids);
    }
}

static void hugging_face_gives_the_same(void **state)
{
    (void)state;
    Err err;
    StrBuf file = {0};
    ASSERT_OK(file_read("tests/golden/tokenizer_forms.jsonl", 0, &file, &err));
    int forms = 0;
    log_set_level(LOG_QUIET); /* some vocabularies lose characters, as they do there */
    for (char *line = file.data; *line; forms++) {
        size_t length = strcspn(line, "\n");
        json_t *form = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
        assert_non_null(form);
        char *json = json_dumps(json_object_get(form, "tokenizer"), JSON_COMPACT);
        Tokenizer *t = parsed(json, (int64_t)strlen(json));
        Tokenizer *again = rewritten(t), *kept = stored(t);
        check_form(t, form);
        check_form(again, form);
        check_form(kept, form);
        Sha256 a = tokenizer_hash(tokenizer_spec(t)), b = tokenizer_hash(tokenizer_spec(kept));
        assert_memory_equal(&a, &b, sizeof a);
        tokenizer_free(t);
        tokenizer_free(again);
        tokenizer_free(kept);
        free(json);
        json_decref(form);
        line += length + (line[length] == '\n');
    }
    assert_int_equal(forms, FORMS);
    strbuf_clear(&file);
}

static int status_of(char *command)
{
    int status = system(command);
    free(command);
    return status;
}

static void chance_finds_no_difference(void **state)
{
    (void)state;
    const char *python = getenv("PYTHON"), *program = getenv("CAMBIUM");
    if (!program || status_of(xasprintf("'%s' -c 'import tokenizers' 2>/dev/null",
                                        python ? python : "python3")) != 0) {
        print_message("SKIP: random tokenizers: PYTHON names no Python that has tokenizers, or "
                      "CAMBIUM no program\n");
        skip();
    }
    folder_begin();
    int status = status_of(xasprintf("'%s' tests/golden/tokenizer_law.py check '%s' '%s' %d %d",
                                     python ? python : "python3", program, folder_path("."),
                                     (int)(time(NULL) % 1000000), LAW_FORMS));
    assert_int_equal(status, 0);
    folder_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hugging_face_gives_the_same, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test(chance_finds_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
