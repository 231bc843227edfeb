/* The cached prefix: what comes back is what was kept, in memory and on disk; failures are told. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "grow/prefix_cache.h"
#include "grow/stages.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_model.h"

enum { WINDOWS = 7, T = 3, C = 5, ROWS = 2 };

static Tensor rows_of(float first)
{
    Err err;
    float values[ROWS * T * C];
    Tensor x = tensor_2d(NULL, DTYPE_F32, ROWS * T, C);
    for (int i = 0; i < ROWS * T * C; i++)
        values[i] = first + (float)i;
    ASSERT_OK(device_tensor(tiny_device(), &x, "rows", &err));
    ASSERT_OK(device_upload(tiny_device(), &x, values, &err));
    return x;
}

static float first_of(const Tensor *x, int row)
{
    Err err;
    float values[ROWS * T * C];
    ASSERT_OK(device_download(tiny_device(), x, values, &err));
    return values[row * T * C];
}

static void keeps(PrefixStore *store)
{
    Err err;
    PrefixKeeper *keeper;
    bool found = true;
    ASSERT_OK(prefix_keeper_new(&keeper, tiny_device(), store, WINDOWS, T, C, &err));
    PrefixCache cache = prefix_keeper_cache(keeper);
    Tensor a = rows_of(100.0f), b = rows_of(200.0f), x = rows_of(0.0f);
    const int64_t first[ROWS] = {0, 6}, second[ROWS] = {3, 2}, mixed[ROWS] = {6, 3},
                  new[ROWS] = {6, 1};
    ASSERT_OK(cache.get(cache.context, first, ROWS, &x, &found, &err));
    assert_false(found);
    ASSERT_OK(cache.put(cache.context, first, ROWS, &a, &err));
    ASSERT_OK(cache.put(cache.context, second, ROWS, &b, &err));
    ASSERT_OK(cache.get(cache.context, mixed, ROWS, &x, &found, &err));
    assert_true(found);
    assert_true(first_of(&x, 0) == 100.0f + T * C);
    assert_true(first_of(&x, 1) == 200.0f);
    ASSERT_OK(cache.get(cache.context, new, ROWS, &x, &found, &err));
    assert_false(found);
    tiny_device()->ops->free(a.data);
    tiny_device()->ops->free(b.data);
    tiny_device()->ops->free(x.data);
    prefix_keeper_free(keeper);
}

static void memory_keeps(void **state)
{
    (void)state;
    Err err;
    PrefixStore *store;
    ASSERT_OK(prefix_store_ram(&store, WINDOWS, T * C, &err));
    keeps(store);
}

static void disk_keeps_and_leaves_nothing(void **state)
{
    (void)state;
    const char *path = folder_path("prefix.h5");
    Err err;
    PrefixStore *store;
    ASSERT_OK(prefix_store_disk(&store, path, WINDOWS, T * C, &err));
    assert_false(file_exists(path));
    keeps(store);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    const char *path = folder_path("prefix.h5");
    Err err = {.text = ""};
    PrefixStore *store;
    enum { COUNT = 1 << 14 }; /* 64 KiB a window */
    static float values[COUNT];
    ASSERT_OK(prefix_store_disk(&store, path, WINDOWS, COUNT, &err));
    struct rlimit old, small = {.rlim_cur = 100 << 10};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    Status status = store->write(store, 0, values, &err);
    Status full = store->write(store, 5, values, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(full, STATUS_FAIL);
    assert_non_null(strstr(err.text, "prefix.h5"));
    assert_non_null(strstr(err.text, "make room"));
    store->free(store);
}

static void a_missing_folder_is_told(void **state)
{
    (void)state;
    Err err = {.text = ""};
    PrefixStore *store;
    assert_int_equal(prefix_store_disk(&store, "/nowhere/at/all.h5", WINDOWS, 4, &err),
                     STATUS_FAIL);
    assert_non_null(strstr(err.text, "/nowhere/at/all.h5"));
}

static void room_is_asked_for_beforehand(void **state)
{
    (void)state;
    Err err = {.text = ""};
    ASSERT_OK(stage_prefix_fits(PREFIX_RAM, 500, 400.0, 1000.0, &err));
    ASSERT_OK(stage_prefix_fits(PREFIX_RAM, 500, 400.0, 0.0, &err)); /* nothing is known */
    ASSERT_OK(stage_prefix_fits(PREFIX_DISK, 900, 400.0, 1000.0, &err));
    ASSERT_OK(stage_prefix_fits(PREFIX_OFF, 5000, 400.0, 1000.0, &err));
    assert_int_equal(stage_prefix_fits(PREFIX_RAM, 700, 400.0, 1000.0, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "--cache-prefix disk"));
    assert_int_equal(stage_prefix_fits(PREFIX_DISK, 1100, 0.0, 1000.0, &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "make room"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_asked_for_beforehand),  cmocka_unit_test(memory_keeps),
        cmocka_unit_test(disk_keeps_and_leaves_nothing), cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(a_missing_folder_is_told),
    };
    folder_begin();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_end();
    return failed;
}
