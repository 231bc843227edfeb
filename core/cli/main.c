/* `cambium VERB ...`: finds the verb, parses its options, runs it, and turns the outcome into an
 * exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by the user. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/inputs.h"
#include "core/base/mem.h"
#include "core/cli/verbs.h"
#include "core/cpu/cpu.h"

#define CAMBIUM_VERSION "0.1.0"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_STOPPED = 130 };

static void print_overview(FILE *out)
{
    fprintf(out, "Usage: cambium VERB [ARGUMENTS] [OPTIONS]\n\n"
                 "Grows language models on a frozen substrate of glyphs.\n\nVerbs:\n");
    for (int i = 0; i < verb_count; i++)
        fprintf(out, "  %-10s %s\n", verb_table[i]->name, verb_table[i]->summary);
    fprintf(out,
            "\n'cambium VERB --help' explains a verb; 'cambium --version' prints the version.\n");
}

static const Verb *find_verb(const char *name)
{
    for (int i = 0; i < verb_count; i++)
        if (strcmp(verb_table[i]->name, name) == 0)
            return verb_table[i];
    return NULL;
}

/* `cambium eval score ...`: the verb of two words, or NULL when the second word is none of them. */
static const Verb *find_second_word(const Verb *verb, const char *word)
{
    for (const Verb *const *v = verb->second_words; v && *v; v++)
        if (strcmp(strchr((*v)->name, ' ') + 1, word) == 0)
            return *v;
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *names[64];
    for (int i = 0; i < verb_count; i++)
        names[i] = verb_table[i]->name;
    const char *near = nearest_name(name, names, verb_count);
    fprintf(stderr, "cambium: error: no verb '%s'%s%s%s ('cambium --help' lists them)\n", name,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return EXIT_USAGE;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* libgomp's idle threads spin for milliseconds by default; beside other busy processes that made
 * loops many times slower. It reads its environment before main, hence the second start. */
static void limit_spinning(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    setenv("GOMP_SPINCOUNT", "10000", 1);
    execv("/proc/self/exe", argv); /* where that fails, everything still works */
}

static int run_verb(const Verb *verb, int argc, char **argv)
{
    if (wants_help(argc, argv)) {
        options_help(verb);
        return 0;
    }
    void *settings = xcalloc(1, verb->settings_size);
    StringList positionals = {0};
    Err err = {.text = ""};
    int code = 0;
    if (options_parse(verb, argc, argv, settings, &positionals, &err) != STATUS_OK) {
        code = EXIT_USAGE;
    } else {
        Status status = options_check_paths(verb, settings, &positionals, &err);
        if (status == STATUS_OK)
            status = verb->run(settings, &positionals, &err);
        code = status == STATUS_OK        ? 0
               : status == STATUS_STOPPED ? EXIT_STOPPED
               : err.usage                ? EXIT_USAGE
                                          : EXIT_FAILED;
    }
    /* A full disk behind stdout must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0) {
        err_set(&err, "cannot write to standard output");
        code = EXIT_FAILED;
    }
    if (code == EXIT_FAILED || code == EXIT_USAGE)
        fprintf(stderr, "cambium %s: error: %s\n", verb->name,
                err.text[0] ? err.text : "no reason given");
    else if (code == EXIT_STOPPED)
        fprintf(stderr, "cambium %s: %s\n", verb->name, err.text[0] ? err.text : "stopped");
    options_clear(verb, settings);
    free(settings);
    string_list_clear(&positionals);
    inputs_end();
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("cambium " CAMBIUM_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_overview(stdout);
        return 0;
    }
    const Verb *verb = find_verb(argv[1]);
    if (!verb)
        return unknown_verb(argv[1]);
    limit_spinning(argv);
    mem_start();
    stop_install();
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of the write that meets it */
    backend_cpu_register();
    const Verb *second = argc > 2 ? find_second_word(verb, argv[2]) : NULL;
    return second ? run_verb(second, argc - 3, argv + 3) : run_verb(verb, argc - 2, argv + 2);
}
