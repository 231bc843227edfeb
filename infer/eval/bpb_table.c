#include "infer/eval/bpb_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/json_put.h"

BpbTable bpb_table_new(int64_t n_files)
{
    return (BpbTable){.n_files = n_files, .files = xcalloc((size_t)n_files, sizeof(BpbFile))};
}

static BpbRow *table_add(BpbTable *table, char *label)
{
    table->rows = mem_grow(table->rows, &table->capacity, table->n_rows + 1, sizeof *table->rows);
    BpbRow *row = &table->rows[table->n_rows++];
    *row = (BpbRow){.label = label,
                    .bpb = xcalloc((size_t)table->n_files, sizeof *row->bpb),
                    .places = xcalloc((size_t)table->n_files, sizeof *row->places),
                    .tokens = xcalloc((size_t)table->n_files, sizeof *row->tokens)};
    for (int64_t f = 0; f < table->n_files; f++)
        row->tokens[f] = table->files[f].tokens.count;
    return row;
}

void bpb_table_clear(BpbTable *table)
{
    for (int64_t i = 0; i < table->n_rows; i++) {
        free(table->rows[i].label);
        free(table->rows[i].bpb);
        free(table->rows[i].places);
        free(table->rows[i].tokens);
    }
    for (int64_t i = 0; i < table->n_files; i++)
        bpb_file_clear(&table->files[i]);
    free(table->rows);
    free(table->files);
}

/* A row of what the ensemble gives; `best` (n_files, documents; may be NULL) becomes the larger of
 * itself and each document's log-probability. */
static Status measure(BpbTable *table, char *label, const Ensemble *ensemble,
                      const Tokenizer *tokenizer, const BpbOptions *options, double *const *best,
                      Err *err)
{
    BpbRow *row = table_add(table, label);
    row->layers = ensemble->experts[0]->config.n_layers;
    for (int64_t f = 0; f < table->n_files; f++) {
        const BpbFile *file = &table->files[f];
        double *logprobs = xcalloc((size_t)file->n_documents, sizeof *logprobs);
        Status status =
            bpb_score(ensemble, tokenizer, options, file, logprobs, &row->places[f], err);
        row->bpb[f] = bpb_of(file, logprobs);
        for (int64_t d = 0; d < file->n_documents && best; d++)
            best[f][d] = fmax(best[f][d], logprobs[d]);
        free(logprobs);
        TRY(status);
    }
    return STATUS_OK;
}

/* Each expert alone, then the oracle. */
static Status measure_experts(BpbTable *table, const Ensemble *ensemble, const Tokenizer *tokenizer,
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
        char *label = xasprintf("expert %" PRId64 " (%s)", e, ensemble->names[e]);
        status = measure(table, label, &alone, tokenizer, options, best, err);
    }
    BpbRow *row = table_add(table, xstrdup("oracle (better expert per document)"));
    for (int64_t f = 0; f < F; f++) {
        row->bpb[f] = bpb_of(&table->files[f], best[f]);
        free(best[f]);
    }
    free(best);
    return status;
}

/* The rules asked for, or the model's own. */
static Status measure_rules(BpbTable *table, Ensemble *ensemble, const char *name,
                            const char *rules, const Tokenizer *tokenizer,
                            const BpbOptions *options, Err *err)
{
    if (ensemble->n_experts == 1)
        return measure(table, xstrdup(name), ensemble, tokenizer, options, NULL, err);
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
            status = measure(table, xasprintf("%s, %s", name, word), ensemble, tokenizer, options,
                             NULL, err);
    }
    ensemble->rule = own;
    free(list);
    return status;
}

Status bpb_table_measure(BpbTable *table, const LoadedModel *model, const char *name,
                         const BpbRequest *request, Err *err)
{
    const BpbOptions *options = &request->options;
    if ((request->experts || request->rules) && model->ensemble->n_experts == 1)
        return err_set(err, "%s is not merged of experts; leave --experts and --rules out", name);
    if (request->experts && options->source)
        return err_usage(err, "--experts measures each expert on one rank; leave --ranks out");
    /* Texts are tokenized anew for each model: their vocabularies may differ. */
    for (int64_t f = 0; f < table->n_files; f++)
        bpb_file_clear(&table->files[f]);
    for (int64_t f = 0; f < table->n_files; f++)
        TRY(bpb_file_read(&table->files[f], request->paths->items[f], &request->reading,
                          request->limit, model->tokenizer, err));
    if (request->experts)
        TRY(measure_experts(table, model->ensemble, model->tokenizer, options, err));
    return measure_rules(table, model->ensemble, name, request->rules, model->tokenizer, options,
                         err);
}

static int label_width(const BpbTable *table)
{
    int width = 5;
    for (int64_t r = 0; r < table->n_rows; r++)
        if ((int)strlen(table->rows[r].label) > width)
            width = (int)strlen(table->rows[r].label);
    return width;
}

void bpb_table_print(const BpbTable *table)
{
    int width = label_width(table);
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

/* Places that any row has tokens in. */
static bool has_place(const BpbTable *table, int64_t file, int place)
{
    for (int64_t r = 0; r < table->n_rows; r++)
        if (table->rows[r].places[file].bytes[place] > 0)
            return true;
    return false;
}

void bpb_table_print_places(const BpbTable *table)
{
    int width = label_width(table);
    for (int64_t f = 0; f < table->n_files; f++) {
        printf("\n%s, by tokens before\n%-*s", table->files[f].name, width, "");
        for (int place = 0; place < BPB_PLACES; place++)
            if (has_place(table, f, place))
                printf("  %6lld..", 1LL << place);
        putchar('\n');
        for (int64_t r = 0; r < table->n_rows; r++) {
            printf("%-*s", width, table->rows[r].label);
            for (int place = 0; place < BPB_PLACES; place++)
                if (table->rows[r].places[f].bytes[place] > 0)
                    printf("  %8.4f", bpb_of_place(&table->rows[r].places[f], place));
            putchar('\n');
        }
    }
}

static json_t *places_json(const BpbPlaces *places)
{
    json_t *list = json_array();
    for (int place = 0; place < BPB_PLACES; place++)
        if (places->bytes[place] > 0)
            json_array_append_new(list,
                                  json_pack("{s:I, s:I, s:f, s:I}", "from", (json_int_t)1 << place,
                                            "to", ((json_int_t)1 << (place + 1)) - 1,
                                            "bits_per_byte", bpb_of_place(places, place), "bytes",
                                            (json_int_t)places->bytes[place]));
    return list;
}

json_t *bpb_table_json(const BpbTable *table, bool with_places)
{
    json_t *rows = json_array();
    for (int64_t r = 0; r < table->n_rows; r++)
        for (int64_t f = 0; f < table->n_files; f++) {
            const BpbRow *own = &table->rows[r];
            const BpbFile *file = &table->files[f];
            int64_t bytes = 0;
            for (int64_t d = 0; d < file->n_documents; d++)
                bytes += file->bytes[d];
            json_t *row =
                json_pack("{s:s, s:o, s:o, s:f, s:I, s:I, s:I}", "task", "bpb", "model",
                          json_name(own->label), "data", json_name(file->name), "bits_per_byte",
                          own->bpb[f], "documents", (json_int_t)file->n_documents, "bytes",
                          (json_int_t)bytes, "tokens", (json_int_t)own->tokens[f]);
            CHECK(row, "a result that is no JSON");
            if (own->layers > 0)
                json_object_set_new(row, "layers", json_integer(own->layers));
            if (with_places)
                json_object_set_new(row, "places", places_json(&own->places[f]));
            json_array_append_new(rows, row);
        }
    return rows;
}
