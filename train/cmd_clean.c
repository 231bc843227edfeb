/* `cambium clean`: documentation pages to training text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/options.h"
#include "train/clean_corpus.h"

typedef struct CleanSettings {
    char *output;
    char *script;
    double share;
    double holdout;
    int64_t seed;
    char *encoding;
    StringList references;
    StringList skip;
    bool json;
} CleanSettings;

#define FIELD(name) offsetof(CleanSettings, name)

static const Option clean_options[] = {
    {"output", OPTION_TEXT, FIELD(output), "PREFIX", NULL,
     "write PREFIX.train.txt and PREFIX.heldout.txt", NULL, 'o', NULL},
    {"script", OPTION_CHOICE, FIELD(script), "NAME", NULL, "script of the wanted language",
     "latin|cyrillic|han", 0, NULL},
    {"share", OPTION_REAL, FIELD(share), "X", "0.6",
     "drop paragraphs with a smaller share of that script among their letters", NULL, 0, NULL},
    {"reference", OPTION_INPUTS, FIELD(references), "FOLDER", NULL,
     "drop paragraphs that are in these pages too (the untranslated originals)", NULL, 0, NULL},
    {"skip", OPTION_LIST, FIELD(skip), "NAME", NULL,
     "drop HTML elements of this class or id (menus, banners)", NULL, 0, NULL},
    {"holdout", OPTION_REAL, FIELD(holdout), "X", "0.05", "share of the pages to hold out", NULL, 0,
     NULL},
    {"seed", OPTION_INT, FIELD(seed), "N", "1", "choose other pages to hold out", NULL, 0, NULL},
    {"encoding", OPTION_TEXT, FIELD(encoding), "NAME", NULL,
     "encoding of pages that are not UTF-8 and do not declare theirs (KOI8-R, GB18030)", NULL, 0,
     NULL},
    {"json", OPTION_FLAG, FIELD(json), NULL, NULL, "print the counts as JSON", NULL, 0, NULL},
    {0},
};

static void print_report(const CleanReport *r, bool json)
{
    json_t *object = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "files", (json_int_t)r->files,
        "unreadable", (json_int_t)r->files_unreadable, "paragraphs", (json_int_t)r->paragraphs,
        "in_reference", (json_int_t)r->in_reference, "wrong_script", (json_int_t)r->wrong_script,
        "duplicates", (json_int_t)r->duplicates, "train_documents",
        (json_int_t)r->documents[CLEAN_TRAIN], "train_bytes", (json_int_t)r->bytes[CLEAN_TRAIN],
        "heldout_documents", (json_int_t)r->documents[CLEAN_HELDOUT], "heldout_bytes",
        (json_int_t)r->bytes[CLEAN_HELDOUT]);
    const char *key;
    json_t *value;
    if (json)
        json_dumpf(object, stdout, JSON_COMPACT);
    else
        json_object_foreach(object, key, value)
            printf("%-18s %12lld\n", key, (long long)json_integer_value(value));
    if (json)
        putchar('\n');
    json_decref(object);
}

static Script script_of(const char *name)
{
    return strcmp(name, "han") == 0        ? SCRIPT_HAN
           : strcmp(name, "cyrillic") == 0 ? SCRIPT_CYRILLIC
                                           : SCRIPT_LATIN;
}

static Status clean_run(const void *opaque, const StringList *inputs, Err *err)
{
    const CleanSettings *settings = opaque;
    if (!settings->output || !settings->script)
        return err_usage(err, "%s is missing", settings->output ? "--script" : "--output");
    if (!(settings->holdout >= 0.0 && settings->holdout < 1.0))
        return err_usage(err, "--holdout %g: give a share from 0 to below 1", settings->holdout);
    if (!(settings->share >= 0.0 && settings->share <= 1.0))
        return err_usage(err, "--share %g: give a share from 0 to 1", settings->share);
    CleanPlan plan = {.inputs = inputs,
                      .references = &settings->references,
                      .skip = &settings->skip,
                      .script = script_of(settings->script),
                      .share = settings->share,
                      .holdout = settings->holdout,
                      .seed = (uint64_t)settings->seed,
                      .encoding = settings->encoding};
    CleanReport report;
    TRY(corpus_clean(&plan, settings->output, &report, err));
    print_report(&report, settings->json);
    return STATUS_OK;
}

const Verb verb_clean = {
    .name = "clean",
    .summary = "turn documentation pages (HTML, manual pages, text) into training text",
    .positionals = "FOLDER...",
    .positionals_min = 1,
    .positionals_max = -1,
    .details =
        "Markup, menus and scripts are stripped; paragraphs in another script, paragraphs of "
        "a --reference and repeated paragraphs are dropped; then whole pages are held out, "
        "chosen by their names below FOLDER so that parallel pages of several languages "
        "agree. Pages may be packed with gzip, bzip2, xz or zstd. Documents are separated by form "
        "feeds.",
    .examples = {"clean ru/help --script cyrillic --holdout 0.05 -o ru"},
    .options = clean_options,
    .settings_size = sizeof(CleanSettings),
    .run = clean_run,
};
