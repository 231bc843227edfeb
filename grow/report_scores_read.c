#include "grow/report_scores_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/json_get.h"
#include "grow/report_row.h"
#include "grow/report_scores_translation.h"

/* Beyond what any model and any text have. */
enum { MOST_LAYERS = 1000000, MOST_BITS = 1000, MOST_QUESTIONS = 1000000000, MOST_SHOTS = 1000000 };

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* A text that remains another's: report_scores_add copies it. */
static char *borrowed(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* Of the task or of a category. */
static Status get_questions(ReportScore *score, const json_t *row, const char *where, Err *err)
{
    TRY(json_get_int(row, "questions", where, &score->questions, err));
    if (score->questions < 1 || score->questions > MOST_QUESTIONS)
        return err_set(err, "%s: a score of %lld questions", where, (long long)score->questions);
    return report_row_count(row, "cut", score->questions, where, &score->cut, err);
}

/* Accuracy, of the task or of a category. */
static Status add_share(ReportScores *out, ReportScore score, const json_t *row, const char *where,
                        Err *err)
{
    double error = (double)NAN;
    TRY(report_row_number(row, "accuracy", false, 1.0, where, &score.value, err));
    TRY(report_row_number(row, "stderr", true, 1.0, where, &error, err));
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
    TRY(report_row_number(row, "f1", false, 100.0, where, &percent, err));
    TRY(report_row_number(row, "f1_stderr", true, 100.0, where, &error, err));
    score.measure = borrowed("F1");
    score.value = percent / 100.0;
    score.range = mean_interval(score.value, error / 100.0, score.questions);
    report_scores_add(out, &score);
    return STATUS_OK;
}

static Status add_category(ReportScores *out, ReportScore score, const json_t *category,
                           const char *where, Err *err)
{
    const char *name;
    TRY(json_get_text(category, "name", where, &name, err));
    TRY(get_questions(&score, category, where, err));
    score.part = borrowed(name);
    return add_share(out, score, category, where, err);
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
        char *place = xasprintf("%s: categories[%zu]", where, i);
        status = add_category(out, score, json_array_get(list, i), place, err);
        free(place);
    }
    return status;
}

/* Right and wrong answers, and of SQuAD what they have in common with the right ones. */
static Status add_answers(ReportScores *out, ReportScore score, const json_t *row,
                          const char *where, Err *err)
{
    bool squad = json_object_get(row, "f1") != NULL;
    score.measure = borrowed(squad ? "exact match" : "accuracy");
    TRY(add_share(out, score, row, where, err));
    if (squad)
        TRY(add_f1(out, score, row, where, err));
    return add_categories(out, score, row, where, err);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static Status add_task(ReportScores *out, ReportScore score, const json_t *row, const char *where,
                       Err *err)
{
    const char *protocol = json_string_value(json_object_get(row, "protocol"));
    score.author = protocol && same_text(protocol, "author");
    TRY(report_row_number(row, "chance", true, 1.0, where, &score.chance, err));
    TRY(report_row_count(row, "shots", MOST_SHOTS, where, &score.shots, err));
    TRY(report_row_count(row, "layers", MOST_LAYERS, where, &score.layers, err));
    TRY(get_questions(&score, row, where, err));
    return report_is_translation(row) ? report_add_translation(out, score, row, where, err)
                                      : add_answers(out, score, row, where, err);
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
        TRY(report_row_number(json_array_get(list, i), "bits_per_byte", false, MOST_BITS, name,
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
    score.task = borrowed(text);
    score.measure = borrowed("bits per byte");
    score.is_bits = score.less_is_better = true;
    TRY(report_row_number(row, "bits_per_byte", false, MOST_BITS, where, &score.value, err));
    TRY(report_row_count(row, "layers", MOST_LAYERS, where, &score.layers, err));
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
                         .task = borrowed(task),
                         .range = {(double)NAN, (double)NAN},
                         .chance = (double)NAN,
                         .shots = -1};
    return same_text(task, "bpb") ? add_bits(out, score, row, where, err)
                                  : add_task(out, score, row, where, err);
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
