/* Containers: what goes in comes out, the same content gives the same bytes, and a file that was
 * cut, altered or never finished is refused in one sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/io/container.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

static char *sample; /* the path of a file that write_sample wrote */

enum { BIG = 600000 }; /* float32 values: three slices */

static float big[BIG];

static StrBuf content_of(const char *path)
{
    StrBuf content = {0};
    Err err;
    ASSERT_OK(file_read(path, 0, &content, &err));
    return content;
}

static Status put_sample(ContainerWriter *writer, Err *err)
{
    int64_t offsets[3] = {0, 1, INT64_MAX};
    int8_t bytes[2][3] = {{1, -2, 3}, {-4, 5, -128}};
    uint16_t halves[5] = {1, 2, 3, 0x3f80, 65535};
    int32_t scalar = -7;
    Tensor shape = tensor_2d(NULL, DTYPE_F32, BIG / 6, 6);
    TRY(container_put(writer, "/experts/0/big", &shape, big, err));
    TRY(container_put_attribute(writer, "/experts/0/big", "frozen", "0123", err));
    shape = tensor_1d(NULL, DTYPE_I64, 3);
    TRY(container_put(writer, "/tokenizer/offsets", &shape, offsets, err));
    shape = tensor_2d(NULL, DTYPE_I8, 2, 3);
    TRY(container_put(writer, "/experts/0/bytes", &shape, bytes, err));
    shape = tensor_1d(NULL, DTYPE_BF16, 5);
    TRY(container_put(writer, "/experts/0/half", &shape, halves, err));
    shape = tensor_1d(NULL, DTYPE_U8, 0);
    TRY(container_put(writer, "/empty", &shape, NULL, err));
    shape = (Tensor){.dtype = DTYPE_I32};
    TRY(container_put(writer, "/scalar", &shape, &scalar, err));
    TRY(container_put_text(writer, "/note", "", err));
    json_t *meta = json_pack("{s:s, s:[i,i]}", "kind", "sample", "list", 1, 2);
    Status status = container_put_json(writer, "/meta", meta, err);
    json_decref(meta);
    return status;
}

static Status write_sample(const char *path, Err *err)
{
    ContainerWriter *writer;
    TRY(container_create(&writer, path, err));
    Status status = put_sample(writer, err);
    if (status != STATUS_OK) {
        container_abandon(writer);
        return status;
    }
    return container_commit(writer, err);
}

static int set_up(void **state)
{
    (void)state;
    folder_begin();
    Rng rng;
    rng_init(&rng, 1, 0);
    for (int64_t i = 0; i < BIG; i++)
        big[i] = (float)rng_normal(&rng);
    sample = xstrdup(folder_path("sample.h5"));
    Err err;
    return write_sample(sample, &err) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(sample);
    folder_end();
    return 0;
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    Err err;
    Container *file;
    ASSERT_OK(container_open(&file, sample, &err));
    assert_int_equal(container_count(file), 8);
    const void *data;
    ASSERT_OK(container_map(file, "/experts/0/big", &data, &err));
    assert_memory_equal(data, big, sizeof big);
    float *copy = xmalloc(sizeof big);
    Tensor shape = tensor_2d(NULL, DTYPE_F32, BIG / 6, 6);
    ASSERT_OK(container_read(file, "/experts/0/big", &shape, copy, &err));
    assert_memory_equal(copy, big, sizeof big);
    free(copy);
    assert_string_equal(container_attribute(file, "/experts/0/big", "frozen"), "0123");
    assert_string_equal(container_attribute_name(file, "/experts/0/big", 0), "frozen");
    assert_null(container_attribute_name(file, "/experts/0/big", 1));
    ASSERT_OK(container_shape(file, "/experts/0/half", &shape, &err));
    assert_int_equal(shape.dtype, DTYPE_BF16);
    ASSERT_OK(container_shape(file, "/scalar", &shape, &err));
    assert_int_equal(shape.n_dims, 0);
    ASSERT_OK(container_map(file, "/scalar", &data, &err));
    assert_int_equal(*(const int32_t *)data, -7);
    ASSERT_OK(container_map(file, "/tokenizer/offsets", &data, &err));
    assert_true(((const int64_t *)data)[2] == INT64_MAX);
    const char *text;
    ASSERT_OK(container_text(file, "/note", &text, &err));
    assert_string_equal(text, "");
    json_t *meta;
    ASSERT_OK(container_json(file, "/meta", &meta, &err));
    assert_string_equal(json_string_value(json_object_get(meta, "kind")), "sample");
    json_decref(meta);
    assert_true(container_has_group(file, "/experts/0"));
    assert_false(container_has_group(file, "/experts/1"));
    ASSERT_OK(container_verify(file, &err));
    container_close(file);
}

static void large_tensors_are_aligned(void **state)
{
    (void)state;
    Err err;
    Container *file;
    const void *data;
    ASSERT_OK(container_open(&file, sample, &err));
    ASSERT_OK(container_map(file, "/experts/0/big", &data, &err));
    assert_int_equal((uintptr_t)data % 4096, 0);
    container_close(file);
}

static void what_is_missing_or_of_another_kind_is_named(void **state)
{
    (void)state;
    Err err;
    Container *file;
    const void *data;
    const char *text;
    char buffer[64];
    ASSERT_OK(container_open(&file, sample, &err));
    assert_int_equal(container_map(file, "/nothing", &data, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "/nothing"));
    assert_int_equal(container_map(file, "/meta", &data, &err), STATUS_FAIL);
    assert_int_equal(container_text(file, "/scalar", &text, &err), STATUS_FAIL);
    Tensor shape = tensor_1d(NULL, DTYPE_F32, 5);
    assert_int_equal(container_read(file, "/experts/0/half", &shape, buffer, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "bfloat16 (5) where float32 (5) is needed"));
    container_close(file);
}

static void same_content_gives_same_bytes(void **state)
{
    (void)state;
    Err err;
    const char *other = folder_path("other.h5");
    /* Fresh memory is filled differently, so that bytes the library never set would show. */
    mallopt(M_PERTURB, 0x5a);
    Status status = write_sample(other, &err);
    mallopt(M_PERTURB, 0);
    ASSERT_OK(status);
    StrBuf a = content_of(sample), b = content_of(other);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, (size_t)a.size);
    strbuf_clear(&a);
    strbuf_clear(&b);
}

static void pieces_and_copies_equal_the_whole(void **state)
{
    (void)state;
    Err err;
    const char *path = folder_path("pieces.h5");
    Container *from, *file;
    ContainerWriter *writer;
    ASSERT_OK(container_open(&from, sample, &err));
    ASSERT_OK(container_create(&writer, path, &err));
    Tensor shape = tensor_1d(NULL, DTYPE_F32, BIG);
    ASSERT_OK(container_begin(writer, "/pieces", &shape, &err));
    Rng rng;
    rng_init(&rng, 2, 0);
    for (size_t at = 0; at < sizeof big;) {
        size_t piece = (size_t)rng_below(&rng, 3 * CONTAINER_SLICE / 2);
        if (piece > sizeof big - at)
            piece = sizeof big - at;
        ASSERT_OK(container_append(writer, (char *)big + at, piece, &err));
        at += piece;
    }
    ASSERT_OK(container_end(writer, &err));
    ASSERT_OK(container_copy(writer, "/copy", from, "/experts/0/big", &err));
    ASSERT_OK(container_copy(writer, "/words", from, "/meta", &err));
    ASSERT_OK(container_commit(writer, &err));
    ASSERT_OK(container_open(&file, path, &err));
    const void *data;
    ASSERT_OK(container_map(file, "/pieces", &data, &err));
    assert_memory_equal(data, big, sizeof big);
    ASSERT_OK(container_map(file, "/copy", &data, &err));
    assert_memory_equal(data, big, sizeof big);
    assert_string_equal(container_attribute(file, "/copy", "frozen"), "0123");
    container_close(file);
    container_close(from);
}

/* Opens and verifies a damaged file; a failure must come with a sentence that names it. */
static Status try_file(const char *path)
{
    Err err = {.text = ""};
    Container *file;
    Status status = container_open(&file, path, &err);
    if (status == STATUS_OK)
        status = container_verify(file, &err);
    container_close(file);
    if (status != STATUS_OK)
        assert_non_null(strstr(err.text, "damaged.h5"));
    return status;
}

static void put_byte(const char *path, int64_t at, char byte)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    StrBuf content = content_of(sample);
    const char *path = folder_put("damaged.h5", content.data, content.size);
    assert_int_equal(try_file(path), STATUS_OK);
    Rng rng;
    rng_init(&rng, 3, 0);
    /* Half of the places near the ends, where the library's own records lie. */
    for (int i = 0; i < 400; i++) {
        int64_t at = i % 4 == 0   ? rng_below(&rng, 8192)
                     : i % 4 == 1 ? content.size - 1 - rng_below(&rng, 8192)
                                  : rng_below(&rng, content.size);
        put_byte(path, at, (char)(content.data[at] ^ (1 << rng_below(&rng, 8))));
        if (try_file(path) == STATUS_OK)
            fail_msg("a flipped bit at byte %lld was not found", (long long)at);
        put_byte(path, at, content.data[at]);
    }
    strbuf_clear(&content);
}

static void every_truncation_is_found(void **state)
{
    (void)state;
    StrBuf content = content_of(sample);
    const char *path = folder_put("damaged.h5", content.data, content.size);
    assert_int_equal(truncate(path, content.size - 1), 0);
    assert_int_equal(try_file(path), STATUS_FAIL);
    for (int64_t bytes = content.size / 4096 * 4096; bytes >= 0; bytes -= 4096) {
        assert_int_equal(truncate(path, bytes), 0);
        assert_int_equal(try_file(path), STATUS_FAIL);
    }
    folder_put("damaged.h5", "{\"not\": \"hdf5\"}", 15);
    assert_int_equal(try_file(path), STATUS_FAIL);
    strbuf_clear(&content);
}

static void a_full_disk_leaves_the_previous_file(void **state)
{
    (void)state;
    Err err;
    const char *path = folder_path("kept.h5");
    ASSERT_OK(write_sample(path, &err));
    StrBuf before = content_of(path);
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    int failures = 0;
    for (rlim_t limit = 0; limit < (rlim_t)before.size; limit += 50000) {
        low = (struct rlimit){limit, old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        Status status = write_sample(path, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(status, STATUS_FAIL);
        assert_non_null(strstr(err.text, "File too large"));
        failures++;
    }
    /* The last bytes are the library's own records and the seal. */
    for (int64_t less = 1; less < 8192; less += 700) {
        low = (struct rlimit){(rlim_t)(before.size - less), old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        Status status = write_sample(path, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(status, STATUS_FAIL);
    }
    assert_true(failures > 10);
    StrBuf after = content_of(path);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, (size_t)before.size);
    assert_int_equal(folder_temporaries(), 0);
    strbuf_clear(&before);
    strbuf_clear(&after);
}

static void an_abandoned_file_leaves_nothing(void **state)
{
    (void)state;
    Err err;
    const char *path = folder_path("abandoned.h5");
    ContainerWriter *writer;
    ASSERT_OK(container_create(&writer, path, &err));
    Tensor shape = tensor_1d(NULL, DTYPE_F32, BIG);
    ASSERT_OK(container_begin(writer, "/half", &shape, &err));
    ASSERT_OK(container_append(writer, big, 1000, &err));
    assert_int_equal(folder_temporaries(), 1);
    container_abandon(writer);
    assert_int_equal(folder_temporaries(), 0);
    assert_false(file_exists(path));
    assert_int_equal(container_create(&writer, "/nowhere/at/all.h5", &err), STATUS_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(large_tensors_are_aligned),
        cmocka_unit_test(what_is_missing_or_of_another_kind_is_named),
        cmocka_unit_test(same_content_gives_same_bytes),
        cmocka_unit_test(pieces_and_copies_equal_the_whole),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(every_truncation_is_found),
        cmocka_unit_test(a_full_disk_leaves_the_previous_file),
        cmocka_unit_test(an_abandoned_file_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
