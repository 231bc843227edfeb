/* Table files: tokenizer and values come back, the hash is that of the float32 values, and files
 * that contradict themselves are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"
#include "core/io/table.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"

enum { COLS = 24 };

static void sample_spec(TokenizerSpec *spec)
{
    spec_start(spec);
    spec_bytes(spec);
    int32_t a = spec_text(spec, "a"), b = spec_text(spec, "b");
    spec_merge(spec, spec_merge(spec, a, b), a);
    spec->eos = spec_token(spec, "<end>", 5, TOKEN_SPECIAL);
    spec->pattern = xstrdup("\\w+|\\s+");
    spec->nfc = true;
    free(spec->name);
    spec->name = xstrdup("sample");
}

/* Writes a table of the given type whose value (i, j) is i + 2 j, small enough to be exact. */
static Status save_sample(const char *path, DType dtype, const TokenizerSpec *spec, Err *err)
{
    int64_t rows = spec->n_tokens;
    float *wide = xmalloc((size_t)(rows * COLS) * sizeof *wide);
    uint16_t *half = xmalloc((size_t)(rows * COLS) * sizeof *half);
    uint8_t *bits = xmalloc((size_t)(rows * COLS));
    for (int64_t i = 0; i < rows * COLS; i++) {
        bits[i] = (uint8_t)((i / COLS + 2 * (i % COLS)) % 128);
        wide[i] = bits[i];
        half[i] = f32_to_bf16(wide[i]);
    }
    const void *values = dtype == DTYPE_F32    ? (void *)wide
                         : dtype == DTYPE_BF16 ? (void *)half
                                               : bits;
    json_t *recipe = json_pack("{s:s, s:i}", "name", "sample", "bits", 7);
    TableSave save = {.path = path,
                      .tokenizer = spec,
                      .shape = tensor_2d(NULL, dtype, rows, COLS),
                      .values = values,
                      .recipe = recipe};
    Status status = table_save(&save, err);
    json_decref(recipe);
    free(wide);
    free(half);
    free(bits);
    return status;
}

static void tokenizer_comes_back(void **state)
{
    (void)state;
    Err err;
    TokenizerSpec spec, other;
    Container *file;
    Tokenizer *tokenizer;
    sample_spec(&spec);
    ASSERT_OK(save_sample(folder_path("a.h5"), DTYPE_F32, &spec, &err));
    ASSERT_OK(container_open(&file, folder_path("a.h5"), &err));
    ASSERT_OK(tokenizer_spec_read(file, &other, &err));
    assert_int_equal(other.n_tokens, spec.n_tokens);
    assert_int_equal(other.n_merges, spec.n_merges);
    assert_int_equal(other.eos, spec.eos);
    assert_string_equal(other.name, "sample");
    assert_string_equal(other.pattern, spec.pattern);
    assert_true(other.nfc);
    Sha256 a = tokenizer_hash(&spec), b = tokenizer_hash(&other);
    assert_memory_equal(a.bytes, b.bytes, sizeof a.bytes);
    other.merges[0] ^= 1;
    b = tokenizer_hash(&other);
    assert_memory_not_equal(a.bytes, b.bytes, sizeof a.bytes);
    ASSERT_OK(tokenizer_read(file, &tokenizer, &err));
    IdList ids = {0};
    tokenizer_encode(tokenizer, "aba", 3, &ids);
    assert_int_equal(ids.count, 1);
    id_list_clear(&ids);
    tokenizer_free(tokenizer);
    tokenizer_spec_clear(&other);
    tokenizer_spec_clear(&spec);
    container_close(file);
}

static void hash_is_of_the_float_values(void **state)
{
    (void)state;
    Err err;
    TokenizerSpec spec;
    sample_spec(&spec);
    static const DType types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_U8};
    char first[SHA256_TEXT] = "";
    Device device;
    backend_cpu_register();
    ASSERT_OK(device_open(&device, "cpu", &err));
    for (int i = 0; i < 3; i++) {
        Container *file;
        TableInfo info;
        json_t *meta;
        Substrate substrate;
        ASSERT_OK(save_sample(folder_path("b.h5"), types[i], &spec, &err));
        ASSERT_OK(container_open(&file, folder_path("b.h5"), &err));
        ASSERT_OK(table_info_read(file, &info, &meta, &err));
        assert_int_equal(info.rows, spec.n_tokens);
        assert_int_equal(info.cols, COLS);
        assert_int_equal(json_integer_value(json_object_get(info.recipe, "bits")), 7);
        if (i == 0)
            memcpy(first, info.hash, sizeof first);
        assert_string_equal(info.hash, first);
        ASSERT_OK(table_load(file, "/embedding", &info, &device, &substrate, &err));
        assert_int_equal(substrate.table.dtype, types[i]);
        assert_string_equal(substrate.hash, first);
        device.ops->free(substrate.table.data);
        info.hash[0] = info.hash[0] == '0' ? '1' : '0';
        assert_int_equal(table_load(file, "/embedding", &info, &device, &substrate, &err),
                         STATUS_FAIL);
        json_decref(meta);
        container_close(file);
    }
    device_close(&device);
    tokenizer_spec_clear(&spec);
}

/* A container with a tokenizer whose offsets are wrong, and one of another kind. */
static void contradictions_are_refused(void **state)
{
    (void)state;
    Err err;
    ContainerWriter *writer;
    Container *file;
    TokenizerSpec spec, other;
    sample_spec(&spec);
    spec.offsets[3] += 1000000;
    ASSERT_OK(container_create(&writer, folder_path("c.h5"), &err));
    ASSERT_OK(tokenizer_put(writer, &spec, &err));
    json_t *meta = json_pack("{s:i, s:s}", "format", FILE_FORMAT_TABLES + 1, "kind", "table");
    ASSERT_OK(container_put_json(writer, "/meta", meta, &err));
    json_decref(meta);
    ASSERT_OK(container_commit(writer, &err));
    ASSERT_OK(container_open(&file, folder_path("c.h5"), &err));
    assert_int_equal(tokenizer_spec_read(file, &other, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "offsets"));
    TableInfo info;
    assert_int_equal(table_info_read(file, &info, &meta, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "newer"));
    container_close(file);
    tokenizer_spec_clear(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizer_comes_back),
        cmocka_unit_test(hash_is_of_the_float_values),
        cmocka_unit_test(contradictions_are_refused),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
