/* safetensors and npy: written files come back, and whatever is cut or altered gives one sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/io/npy.h"
#include "core/io/safetensors.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

static const float values[6] = {1, -2, 3.5f, 0, 1e-30f, 7};
static const uint16_t halves[4] = {0x3c00, 0xc000, 0x0001, 0x7bff}; /* 1, -2, 2^-24, 65504 */

static StrBuf content_of(const char *path)
{
    StrBuf content = {0};
    Err err;
    ASSERT_OK(file_read(path, 0, &content, &err));
    return content;
}

static const char *write_sample(void)
{
    Err err;
    SafeWriter *writer;
    const SafeEntry entries[] = {
        {.name = "model.weight", .type = STORED_F32, .n_dims = 2, .shape = {2, 3}},
        {.name = "half", .type = STORED_F16, .n_dims = 1, .shape = {4}},
        {.name = "empty", .type = STORED_U8, .n_dims = 1, .shape = {0}},
    };
    const char *path = folder_path("sample.safetensors");
    ASSERT_OK(safe_create(&writer, path, entries, 3, &err));
    ASSERT_OK(safe_append(writer, values, 8, &err));
    ASSERT_OK(safe_append(writer, values + 2, sizeof values - 8, &err));
    ASSERT_OK(safe_append(writer, halves, sizeof halves, &err));
    ASSERT_OK(safe_commit(writer, &err));
    return path;
}

static void tensors_come_back(void **state)
{
    (void)state;
    Err err;
    SafeFile *file;
    ASSERT_OK(safe_open(&file, write_sample(), &err));
    assert_int_equal(safe_count(file), 3);
    assert_string_equal(safe_entry(file, 0)->name, "empty");
    const SafeEntry *entry = safe_find(file, "model.weight");
    assert_non_null(entry);
    assert_int_equal(entry->shape[1], 3);
    assert_memory_equal(entry->data, values, sizeof values);
    assert_int_equal((uintptr_t)entry->data % 8, 0);
    float wide[4];
    stored_to_f32(safe_find(file, "half")->data, STORED_F16, 0, 4, wide);
    assert_true(wide[0] == 1.0f && wide[1] == -2.0f && wide[2] == 0x1p-24f && wide[3] == 65504.0f);
    assert_null(safe_find(file, "nothing"));
    assert_string_equal(json_string_value(json_object_get(safe_metadata(file), "format")), "pt");
    safe_close(file);
}

static void damage_never_goes_unsaid(void **state)
{
    (void)state;
    Err err;
    SafeFile *file;
    StrBuf content = content_of(write_sample());
    for (int64_t bytes = 0; bytes < content.size; bytes++) {
        err.text[0] = '\0';
        assert_int_equal(safe_parse(&file, content.data, bytes, "cut.bin", &err), STATUS_FAIL);
        assert_non_null(strstr(err.text, "cut.bin"));
    }
    /* Altered headers may still be valid; they must not lead outside the file. */
    Rng rng;
    rng_init(&rng, 1, 0);
    char *copy = xmalloc((size_t)content.size);
    for (int i = 0; i < 20000; i++) {
        memcpy(copy, content.data, (size_t)content.size);
        for (int64_t n = 1 + rng_below(&rng, 3); n > 0; n--)
            copy[rng_below(&rng, content.size)] = (char)rng_below(&rng, 256);
        if (safe_parse(&file, copy, content.size, "altered.bin", &err) != STATUS_OK)
            continue;
        for (int64_t k = 0; k < safe_count(file); k++) {
            const SafeEntry *entry = safe_entry(file, k);
            const char *from = entry->data;
            assert_true(from >= copy && entry->bytes <= content.size - (from - copy));
        }
        safe_close(file);
    }
    free(copy);
    strbuf_clear(&content);
}

/* Wraps a header in a file with `bytes` bytes of data. */
static Status parse_header(const char *header, int64_t bytes)
{
    StrBuf all = {0};
    Err err = {.text = ""};
    uint64_t length = strlen(header);
    strbuf_append(&all, (const char *)&length, sizeof length);
    strbuf_puts(&all, header);
    for (int64_t i = 0; i < bytes; i++)
        strbuf_putc(&all, 'x');
    SafeFile *file;
    Status status = safe_parse(&file, all.data, all.size, "made.bin", &err);
    if (status == STATUS_OK)
        safe_close(file);
    else
        assert_non_null(strstr(err.text, "made.bin"));
    strbuf_clear(&all);
    return status;
}

static void hostile_headers_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse_header("{}", 0), STATUS_OK);
    assert_int_equal(parse_header("[]", 0), STATUS_FAIL);
    assert_int_equal(
        parse_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4),
        STATUS_OK);
    const char *const bad[] = {
        "{\"a\":3}",
        "{\"a\":{\"dtype\":\"U9\",\"shape\":[4],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,5]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[1,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4,1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse_header(bad[i], 4), STATUS_FAIL);
}

static void arrays_come_back(void **state)
{
    (void)state;
    Err err;
    NpyFile file;
    const char *path = folder_path("a.npy");
    ASSERT_OK(npy_write(path, STORED_F32, 2, 3, values, &err));
    ASSERT_OK(npy_open(&file, path, &err));
    assert_int_equal(file.type, STORED_F32);
    assert_int_equal(file.n_dims, 2);
    assert_int_equal(file.shape[0], 2);
    assert_memory_equal(file.data, values, sizeof values);
    npy_close(&file);
    StrBuf content = content_of(path);
    assert_int_equal((content.size - (int64_t)sizeof values) % 64, 0);
    for (int64_t bytes = 0; bytes < content.size; bytes++)
        assert_int_equal(npy_parse(&file, content.data, bytes, path, &err), STATUS_FAIL);
    Rng rng;
    rng_init(&rng, 1, 0);
    for (int i = 0; i < 20000; i++) {
        int64_t at = rng_below(&rng, content.size);
        char old = content.data[at];
        content.data[at] = (char)rng_below(&rng, 256);
        if (npy_parse(&file, content.data, content.size, path, &err) == STATUS_OK) {
            const char *from = file.data;
            assert_true(from >= content.data && from + file.bytes <= content.data + content.size);
        }
        content.data[at] = old;
    }
    strbuf_clear(&content);
}

static void every_type_has_values(void **state)
{
    (void)state;
    static const struct {
        StoredType type;
        const char bytes[9];
        double value;
    } cases[] = {
        {STORED_F64, "\0\0\0\0\0\0\xf8\x3f", 1.5},
        {STORED_F32, "\0\0\xc0\xbf", -1.5},
        {STORED_F16, "\0\xc0", -2.0},
        {STORED_BF16, "\x80\x3f", 1.0},
        {STORED_I64, "\xff\xff\xff\xff\xff\xff\xff\xff", -1.0},
        {STORED_I32, "\xfe\xff\xff\xff", -2.0},
        {STORED_I16, "\xff\x7f", 32767.0},
        {STORED_I8, "\x80", -128.0},
        {STORED_U64, "\0\0\0\0\0\0\0\x80", 0x1p63},
        {STORED_U32, "\xff\xff\xff\xff", 4294967295.0},
        {STORED_U16, "\xff\xff", 65535.0},
        {STORED_U8, "\xff", 255.0},
        {STORED_BOOL, "\1", 1.0},
        {STORED_F8_E4M3, "\x38", 1.0},
        {STORED_F8_E4M3, "\xfe", -448.0},
        {STORED_F8_E4M3, "\x01", 0x1p-9},
        {STORED_F8_E5M2, "\x3c", 1.0},
        {STORED_F8_E5M2, "\xfb", -57344.0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double value;
        stored_to_f64(cases[i].bytes, cases[i].type, 0, 1, &value);
        assert_true(value == cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_values),    cmocka_unit_test(tensors_come_back),
        cmocka_unit_test(damage_never_goes_unsaid), cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(arrays_come_back),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
