/* One table per verb yields its parser, its --help, its config-file keys and the settings stored in
 * checkpoints. A table describes the fields of the verb's settings struct. */
#ifndef CAMBIUM_CORE_CLI_OPTIONS_H
#define CAMBIUM_CORE_CLI_OPTIONS_H

#include <stddef.h>

#include <jansson.h>

#include "core/base/err.h"
#include "core/base/file.h"

typedef enum OptionKind {
    OPTION_FLAG,   /* bool;         --name, --no-name */
    OPTION_INT,    /* int64_t;      suffixes K, M, G (powers of 1000) and Ki, Mi, Gi */
    OPTION_REAL,   /* double */
    OPTION_TEXT,   /* char *;       NULL when not given and without default */
    OPTION_CHOICE, /* char *;       one of `choices` */
    OPTION_LIST,   /* StringList;   may be given several times */
    /* The same for paths: no output may be an input (core/base/inputs.h). */
    OPTION_INPUT,  /* char *;       a file or folder that is read */
    OPTION_INPUTS, /* StringList;   several */
    OPTION_OUTPUT, /* char *;       a file or folder that is written */
} OptionKind;

typedef struct Option {
    const char *name; /* without the dashes; NULL ends the table */
    OptionKind kind;
    size_t offset;           /* of the field in the settings struct */
    const char *placeholder; /* "N", "FILE"; NULL for flags */
    const char *standard;    /* the default as text; NULL: none (0, false, NULL, empty) */
    const char *help;        /* one sentence without a full stop */
    const char *choices;     /* OPTION_CHOICE: "mean|weighted"; numbers: their range, "0..1" or
                                "0..", or NULL: any */
    char letter;             /* -o for --output; 0: none */
    const char *group;       /* a heading above this option in --help, or NULL */
} Option;

enum { VERB_EXAMPLES = 4 };

/* A verb of the program: `cambium NAME`. Each cmd_*.c defines one, named verb_NAME; the Makefile
 * makes the list. */
typedef struct Verb Verb;
struct Verb {
    const char *name;
    const char *summary;     /* one line for `cambium --help` */
    const char *positionals; /* "MODEL [FILE...]", or "" */
    int positionals_min;
    int positionals_max;                 /* -1: any number */
    const char *details;                 /* a paragraph below the options in `--help`, or NULL */
    const char *examples[VERB_EXAMPLES]; /* commands without "cambium "; at least one */
    /* Names that its results may have in a folder that it reads, as "*.html"; NULL: any. */
    const char *results;
    const Option *options;
    size_t settings_size;
    /* Does the work. Returns STATUS_FAIL with a sentence in `err`, STATUS_STOPPED when the user
     * asked to stop. `settings` is the verb's own struct. */
    Status (*run)(const void *settings, const StringList *positionals, Err *err);
    /* Verbs of two words, NULL behind the last, or NULL: "eval score", found by their second word.
     */
    const Verb *const *second_words;
};

/* Fills `settings` (zeroed by this call) from the defaults, then a file given by --config, then the
 * command line; a list of a later place replaces that of an earlier one. Unknown names are errors
 * that suggest the nearest one. */
Status options_parse(const Verb *verb, int argc, char **argv, void *settings,
                     StringList *positionals, Err *err);
/* Notes what the verb reads, by the options and positional arguments, and refuses outputs that
 * would take the place of it or of each other. */
Status options_check_paths(const Verb *verb, const void *settings, const StringList *positionals,
                           Err *err);
/* Releases what options_parse allocated inside the settings. */
void options_clear(const Verb *verb, void *settings);

/* Sets one option by name from text, as the command line would. */
Status options_set(const Verb *verb, void *settings, const char *name, const char *text, Err *err);

/* A whole number as OPTION_INT reads it: 64000, 64K, 2M, 4Gi. */
Status option_parse_int(const char *text, int64_t *out);

/* Whether the config file or the command line of this process named the option, whatever its
 * value. */
bool options_given(const char *name);

/* Whether the verb has this option and it may be given several times. */
bool options_is_list(const Verb *verb, const char *name);

/* Every option with its present value; the caller owns the object. */
json_t *options_json(const Verb *verb, const void *settings);

/* The text of `cambium VERB --help`, on stdout. */
void options_help(const Verb *verb);

/* The nearest of `count` names by edit distance, or NULL when none is near. */
const char *nearest_name(const char *wrong, const char *const *names, int count);

/* The table of the options that every verb has. */
const Option *options_of_all_verbs(void);

/* Options that every verb has: --config, --quiet, --verbose, --threads. Kept by options.c. */
typedef struct CommonSettings {
    int64_t threads; /* 0: all cores */
    bool quiet;
    bool verbose;
} CommonSettings;
const CommonSettings *options_common(void);

#endif
