/* `cambium pack`: text into packed token files. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/options.h"
#include "core/io/tokenizer_io.h"
#include "train/pack_build.h"

typedef struct PackSettings {
    char *table, *out, *field;
    double validation;
    int64_t seed;
    bool json;
} PackSettings;

#define AT(field) offsetof(PackSettings, field)

static const Option pack_options[] = {
    {"table", OPTION_TEXT, AT(table), "FILE", NULL,
     "the substrate (or a model) whose tokenizer is used", NULL, 't', NULL},
    {"output", OPTION_TEXT, AT(out), "FILE", NULL, "the packed file", NULL, 'o', NULL},
    {"field", OPTION_TEXT, AT(field), "NAME", "text", "the member of a JSON line that is the text",
     NULL, 0, NULL},
    {"validation", OPTION_REAL, AT(validation), "X", "0.02",
     "share of the documents that is kept for validation", NULL, 0, NULL},
    {"seed", OPTION_INT, AT(seed), "S", "1", "of that choice", NULL, 0, NULL},
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print JSON", NULL, 0, NULL},
    {0},
};

static void print_report(const PackSettings *s, const PackReport *r)
{
    static const char *const names[PACK_SPLITS] = {"train", "validation"};
    if (!s->json)
        printf("%s: %" PRId64 " files\n", s->out, r->files);
    json_t *json = json_pack("{s:s, s:I}", "file", s->out, "files", (json_int_t)r->files);
    for (int i = 0; i < PACK_SPLITS; i++) {
        json_object_set_new(json, names[i],
                            json_pack("{s:I, s:I, s:I}", "documents", (json_int_t)r->documents[i],
                                      "tokens", (json_int_t)r->tokens[i], "bytes",
                                      (json_int_t)r->bytes[i]));
        if (!s->json)
            printf("  %-10s %8" PRId64 " documents %12" PRId64 " tokens %12" PRId64
                   " bytes (%.2f per token)\n",
                   names[i], r->documents[i], r->tokens[i], r->bytes[i],
                   r->tokens[i] ? (double)r->bytes[i] / (double)r->tokens[i] : 0.0);
    }
    char *text = json_dumps(json, JSON_COMPACT);
    if (s->json)
        puts(text);
    free(text);
    json_decref(json);
}

static Status pack_run(const void *settings, const StringList *inputs, Err *err)
{
    const PackSettings *s = settings;
    if (!s->table || !s->out)
        return err_set(err, "pack wants a tokenizer (--table FILE) and a place (-o FILE)");
    if (!(s->validation >= 0.0 && s->validation < 1.0))
        return err_set(err, "--validation is at least 0 and below 1");
    Container *container;
    TRY(container_open(&container, s->table, err));
    Tokenizer *tokenizer = NULL;
    Status status = tokenizer_read(container, &tokenizer, err);
    if (status == STATUS_OK) {
        PackPlan plan = {.inputs = inputs,
                         .field = s->field,
                         .tokenizer = tokenizer,
                         .tokenizer_hash = tokenizer_hash(tokenizer_spec(tokenizer)),
                         .validation = s->validation,
                         .seed = (uint64_t)s->seed};
        PackReport report;
        status = pack_build(&plan, s->out, &report, err);
        if (status == STATUS_OK)
            print_report(s, &report);
    }
    tokenizer_free(tokenizer);
    container_close(container);
    return status;
}

const Verb verb_pack = {
    .name = "pack",
    .summary = "turn text files, folders, .xz, .gz and JSON lines into packed tokens",
    .positionals = "INPUT...",
    .positionals_min = 1,
    .positionals_max = -1,
    .options = pack_options,
    .settings_size = sizeof(PackSettings),
    .run = pack_run,
};
