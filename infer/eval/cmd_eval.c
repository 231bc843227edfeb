/* `cambium eval`: measures models on files of text. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/cli/options.h"
#include "infer/eval/bpb.h"
#include "infer/eval/eval_words.h"
#include "infer/helix/helix.h"

typedef struct EvalSettings {
    char *tasks;
    StringList data;
    char *field;
    int64_t limit, context, stride;
    char *rules;
    bool experts, json;
    char *out;
    LoadSettings load;
    HelixSettings helix;
} EvalSettings;

#define AT(field) offsetof(EvalSettings, field)

static const Option eval_options[] = {
    {"tasks", OPTION_TEXT, AT(tasks), "LIST", "bpb", "what to measure, comma-separated: bpb", NULL,
     0, NULL},
    {"data", OPTION_LIST, AT(data), "FILE", NULL,
     "text to measure on, or a folder of it: documents separated by form feeds, or JSON lines; .xz "
     "and .gz too",
     NULL, 0, NULL},
    {"field", OPTION_TEXT, AT(field), "NAME", "text", "the member of a JSON line that is the text",
     NULL, 0, NULL},
    {"limit", OPTION_INT, AT(limit), "N", "0", "at most N documents of each file (0: all)", NULL, 0,
     NULL},
    {"context", OPTION_INT, AT(context), "N", "0",
     "tokens of a window (0: what the model was trained with)", NULL, 0, NULL},
    {"stride", OPTION_INT, AT(stride), "N", "0",
     "tokens by which windows move on (0: half the context)", NULL, 0, NULL},
    {"experts", OPTION_FLAG, AT(experts), NULL, NULL,
     "also each expert of a merged model alone, and an oracle that picks the better one per "
     "document",
     NULL, 0, NULL},
    {"rules", OPTION_TEXT, AT(rules), "LIST", NULL,
     "merge rules to measure instead of the model's own: mean,bayes,...", NULL, 0, NULL},
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print JSON", NULL, 0, NULL},
    {"output", OPTION_TEXT, AT(out), "FILE", NULL, "also write the JSON to a file", NULL, 'o',
     NULL},
    LOAD_OPTIONS(EvalSettings, load),
    HELIX_OPTIONS(EvalSettings, helix),
    {0},
};

/* One row of the table: something that gives log-probabilities. */
typedef struct Row {
    char *label;
    double *bpb; /* (files) */
} Row;

typedef struct Table {
    Row *rows;
    int64_t n_rows, capacity;
    BpbFile *files;
    int64_t n_files;
} Table;

static Row *table_add(Table *table, char *label)
{
    table->rows = mem_grow(table->rows, &table->capacity, table->n_rows + 1, sizeof *table->rows);
    Row *row = &table->rows[table->n_rows++];
    *row = (Row){label, xcalloc((size_t)table->n_files, sizeof *row->bpb)};
    return row;
}

static void table_clear(Table *table)
{
    for (int64_t i = 0; i < table->n_rows; i++) {
        free(table->rows[i].label);
        free(table->rows[i].bpb);
    }
    for (int64_t i = 0; i < table->n_files; i++)
        bpb_file_clear(&table->files[i]);
    free(table->rows);
    free(table->files);
}

/* Each expert alone, then the oracle. */
static Status measure_experts(Table *table, const Ensemble *ensemble, const Tokenizer *tokenizer,
                              const BpbOptions *options, Err *err)
{
    int64_t E = ensemble->n_experts, F = table->n_files;
    double **best = xcalloc((size_t)F, sizeof *best);
    Status status = STATUS_OK;
    for (int64_t f = 0; f < F; f++) {
        best[f] = xcalloc((size_t)table->files[f].n_documents, sizeof **best);
        for (int64_t d = 0; d < table->files[f].n_documents; d++)
            best[f][d] = -INFINITY;
    }
    for (int64_t e = 0; e < E && status == STATUS_OK; e++) {
        Ensemble alone = {.n_experts = 1, .experts = ensemble->experts + e};
        Row *row = table_add(table, xasprintf("expert %" PRId64 " (%s)", e, ensemble->names[e]));
        for (int64_t f = 0; f < F && status == STATUS_OK; f++) {
            const BpbFile *file = &table->files[f];
            double *logprobs = xcalloc((size_t)file->n_documents, sizeof *logprobs);
            status = bpb_score(&alone, tokenizer, options, file, logprobs, err);
            row->bpb[f] = bpb_of(file, logprobs);
            for (int64_t d = 0; d < file->n_documents; d++)
                best[f][d] = fmax(best[f][d], logprobs[d]);
            free(logprobs);
        }
    }
    Row *row = table_add(table, xstrdup("oracle (better expert per document)"));
    for (int64_t f = 0; f < F; f++) {
        row->bpb[f] = bpb_of(&table->files[f], best[f]);
        free(best[f]);
    }
    free(best);
    return status;
}

static Status measure(Table *table, char *label, const Ensemble *ensemble,
                      const Tokenizer *tokenizer, const BpbOptions *options, Err *err)
{
    Row *row = table_add(table, label);
    for (int64_t f = 0; f < table->n_files; f++) {
        const BpbFile *file = &table->files[f];
        double *logprobs = xcalloc((size_t)file->n_documents, sizeof *logprobs);
        Status status = bpb_score(ensemble, tokenizer, options, file, logprobs, err);
        row->bpb[f] = bpb_of(file, logprobs);
        free(logprobs);
        TRY(status);
    }
    return STATUS_OK;
}

/* The rules asked for, or the model's own. */
static Status measure_rules(Table *table, Ensemble *ensemble, const char *name, const char *rules,
                            const Tokenizer *tokenizer, const BpbOptions *options, Err *err)
{
    if (ensemble->n_experts == 1)
        return measure(table, xstrdup(name), ensemble, tokenizer, options, err);
    MergeRule own = ensemble->rule;
    char *list = xstrdup(rules ? rules : merge_rule_name(own));
    Status status = STATUS_OK;
    char *rest = list, *word;
    while (status == STATUS_OK && (word = strsep(&rest, ",")) != NULL) {
        status = merge_rule_parse(word, &ensemble->rule, err);
        if (status == STATUS_OK && ensemble->rule == MERGE_ADAPTER && !ensemble->adapter.w1)
            status = err_set(err,
                             "%s holds no adapter; 'cambium merge --rule adapter --tune-weights "
                             "FILE' "
                             "makes one",
                             name);
        if (status == STATUS_OK)
            status =
                measure(table, xasprintf("%s, %s", name, word), ensemble, tokenizer, options, err);
    }
    ensemble->rule = own;
    free(list);
    return status;
}

typedef struct EvalWork {
    const EvalSettings *settings;
    Table *table;
    const char *name; /* of the model in the table */
} EvalWork;

static Status eval_with(void *context, Helix *helix, Err *err)
{
    const EvalWork *work = context;
    const EvalSettings *s = work->settings;
    Table *table = work->table;
    const LoadedModel *model = helix_model(helix);
    BpbOptions options = {.context = s->context,
                          .stride = s->stride,
                          .kv_dtype = model->kv_dtype,
                          .budget = helix_budget(helix),
                          .source = helix_source(helix)};
    if (s->experts && options.source)
        return err_set(err, "--experts measures each expert on one rank; leave --ranks out");
    /* Texts are tokenized anew for each model: their vocabularies may differ. */
    for (int64_t f = 0; f < table->n_files; f++)
        bpb_file_clear(&table->files[f]);
    for (int64_t f = 0; f < table->n_files; f++)
        TRY(bpb_file_read(&table->files[f], s->data.items[f], s->field, s->limit, model->tokenizer,
                          err));
    if (s->experts && model->ensemble->n_experts > 1)
        TRY(measure_experts(table, model->ensemble, model->tokenizer, &options, err));
    return measure_rules(table, model->ensemble, work->name, s->rules, model->tokenizer, &options,
                         err);
}

static void print_table(const Table *table)
{
    int width = 5;
    for (int64_t r = 0; r < table->n_rows; r++)
        if ((int)strlen(table->rows[r].label) > width)
            width = (int)strlen(table->rows[r].label);
    printf("%-*s", width, "bits per byte");
    for (int64_t f = 0; f < table->n_files; f++)
        printf("  %14s", table->files[f].name);
    putchar('\n');
    for (int64_t r = 0; r < table->n_rows; r++) {
        printf("%-*s", width, table->rows[r].label);
        for (int64_t f = 0; f < table->n_files; f++)
            printf("  %14.4f", table->rows[r].bpb[f]);
        putchar('\n');
    }
}

static json_t *table_json(const Table *table)
{
    json_t *rows = json_array();
    for (int64_t r = 0; r < table->n_rows; r++)
        for (int64_t f = 0; f < table->n_files; f++) {
            const BpbFile *file = &table->files[f];
            int64_t bytes = 0;
            for (int64_t d = 0; d < file->n_documents; d++)
                bytes += file->bytes[d];
            json_array_append_new(
                rows,
                json_pack("{s:s, s:s, s:s, s:f, s:I, s:I, s:I}", "task", "bpb", "model",
                          table->rows[r].label, "data", file->name, "bits_per_byte",
                          table->rows[r].bpb[f], "documents", (json_int_t)file->n_documents,
                          "bytes", (json_int_t)bytes, "tokens", (json_int_t)file->tokens.count));
        }
    return rows;
}

static Status report(const Table *table, const EvalSettings *s, Err *err)
{
    if (!s->json)
        print_table(table);
    json_t *json = table_json(table);
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(8));
    if (s->json)
        puts(text);
    Status status = s->out ? file_write(s->out, text, strlen(text), err) : STATUS_OK;
    free(text);
    json_decref(json);
    return status;
}

static Status eval_run(const void *settings, const StringList *models, Err *err)
{
    const EvalSettings *s = settings;
    if (strcmp(s->tasks, "bpb") != 0)
        return err_set(err, "no task '%s'; there is bpb (bits per byte)", s->tasks);
    if (s->data.count == 0)
        return err_set(err, "bpb wants text: --data FILE");
    if (s->limit < 0 || s->context < 0 || s->stride < 0)
        return err_set(err, "--limit, --context and --stride are 0 or more");
    if (s->context > INT32_MAX)
        return err_set(err, "--context is at most %d", INT32_MAX);
    if (models->count > 1 && comm_launch().size > 1)
        return err_set(err, "under mpirun one model is measured at a time");
    Table table = {.n_files = s->data.count,
                   .files = xcalloc((size_t)s->data.count, sizeof(BpbFile))};
    Status status = STATUS_OK;
    for (int64_t m = 0; m < models->count && status == STATUS_OK; m++) {
        const char *path = models->items[m];
        /* Several runs all end in model.h5: then the path tells them apart. */
        HelixSettings helix = s->helix;
        helix.grid_context = s->context;
        EvalWork work = {s, &table, models->count > 1 ? path : file_base_name(path)};
        status = helix_use(path, &s->load, &helix, eval_with, &work, err);
    }
    if (status == STATUS_OK && table.n_rows > 0) /* a process that followed measured nothing */
        status = report(&table, s, err);
    table_clear(&table);
    return status;
}

const Verb verb_eval = {
    .name = "eval",
    .summary = "measure models: bits per byte of text",
    .positionals = "MODEL...",
    .positionals_min = 1,
    .positionals_max = -1,
    .details =
        "Every document is scored on its own, after an end token, and its own closing end token "
        "does not count. (The evaluation while training runs over the packed validation split "
        "instead, end tokens included, without overlap: its figures are a little different.)",
    .examples =
        {
            "eval ru/model.h5 --data ru.heldout.txt",
            "eval both.h5 --experts --rules mean,bayes --data ru.heldout.txt --data zh.heldout.txt",
        },
    .options = eval_options,
    .settings_size = sizeof(EvalSettings),
    .run = eval_run,
    .second_words = eval_words,
};
