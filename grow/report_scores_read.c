#include "grow/report_scores_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/json_get.h"

/* Beyond what any model and any text have. */
enum { MOST_LAYERS = 1000000, MOST_BITS = 1000, MOST_QUESTIONS = 1000000000, MOST_SHOTS = 1000000 };

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* ---- members of a row ------------------------------------------------------------------------ */

/* A number from 0 to `most`. An absent `optional` one stays as it is. */
static Status get_number(const json_t *row, const char *key, bool optional, double most,
                         const char *where, double *out, Err *err)
{
    if (optional && !json_object_get(row, key))
        return STATUS_OK;
    TRY(json_get_real(row, key, where, out, err));
    if (!(*out >= 0.0 && *out <= most))
        return err_set(err, "%s: '%s' is between 0 and %g, not %g", where, key, most, *out);
    return STATUS_OK;
}

/* A whole number from 0 to `most`, or `out` stays as it is. */
static Status get_count(const json_t *row, const char *key, int64_t most, const char *where,
                        int64_t *out, Err *err)
{
    if (!json_object_get(row, key))
        return STATUS_OK;
    TRY(json_get_int(row, key, where, out, err));
    if (*out < 0 || *out > most)
        return err_set(err, "%s: '%s' is between 0 and %lld, not %lld", where, key, (long long)most,
                       (long long)*out);
    return STATUS_OK;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* Accuracy, of the task or of a category. */
static Status add_share(ReportScores *out, ReportScore score, const json_t *row, const char *where,
                        Err *err)
{
    double error = (double)NAN;
    TRY(get_number(row, "accuracy", false, 1.0, where, &score.value, err));
    TRY(get_number(row, "stderr", true, 1.0, where, &error, err));
    TRY(json_get_int(row, "questions", where, &score.questions, err));
    TRY(get_count(row, "cut", score.questions, where, &score.cut, err));
    if (score.questions < 1 || score.questions > MOST_QUESTIONS)
        return err_set(err, "%s: a score of %lld questions", where, (long long)score.questions);
    /* Of ten draws a question the share is no count of right answers. */
    score.range = score.author ? mean_interval(score.value, error, score.questions)
                               : wilson_interval(llround(score.value * (double)score.questions),
                                                 score.questions);
    report_scores_add(out, &score);
    return STATUS_OK;
}

/* In percent in the file. */
static Status add_f1(ReportScores *out, ReportScore score, const json_t *row, const char *where,
                     Err *err)
{
    double percent, error = (double)NAN;
    TRY(get_number(row, "f1", false, 100.0, where, &percent, err));
    TRY(get_number(row, "f1_stderr", true, 100.0, where, &error, err));
    score.measure = "F1";
    score.value = percent / 100.0;
    score.range = mean_interval(score.value, error / 100.0, score.questions);
    report_scores_add(out, &score);
    return STATUS_OK;
}

static Status add_categories(ReportScores *out, ReportScore score, const json_t *row,
                             const char *where, Err *err)
{
    json_t *list;
    score.cut = 0;
    if (!json_object_get(row, "categories"))
        return STATUS_OK;
    TRY(json_get_array(row, "categories", where, &list, err));
    Status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(list); i++) {
        const json_t *category = json_array_get(list, i);
        const char *name;
        char *place = xasprintf("%s: categories[%zu]", where, i);
        status = json_get_text(category, "name", place, &name, err);
        score.part = status == STATUS_OK ? (char *)(uintptr_t)name : NULL;
        if (status == STATUS_OK)
            status = add_share(out, score, category, place, err);
        free(place);
    }
    return status;
}

static Status add_questions(ReportScores *out, ReportScore score, const json_t *row,
                            const char *where, Err *err)
{
    const char *protocol = json_string_value(json_object_get(row, "protocol"));
    bool squad = json_object_get(row, "f1") != NULL;
    score.author = protocol && same_text(protocol, "author");
    score.measure = squad ? "exact match" : "accuracy";
    TRY(get_number(row, "chance", true, 1.0, where, &score.chance, err));
    TRY(get_count(row, "shots", MOST_SHOTS, where, &score.shots, err));
    TRY(get_count(row, "layers", MOST_LAYERS, where, &score.layers, err));
    TRY(add_share(out, score, row, where, err));
    score.questions = out->items[out->count - 1].questions;
    score.cut = out->items[out->count - 1].cut;
    if (squad)
        TRY(add_f1(out, score, row, where, err));
    return add_categories(out, score, row, where, err);
}

/* ---- bits per byte --------------------------------------------------------------------------- */

static Status add_places(ReportScore *score, const json_t *row, const char *where, Err *err)
{
    json_t *list;
    if (!json_object_get(row, "places"))
        return STATUS_OK;
    TRY(json_get_array(row, "places", where, &list, err));
    score->places = xcalloc(json_array_size(list) + 1, sizeof *score->places);
    int64_t before = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        ReportPlace *place = &score->places[i];
        char name[300];
        snprintf(name, sizeof name, "%.200s: places[%zu]", where, i);
        TRY(json_get_int(json_array_get(list, i), "from", name, &place->from, err));
        TRY(get_number(json_array_get(list, i), "bits_per_byte", false, MOST_BITS, name,
                       &place->bits, err));
        if (place->from <= before)
            return err_set(err, "%s: 'from' grows from 1 on", name);
        before = place->from;
        score->n_places++;
    }
    return STATUS_OK;
}

static Status add_bits(ReportScores *out, ReportScore score, const json_t *row, const char *where,
                       Err *err)
{
    const char *text;
    TRY(json_get_text(row, "data", where, &text, err));
    score.task = (char *)(uintptr_t)text;
    score.measure = "bits per byte";
    score.is_bits = true;
    TRY(get_number(row, "bits_per_byte", false, MOST_BITS, where, &score.value, err));
    TRY(get_count(row, "layers", MOST_LAYERS, where, &score.layers, err));
    return add_places(report_scores_add(out, &score), row, where, err);
}

/* ---- files ----------------------------------------------------------------------------------- */

static Status add_row(ReportScores *out, const char *file, const json_t *row, const char *where,
                      Err *err)
{
    const char *task, *model;
    TRY(json_get_text(row, "task", where, &task, err));
    TRY(json_get_text(row, "model", where, &model, err));
    ReportScore score = {.model = report_models_add(&out->models, file, model),
                         .task = (char *)(uintptr_t)task,
                         .range = {(double)NAN, (double)NAN},
                         .chance = (double)NAN,
                         .shots = -1};
    return same_text(task, "bpb") ? add_bits(out, score, row, where, err)
                                  : add_questions(out, score, row, where, err);
}

static Status add_rows(ReportScores *out, const char *path, const json_t *rows, Err *err)
{
    Status status = STATUS_OK;
    if (!json_is_array(rows))
        return err_set(err, "%s is not a result of 'cambium eval -o'", path);
    if (json_array_size(rows) == 0)
        return err_set(err, "%s holds no results; 'cambium eval -o' writes them", path);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(rows); i++) {
        char *where = xasprintf("%s: [%zu]", path, i);
        status = add_row(out, path, json_array_get(rows, i), where, err);
        free(where);
    }
    return status;
}

static Status read_file(ReportScores *out, const char *path, Err *err)
{
    StrBuf text = {0};
    json_error_t error;
    Status status = file_read(path, 0, &text, err);
    if (status == STATUS_OK) {
        json_t *rows = json_loadb(text.data, (size_t)text.size, 0, &error);
        status = rows ? add_rows(out, path, rows, err)
                      : err_set(err, "%s:%d: not JSON: %s", path, error.line, error.text);
        json_decref(rows);
    }
    strbuf_clear(&text);
    return status;
}

Status report_scores_read(ReportScores *out, const StringList *paths, Err *err)
{
    *out = (ReportScores){0};
    for (int64_t i = 0; i < paths->count; i++) {
        for (int64_t k = 0; k < i; k++)
            if (same_text(paths->items[k], paths->items[i]))
                return err_set(err, "%s is named twice; name it once", paths->items[i]);
        TRY(read_file(out, paths->items[i], err));
    }
    report_models_label(&out->models);
    return STATUS_OK;
}
