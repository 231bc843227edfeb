/* Options from a file and from the command line: which of them counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/cli/options.h"
#include "tests/support/folder.h"

typedef struct Settings {
    StringList data, fonts;
    int64_t steps;
} Settings;

static const Option options[] = {
    {"data", OPTION_INPUTS, offsetof(Settings, data), "FILE", NULL, "data", NULL, 'd', NULL},
    {"font", OPTION_LIST, offsetof(Settings, fonts), "FILE", "standard", "fonts", NULL, 0, NULL},
    {"steps", OPTION_INT, offsetof(Settings, steps), "N", "1", "steps", NULL, 0, NULL},
    {0},
};

static const Verb verb = {
    .name = "test", .positionals = "", .options = options, .settings_size = sizeof(Settings)};

/* "data|fonts|steps" of a file and a command line of words, or "! " and the error. */
static char *parsed(const char *file, const char *line)
{
    Settings settings;
    StringList positionals = {0};
    StrBuf out = {0};
    Err err;
    char *words = xstrdup(line), *rest = words, *argv[16], *word;
    int argc = 0;
    if (file) {
        argv[argc++] = (char *)(uintptr_t) "--config";
        argv[argc++] = (char *)(uintptr_t)folder_put("c.yaml", file, -1);
    }
    while ((word = strsep(&rest, " ")) != NULL && argc < 16)
        if (*word)
            argv[argc++] = word;
    if (options_parse(&verb, argc, argv, &settings, &positionals, &err) == STATUS_OK) {
        for (int64_t i = 0; i < settings.data.count; i++)
            strbuf_printf(&out, "%s ", settings.data.items[i]);
        strbuf_putc(&out, '|');
        for (int64_t i = 0; i < settings.fonts.count; i++)
            strbuf_printf(&out, "%s ", settings.fonts.items[i]);
        strbuf_printf(&out, "|%lld", (long long)settings.steps);
    } else {
        strbuf_printf(&out, "! %s", err.text);
    }
    options_clear(&verb, &settings);
    string_list_clear(&positionals);
    free(words);
    return strbuf_detach(&out);
}

static void assert_parsed(const char *file, const char *line, const char *wanted)
{
    char *got = parsed(file, line);
    if (wanted[0] == '!' ? got[0] != '!' || !strstr(got, wanted + 1) : strcmp(got, wanted) != 0)
        fail_msg("%s with %s: '%s', not '%s'", line, file ? file : "no file", got, wanted);
    free(got);
}

static void the_command_line_replaces_lists(void **state)
{
    (void)state;
    assert_parsed(NULL, "", "|standard |1");
    assert_parsed(NULL, "--data a -d b --font f", "a b |f |1");
    assert_parsed("data: [a, b]\nfont: g\nsteps: 7\n", "", "a b |g |7");
    assert_parsed("data: [a, b]\nfont: g\nsteps: 7\n", "--data c", "c |g |7");
    assert_parsed("data: [a, b]\nsteps: 7\n", "-d c --steps 3 --data d --font h --font i",
                  "c d |h i |3");
}

static void doubled_keys_are_errors(void **state)
{
    (void)state;
    assert_parsed("steps: 1\ndata: a\nsteps: 2\n", "",
                  "!c.yaml: line 3: 'steps' stands in line 1 already; keep one of them");
    assert_parsed("data: a\ndata: b\n", "", "!line 2: 'data' stands in line 1 already");
    assert_parsed("steps: 1\n---\nsteps: 2\n", "", "!line 3: a second document begins");
    assert_parsed("steps: [1, 2]\n", "", "!line 1: 'steps' wants one value, not several");
    assert_parsed("step: [1, 2]\n", "", "!no option --step; did you mean --steps?");
    assert_parsed("steps: 1\n", "--config other.yaml", "!--config other.yaml: give one file");
    assert_parsed("steps: 1\n", "--config=other.yaml", "!give one file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_command_line_replaces_lists, folder_set_up,
                                        folder_tear_down),
        cmocka_unit_test_setup_teardown(doubled_keys_are_errors, folder_set_up, folder_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
