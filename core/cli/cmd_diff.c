/* `cambium diff`: which datasets of two files differ, and by how much. */
#include <stdio.h>
#include <stdlib.h>

#include "core/cli/options.h"
#include "core/io/compare.h"

typedef struct DiffSettings {
    double tolerance;
    bool json;
} DiffSettings;

static const Option diff_options[] = {
    {"tolerance", OPTION_REAL, offsetof(DiffSettings, tolerance), "X", "0",
     "values that differ by at most X count as equal", "0..", 0, NULL},
    {"json", OPTION_FLAG, offsetof(DiffSettings, json), NULL, NULL, "print one JSON object", NULL,
     0, NULL},
    {0},
};

static const char *const kind_texts[] = {
    [DIFFERENCE_VALUES] = "values",
    [DIFFERENCE_SHAPE] = "shape",
    [DIFFERENCE_TEXT] = "text",
    [DIFFERENCE_ONLY_FIRST] = "only in the first",
    [DIFFERENCE_ONLY_SECOND] = "only in the second",
};

static void print_difference(const Difference *d)
{
    if (d->kind != DIFFERENCE_VALUES)
        printf("%-40s %s\n", d->path, kind_texts[d->kind]);
    else
        printf("%-40s %lld of %lld values, largest difference %.3g (%.3g relative)\n", d->path,
               (long long)d->count, (long long)d->total, d->max_abs, d->max_rel);
}

static json_t *difference_json(const Difference *d)
{
    json_t *json = json_pack("{s:s, s:s}", "path", d->path, "differs", kind_texts[d->kind]);
    if (d->kind == DIFFERENCE_VALUES) {
        json_object_set_new(json, "count", json_integer(d->count));
        json_object_set_new(json, "total", json_integer(d->total));
        /* JSON has no infinity: null then. */
        json_t *largest = json_real(d->max_abs);
        json_object_set_new(json, "max_abs", largest ? largest : json_null());
        json_object_set_new(json, "max_rel", json_real(d->max_rel));
    }
    return json;
}

static void print_list(const DifferenceList *list, bool as_json)
{
    json_t *differences = json_array();
    for (int64_t i = 0; i < list->count; i++) {
        if (as_json)
            json_array_append_new(differences, difference_json(&list->items[i]));
        else
            print_difference(&list->items[i]);
    }
    if (as_json) {
        json_t *all = json_pack("{s:I, s:O}", "compared", (json_int_t)list->compared, "differences",
                                differences);
        json_dumpf(all, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(all);
    }
    json_decref(differences);
}

static Status report(const DiffSettings *s, const StringList *paths, const DifferenceList *list,
                     Err *err)
{
    print_list(list, s->json);
    return list->count == 0
               ? STATUS_OK
               : err_set(err, "%s and %s differ in %lld of %lld datasets", paths->items[0],
                         paths->items[1], (long long)list->count, (long long)list->compared);
}

static Status diff_containers(const DiffSettings *s, const StringList *paths, Err *err)
{
    Container *a = NULL, *b = NULL;
    DifferenceList list = {0};
    Status status = container_open(&a, paths->items[0], err);
    if (status == STATUS_OK)
        status = container_open(&b, paths->items[1], err);
    if (status == STATUS_OK)
        status = containers_compare(a, b, s->tolerance, &list, err);
    if (status == STATUS_OK)
        status = report(s, paths, &list, err);
    free(list.items);
    container_close(a);
    container_close(b);
    return status;
}

static Status diff_tensor_files(const DiffSettings *s, const StringList *paths, Err *err)
{
    TensorFile *a = NULL, *b = NULL;
    DifferenceList list = {0};
    Status status = tensor_file_open(&a, paths->items[0], err);
    if (status == STATUS_OK)
        status = tensor_file_open(&b, paths->items[1], err);
    if (status == STATUS_OK) {
        tensor_files_compare(a, b, s->tolerance, &list);
        status = report(s, paths, &list, err);
    }
    free(list.items);
    tensor_file_close(a);
    tensor_file_close(b);
    return status;
}

static Status diff_run(const void *settings, const StringList *positionals, Err *err)
{
    bool foreign[2];
    for (int i = 0; i < 2; i++) {
        if (!file_exists(positionals->items[i]))
            return err_set(err, "cannot open %s: no such file", positionals->items[i]);
        foreign[i] = tensor_file_is(positionals->items[i]);
    }
    if (foreign[0] != foreign[1])
        return err_set(err,
                       "%s is another program's file and %s is not; 'cambium import' the one or "
                       "'cambium export' the other",
                       positionals->items[!foreign[0]], positionals->items[foreign[0]]);
    return foreign[0] ? diff_tensor_files(settings, positionals, err)
                      : diff_containers(settings, positionals, err);
}

const Verb verb_diff = {
    .name = "diff",
    .summary = "which tensors of two files differ, and by how much",
    .positionals = "FILE FILE",
    .positionals_min = 2,
    .positionals_max = 2,
    .details = "Two files of Cambium's, or two files of tensors: .safetensors, .gguf and .npy, of "
               "one format or two. The exit status is 0 when nothing differs, 1 when something "
               "does.",
    .examples = {"diff ru/model.h5 zh/model.h5", "diff a.safetensors b.gguf"},
    .options = diff_options,
    .settings_size = sizeof(DiffSettings),
    .run = diff_run,
};
