/* `cambium pack`: corpora to packed token files. */
#include <stdio.h>

#include "core/base/log.h"
#include "core/cli/corpus_options.h"
#include "core/io/json_put.h"
#include "core/io/tokenizer_io.h"
#include "train/pack_build.h"

typedef struct PackSettings {
    char *table;
    char *output;
    CorpusSettings corpus;
    double validation;
    int64_t seed;
    bool json;
} PackSettings;

#define FIELD(name) offsetof(PackSettings, name)

static const Option pack_options[] = {
    {"table", OPTION_INPUT, FIELD(table), "FILE", NULL,
     "the table, or a model, whose tokenizer cuts the text", NULL, 't', NULL},
    {"output", OPTION_OUTPUT, FIELD(output), "FILE", NULL, "write the packed tokens here", NULL,
     'o', NULL},
    CORPUS_OPTIONS(PackSettings, corpus),
    {"validation", OPTION_REAL, FIELD(validation), "X", "0.02",
     "share of the documents that are kept for validation", NULL, 0, NULL},
    {"seed", OPTION_INT, FIELD(seed), "N", "1", "choose other documents for validation", NULL, 0,
     NULL},
    {"json", OPTION_FLAG, FIELD(json), NULL, NULL, "print the counts as JSON", NULL, 0, NULL},
    {0},
};

static json_t *split_json(const PackReport *report, PackSplit split)
{
    return json_pack("{s:I, s:I, s:I}", "documents", (json_int_t)report->documents[split], "tokens",
                     (json_int_t)report->tokens[split], "bytes", (json_int_t)report->bytes[split]);
}

static void print_report(const char *output, const PackReport *report, const CorpusSkips *skips,
                         bool json)
{
    static const char *const names[PACK_SPLITS] = {"train", "validation"};
    if (json) {
        json_t *object = json_pack("{s:o, s:I, s:I, s:o, s:o}", "file", json_name(output), "files",
                                   (json_int_t)report->files, "skipped",
                                   (json_int_t)(skips->lines + skips->documents), names[PACK_TRAIN],
                                   split_json(report, PACK_TRAIN), names[PACK_VALIDATION],
                                   split_json(report, PACK_VALIDATION));
        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
        return;
    }
    printf("%-12s %12s %14s %14s %14s\n", "split", "documents", "tokens", "bytes", "bytes/token");
    for (int s = 0; s < PACK_SPLITS; s++)
        printf("%-12s %12lld %14lld %14lld %14.3f\n", names[s], (long long)report->documents[s],
               (long long)report->tokens[s], (long long)report->bytes[s],
               report->tokens[s] ? (double)report->bytes[s] / (double)report->tokens[s] : 0.0);
}

static Status check_settings(const PackSettings *settings, Err *err)
{
    if (!settings->table || !settings->output)
        return err_usage(err, "%s FILE is missing", settings->table ? "--output" : "--table");
    if (!(settings->validation >= 0.0 && settings->validation < 1.0))
        return err_usage(err, "--validation %g: give a share from 0 to below 1",
                         settings->validation);
    return STATUS_OK;
}

static Status pack_run(const void *opaque, const StringList *inputs, Err *err)
{
    const PackSettings *settings = opaque;
    TRY(check_settings(settings, err));
    Container *container;
    Tokenizer *tokenizer;
    TRY(container_open(&container, settings->table, err));
    Status status = tokenizer_read(container, &tokenizer, err);
    container_close(container);
    TRY(status);
    CorpusSkips skips = {0};
    PackPlan plan = {.inputs = inputs,
                     .reading = corpus_options(&settings->corpus, &skips),
                     .tokenizer = tokenizer,
                     .tokenizer_hash = tokenizer_hash(tokenizer_spec(tokenizer)),
                     .validation = settings->validation,
                     .seed = (uint64_t)settings->seed};
    PackReport report;
    status = pack_build(&plan, settings->output, &report, err);
    tokenizer_free(tokenizer);
    TRY(status);
    print_report(settings->output, &report, &skips, settings->json);
    corpus_skips_tell(&skips);
    if (settings->validation > 0.0 && report.documents[PACK_VALIDATION] == 0)
        log_warn(
            "no document fell to the validation split: separate the documents with form feeds, "
            "or give another --seed or a larger --validation");
    return STATUS_OK;
}

const Verb verb_pack = {
    .name = "pack",
    .summary = "turn text into packed token files for training",
    .positionals = "INPUT...",
    .positionals_min = 1,
    .positionals_max = -1,
    .details = "INPUT is a text file whose documents are separated by form feeds, a file of JSON "
               "lines (.jsonl, .ndjson), either packed with gzip, bzip2, xz or zstd, a folder of "
               "such files, or "
               "- for standard input. Documents keep their borders; whole documents go to the "
               "training or the validation split. Mixtures are made by 'cambium train --data "
               "A:0.7 --data B:0.3'.",
    .examples = {"pack --table table.h5 ru.train.txt --validation 0.03 -o ru.pack"},
    .options = pack_options,
    .settings_size = sizeof(PackSettings),
    .run = pack_run,
};
