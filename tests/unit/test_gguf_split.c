/* GGUF files in parts are read as one from any of them, and values of unusual types as what they
 * say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/compare.h"
#include "core/io/gguf.h"
#include "core/io/model_import.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

static const char golden[] = "tests/golden/gguf_tiny/model.gguf";

/* ---- files as bytes -------------------------------------------------------------------------- */

static void put(StrBuf *out, const void *data, size_t bytes)
{
    strbuf_append(out, data, bytes);
}

static void put_u32(StrBuf *out, uint32_t value)
{
    put(out, &value, sizeof value);
}

static void put_u64(StrBuf *out, uint64_t value)
{
    put(out, &value, sizeof value);
}

static void put_text(StrBuf *out, const char *text)
{
    put_u64(out, strlen(text));
    strbuf_puts(out, text);
}

static void put_key(StrBuf *out, const char *key, GgufType type)
{
    put_text(out, key);
    put_u32(out, type);
}

static void put_u16_value(StrBuf *out, const char *key, uint16_t value)
{
    put_key(out, key, GGUF_U16);
    put(out, &value, sizeof value);
}

/* The values of the golden file as they stand there, without its tensors. */
static StrBuf golden_values(int64_t *count)
{
    Err err;
    GgufFile *file;
    StrBuf all = {0}, values = {0};
    ASSERT_OK(file_read(golden, 0, &all, &err));
    ASSERT_OK(gguf_open(&file, golden, &err));
    *count = gguf_value_count(file);
    int64_t end = all.size;
    for (int64_t i = 0; i < gguf_tensor_count(file); i++) {
        StrBuf name = {0};
        put_text(&name, gguf_tensor(file, i)->name);
        const char *at = memmem(all.data, (size_t)all.size, name.data, (size_t)name.size);
        end = at - all.data < end ? at - all.data : end;
        strbuf_clear(&name);
    }
    strbuf_append(&values, all.data + 24, (size_t)(end - 24));
    gguf_close(file);
    strbuf_clear(&all);
    return values;
}

static void pad(StrBuf *out)
{
    while (out->size % 32)
        strbuf_putc(out, '\0');
}

/* A file of these values and the tensors [first, first + n) of the golden file. */
static void put_file(const char *path, const StrBuf *values, int64_t n_values, int64_t first,
                     int64_t n)
{
    Err err;
    GgufFile *file;
    StrBuf out = {0}, data = {0};
    ASSERT_OK(gguf_open(&file, golden, &err));
    strbuf_puts(&out, "GGUF");
    put_u32(&out, 3);
    put_u64(&out, (uint64_t)n);
    put_u64(&out, (uint64_t)n_values);
    put(&out, values->data, (size_t)values->size);
    for (int64_t i = first; i < first + n; i++) {
        const GgufTensor *tensor = gguf_tensor(file, i);
        put_text(&out, tensor->name);
        put_u32(&out, (uint32_t)tensor->n_dims);
        for (int d = tensor->n_dims - 1; d >= 0; d--)
            put_u64(&out, (uint64_t)tensor->shape[d]);
        put_u32(&out, tensor->type);
        put_u64(&out, (uint64_t)data.size);
        put(&data, tensor->data, (size_t)tensor->bytes);
        pad(&data);
    }
    pad(&out);
    put(&out, data.data ? data.data : "", (size_t)data.size);
    ASSERT_OK(file_write(path, out.data, (size_t)out.size, &err));
    strbuf_clear(&out);
    strbuf_clear(&data);
    gguf_close(file);
}

static char *part_path(int part)
{
    char *name = xasprintf("m-%05d-of-00003.gguf", part);
    char *path = xstrdup(folder_path(name));
    free(name);
    return path;
}

/* Three parts: settings alone, some tensors, the others. `claims` tensors in all. */
static void put_parts(int64_t claims)
{
    Err err;
    GgufFile *file;
    int64_t n_values;
    ASSERT_OK(gguf_open(&file, golden, &err));
    int64_t n = gguf_tensor_count(file), half = n / 2;
    gguf_close(file);
    const int64_t first[] = {0, 0, half}, count[] = {0, half, n - half};
    StrBuf settings = golden_values(&n_values);
    for (uint16_t i = 0; i < 3; i++) {
        StrBuf values = {0};
        int64_t own = i == 0 ? n_values : 0;
        if (i == 0)
            put(&values, settings.data, (size_t)settings.size);
        put_u16_value(&values, "split.no", i);
        put_u16_value(&values, "split.count", 3);
        put_key(&values, "split.tensors.count", GGUF_I32);
        put_u32(&values, (uint32_t)(claims ? claims : n));
        char *path = part_path(i + 1);
        put_file(path, &values, own + 3, first[i], count[i]);
        free(path);
        strbuf_clear(&values);
    }
    strbuf_clear(&settings);
}

/* ---- comparisons ----------------------------------------------------------------------------- */

/* All but the name is that of the golden file. */
static void assert_same(const char *path)
{
    Err err;
    Container *want, *got;
    DifferenceList list;
    ASSERT_OK(gguf_import(path, NULL, folder_path("got.h5"), &err));
    ASSERT_OK(container_open(&want, folder_path("want.h5"), &err));
    ASSERT_OK(container_open(&got, folder_path("got.h5"), &err));
    ASSERT_OK(containers_compare(want, got, 0.0, &list, &err));
    for (int64_t i = 0; i < list.count; i++)
        if (strcmp(list.items[i].path, "/meta") != 0)
            fail_msg("%s: %s differs", path, list.items[i].path);
    free(list.items);
    container_close(want);
    container_close(got);
}

static void assert_refused(const char *path, const char *said)
{
    Err err = {.text = ""};
    assert_int_equal(gguf_import(path, NULL, folder_path("never.h5"), &err), STATUS_FAIL);
    if (!strstr(err.text, said))
        fail_msg("'%s' does not say '%s'", err.text, said);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void any_part_stands_for_all(void **state)
{
    (void)state;
    put_parts(0);
    for (int i = 1; i <= 3; i++) {
        char *path = part_path(i);
        assert_same(path);
        free(path);
    }
}

static void parts_that_do_not_belong_are_named(void **state)
{
    (void)state;
    char *paths[] = {part_path(1), part_path(2), part_path(3)};
    put_parts(0);
    assert_int_equal(unlink(paths[2]), 0);
    assert_refused(paths[0], "m-00003-of-00003.gguf, which is not there");
    assert_refused(paths[1], "m-00003-of-00003.gguf, which is not there");
    put_parts(0);
    assert_int_equal(rename(paths[1], paths[2]), 0);
    assert_refused(paths[0], "m-00002-of-00003.gguf, which is not there");
    put_parts(0);
    assert_int_equal(rename(paths[2], paths[1]), 0);
    assert_refused(paths[0], "m-00002-of-00003.gguf is not part 2 of 3");
    put_parts(77);
    assert_refused(paths[0], "it says 77");
    put_parts(0);
    assert_int_equal(rename(paths[0], folder_path("renamed.gguf")), 0);
    assert_refused(folder_path("renamed.gguf"), "its name does not tell");
    for (int i = 0; i < 3; i++)
        free(paths[i]);
}

/* Settings as other writers store them: replaced by name, in any type. */
static void replace_value(StrBuf *values, const char *key, size_t old_bytes, const StrBuf *by)
{
    StrBuf out = {0}, name = {0};
    put_text(&name, key);
    char *at = memmem(values->data, (size_t)values->size, name.data, (size_t)name.size);
    assert_non_null(at);
    strbuf_append(&out, values->data, (size_t)(at - values->data));
    put(&out, by->data, (size_t)by->size);
    at += name.size + 4 + (int64_t)old_bytes;
    strbuf_append(&out, at, (size_t)(values->data + values->size - at));
    strbuf_clear(&name);
    strbuf_clear(values);
    *values = out;
}

static void values_of_unusual_types_are_read(void **state)
{
    (void)state;
    Err err;
    GgufFile *file;
    int64_t n_values;
    char *path = xstrdup(folder_path("odd.gguf"));
    ASSERT_OK(gguf_open(&file, golden, &err));
    int64_t n = gguf_tensor_count(file);
    gguf_close(file);
    StrBuf values = golden_values(&n_values), one = {0};
    put_key(&one, "llama.context_length", GGUF_U64);
    put_u64(&one, 64);
    replace_value(&values, "llama.context_length", 4, &one);
    strbuf_reset(&one);
    put_key(&one, "llama.attention.head_count", GGUF_ARRAY);
    put_u32(&one, GGUF_U32);
    put_u64(&one, 3);
    for (int i = 0; i < 3; i++)
        put_u32(&one, 2);
    replace_value(&values, "llama.attention.head_count", 4, &one);
    strbuf_reset(&one);
    put_key(&one, "llama.rope.freq_base", GGUF_U32);
    put_u32(&one, 700);
    replace_value(&values, "llama.rope.freq_base", 4, &one);
    /* Values that nothing here reads. */
    put_key(&values, "odd.nested", GGUF_ARRAY);
    put_u32(&values, GGUF_ARRAY);
    put_u64(&values, 2);
    put_u32(&values, GGUF_STRING);
    put_u64(&values, 1);
    put_text(&values, "inner");
    put_u32(&values, GGUF_F64);
    put_u64(&values, 0);
    put_key(&values, "odd.most", GGUF_U64);
    put_u64(&values, UINT64_MAX);
    put_key(&values, "odd.huge", GGUF_STRING);
    put_u64(&values, 3 << 20);
    for (int i = 0; i < 3 << 20; i++)
        strbuf_putc(&values, '\0');
    put_file(path, &values, n_values + 3, 0, n);
    assert_same(path);

    ASSERT_OK(gguf_open(&file, path, &err));
    int64_t number;
    bool flag;
    assert_int_equal(gguf_find(file, "odd.nested")->count, 2);
    assert_int_equal(gguf_get_int(file, "odd.nested", &number, &err), STATUS_FAIL);
    assert_int_equal(gguf_get_int(file, "odd.most", &number, &err), STATUS_FAIL);
    assert_int_equal(gguf_get_bool(file, "odd.most", &flag, &err), STATUS_FAIL);
    assert_int_equal(gguf_get_bool(file, "odd.huge", &flag, &err), STATUS_FAIL);
    gguf_close(file);

    strbuf_clear(&one);
    put_key(&one, "llama.attention.head_count_kv", GGUF_ARRAY);
    put_u32(&one, GGUF_I32);
    put_u64(&one, 2);
    put_u32(&one, 1);
    put_u32(&one, 2);
    replace_value(&values, "llama.attention.head_count_kv", 4, &one);
    put_file(path, &values, n_values + 3, 0, n);
    assert_refused(path, "differs between layers");
    free(path);
    strbuf_clear(&values);
    strbuf_clear(&one);
}

static int set_up(void **state)
{
    Err err;
    folder_set_up(state);
    return gguf_import(golden, NULL, folder_path("want.h5"), &err) != STATUS_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_stands_for_all),
        cmocka_unit_test(parts_that_do_not_belong_are_named),
        cmocka_unit_test(values_of_unusual_types_are_read),
    };
    return cmocka_run_group_tests(tests, set_up, folder_tear_down);
}
