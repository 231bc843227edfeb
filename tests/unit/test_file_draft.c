/* Files that are whole or absent, and locks, among several processes: no two writers share a
 * temporary file, what a killed one leaves is cleared away, and a lock lives as long as its
 * process.
 */
#include <setjmp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/file_lock.h"
#include "core/base/mem.h"
#include "tests/support/assert_ok.h"
#include "tests/support/folder.h"

/* A process that does `work` and then waits to be killed; it writes a byte when it is ready. */
static pid_t start(void (*work)(const char *path), const char *path)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        work(path);
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void stop(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void write_half(const char *path)
{
    FileDraft draft;
    Err err;
    if (file_draft_init(&draft, path, &err) != STATUS_OK)
        _exit(1);
    FILE *stream = fopen(draft.temporary, "wb");
    fputs("half", stream);
    fflush(stream);
}

static void two_writers_share_no_file(void **state)
{
    (void)state;
    Err err;
    char *path = xstrdup(folder_path("shared"));
    FileDraft a, b;
    pid_t child = start(write_half, path);
    ASSERT_OK(file_draft_init(&a, path, &err));
    ASSERT_OK(file_draft_init(&b, path, &err));
    assert_string_not_equal(a.temporary, b.temporary);
    assert_int_equal(folder_temporaries(), 3); /* the living process's is left alone */
    folder_put(file_base_name(a.temporary), "first", -1);
    folder_put(file_base_name(b.temporary), "second", -1);
    ASSERT_OK(file_draft_commit(&b, &err));
    ASSERT_OK(file_draft_commit(&a, &err));
    StrBuf content = {0};
    ASSERT_OK(file_read(path, 0, &content, &err));
    assert_string_equal(content.data, "first");
    strbuf_clear(&content);
    assert_int_equal(folder_temporaries(), 1);
    stop(child);
    free(path);
}

static void what_a_killed_writer_leaves_goes_with_the_next(void **state)
{
    (void)state;
    Err err;
    char *path = xstrdup(folder_path("left")), *other = xstrdup(folder_path("left.too"));
    stop(start(write_half, path));
    stop(start(write_half, other));
    assert_false(file_exists(path));
    int before = folder_temporaries();
    assert_true(before >= 2);
    ASSERT_OK(file_write(path, "whole", 5, &err));
    assert_int_equal(folder_temporaries(), before - 1); /* the other file's is not its business */
    ASSERT_OK(file_write(other, "whole", 5, &err));
    assert_int_equal(folder_temporaries(), before - 2);
    free(path);
    free(other);
}

static void a_draft_that_cannot_be_made_names_the_file(void **state)
{
    (void)state;
    Err err;
    FileDraft draft;
    assert_int_equal(file_draft_init(&draft, "/nowhere/at/all", &err), STATUS_FAIL);
    assert_non_null(strstr(err.text, "cannot create /nowhere/at/all: No such file"));
    file_draft_abandon(&draft); /* ends nothing, closes nothing */
    assert_true(fcntl(0, F_GETFD) >= 0);
}

static void scratch_has_no_name(void **state)
{
    (void)state;
    Err err;
    int before = folder_temporaries();
    FILE *a = file_scratch(folder_path("scratch"), &err);
    FILE *b = file_scratch(folder_path("scratch"), &err);
    assert_true(a && b);
    assert_int_equal(folder_temporaries(), before);
    assert_true(fputs("a", a) >= 0 && fputs("b", b) >= 0);
    rewind(a);
    assert_int_equal(fgetc(a), 'a');
    fclose(a);
    fclose(b);
}

/* ---- locks ------------------------------------------------------------------------------------
 */

static void hold(const char *path)
{
    FileLock lock;
    Err err;
    if (file_lock_take(&lock, path, "waits", &err) != STATUS_OK)
        _exit(1);
}

static void a_lock_names_who_has_it_and_dies_with_it(void **state)
{
    (void)state;
    Err err;
    FileLock lock;
    char *path = xstrdup(folder_path("run.lock")), host[256] = "", wanted[400];
    gethostname(host, sizeof host - 1);
    pid_t child = start(hold, path);
    assert_int_equal(file_lock_take(&lock, path, "trains in r", &err), STATUS_FAIL);
    snprintf(wanted, sizeof wanted, "another process (pid %ld, %s) trains in r", (long)child, host);
    assert_non_null(strstr(err.text, wanted));
    file_lock_release(&lock); /* not held: nothing happens */
    assert_true(file_exists(path));
    stop(child);
    assert_true(file_exists(path)); /* it was killed, yet nothing is in the way */
    ASSERT_OK(file_lock_take(&lock, path, "trains in r", &err));
    file_lock_release(&lock);
    assert_false(file_exists(path));
    ASSERT_OK(file_lock_take(&lock, path, "trains in r", &err));
    file_lock_release(&lock);
    free(path);
}

/* Many processes add 1 to a number in turn: none is lost. */
static void one_holder_at_a_time(void **state)
{
    (void)state;
    enum { PROCESSES = 6, TIMES = 40 };
    char *path = xstrdup(folder_path("many.lock")), *number = xstrdup(folder_path("number"));
    Err err;
    ASSERT_OK(file_write(number, "0", 1, &err));
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() != 0)
            continue;
        for (int i = 0; i < TIMES; i++) {
            FileLock lock;
            StrBuf content = {0};
            while (file_lock_take(&lock, path, "counts", &err) != STATUS_OK)
                usleep(100);
            if (file_read(number, 0, &content, &err) != STATUS_OK)
                _exit(1);
            char text[16];
            int n = snprintf(text, sizeof text, "%d", atoi(content.data) + 1);
            FILE *stream = fopen(number, "w");
            fwrite(text, 1, (size_t)n, stream);
            fclose(stream);
            strbuf_clear(&content);
            file_lock_release(&lock);
        }
        _exit(0);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        wait(&status);
        assert_int_equal(status, 0);
    }
    StrBuf content = {0};
    ASSERT_OK(file_read(number, 0, &content, &err));
    assert_int_equal(atoi(content.data), PROCESSES * TIMES);
    strbuf_clear(&content);
    free(path);
    free(number);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_writers_share_no_file),
        cmocka_unit_test(what_a_killed_writer_leaves_goes_with_the_next),
        cmocka_unit_test(a_draft_that_cannot_be_made_names_the_file),
        cmocka_unit_test(scratch_has_no_name),
        cmocka_unit_test(a_lock_names_who_has_it_and_dies_with_it),
        cmocka_unit_test(one_holder_at_a_time),
    };
    return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
