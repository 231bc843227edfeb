/* The line of a progress bar: it fits the terminal, whatever its width. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/log.h"

static void assert_line(int columns, const char *note, const char *wanted)
{
    Progress progress = {.what = "step", .total = 40, .started = 100.0};
    StrBuf line = {0};
    progress_text(&progress, 10, note, 110.0, columns, &line);
    assert_string_equal(line.data, wanted);
    strbuf_clear(&line);
}

static void lines_fit_their_terminal(void **state)
{
    (void)state;
    assert_line(80, NULL, "step 10/40 [######..................] ETA 0:30");
    assert_line(80, "loss 3.2", "step 10/40 [######..................] ETA 0:30  loss 3.2");
    assert_line(47, NULL, "step 10/40 [######..................] ETA 0:30");
    assert_line(46, NULL, "step 10/40 ETA 0:30");
    assert_line(30, "loss 3.2, 7012 tokens/s", "step 10/40 ETA 0:30  loss 3.2");
    assert_line(11, NULL, "step 10/40");
    assert_line(1, NULL, "");
    assert_line(24, "жжж", "step 10/40 ETA 0:30  жж");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_fit_their_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
