#include "infer/eval/item_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/base/file.h"
#include "core/base/lines.h"
#include "core/base/mem.h"
#include "core/io/json_get.h"
#include "core/text/json_read.h"
#include "infer/eval/items.h"

void item_scores_clear(ItemScores *scores)
{
    for (int64_t i = 0; i < scores->count; i++) {
        free(scores->items[i].task);
        free(scores->items[i].id);
        free(scores->items[i].question);
        free(scores->items[i].group);
        free(scores->items[i].category);
    }
    free(scores->items);
    free(scores->model);
    *scores = (ItemScores){0};
}

int item_score_order(const ItemScore *a, const ItemScore *b)
{
    int by_task = strcmp(a->task, b->task);
    return by_task != 0 ? by_task : strcmp(a->id, b->id);
}

static int by_task_and_id(const void *a, const void *b)
{
    return item_score_order(a, b);
}

static Status read_header(ItemScores *out, const json_t *header, const char *where, Err *err)
{
    const char *format, *model;
    int64_t version;
    if (json_get_text(header, "format", where, &format, err) != STATUS_OK ||
        strcmp(format, items_format) != 0)
        return err_set(err,
                       "%s is not the beginning of an items file; 'cambium eval --save-items' "
                       "makes one",
                       where);
    TRY(json_get_int(header, "version", where, &version, err));
    if (version != 1)
        return err_set(err, "%s: version %lld is newer than this program; update it", where,
                       (long long)version);
    TRY(json_get_text(header, "model", where, &model, err));
    out->model = xstrdup(model);
    return STATUS_OK;
}

/* NULL for a member that is absent or null. */
static Status optional_text(const json_t *line, const char *key, const char *where,
                            const char **out, Err *err)
{
    const json_t *value = json_object_get(line, key);
    *out = NULL;
    return !value || json_is_null(value) ? STATUS_OK : json_get_text(line, key, where, out, err);
}

static char *copy_of(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static Status add_item(ItemScores *out, const json_t *line, int64_t number, const char *where,
                       Err *err)
{
    const char *task, *id, *question, *group, *category;
    double score;
    int64_t correct = -1;
    TRY(json_get_text(line, "task", where, &task, err));
    TRY(json_get_text(line, "id", where, &id, err));
    TRY(optional_text(line, "question", where, &question, err));
    TRY(optional_text(line, "group", where, &group, err));
    TRY(optional_text(line, "category", where, &category, err));
    TRY(json_get_real(line, "score", where, &score, err));
    if (!(score >= 0 && score <= 1))
        return err_set(err, "%s: the score %g is not between 0 and 1", where, score);
    if (json_object_get(line, "correct"))
        TRY(json_get_int(line, "correct", where, &correct, err));
    if (correct < -1 || correct > 1)
        return err_set(err, "%s: 'correct' is 0 or 1, not %lld", where, (long long)correct);
    out->items = mem_grow(out->items, &out->capacity, out->count + 1, sizeof *out->items);
    out->items[out->count++] = (ItemScore){.task = xstrdup(task),
                                           .id = xstrdup(id),
                                           .question = copy_of(question),
                                           .group = copy_of(group),
                                           .category = copy_of(category),
                                           .score = score,
                                           .correct = (int)correct,
                                           .line = number};
    return STATUS_OK;
}

static Status add_line(ItemScores *out, const TextLine *line, const char *name, Err *err)
{
    char where[512];
    snprintf(where, sizeof where, "%s: line %lld", name, (long long)line->number);
    json_error_t error;
    json_t *object = json_read(line->text, line->bytes, 0, &error);
    if (!object)
        return err_set(err, "%s is not JSON%s: %s", where,
                       line->ended ? "" : ", but cut off; 'cambium eval --resume' completes it",
                       error.text);
    Status status = !out->model ? read_header(out, object, where, err)
                                : add_item(out, object, line->number, where, err);
    json_decref(object);
    return status;
}

static Status check_unique(const ItemScores *scores, const char *name, Err *err)
{
    for (int64_t i = 1; i < scores->count; i++) {
        const ItemScore *a = &scores->items[i - 1], *b = &scores->items[i];
        if (item_score_order(a, b) == 0)
            return err_set(err, "%s: lines %lld and %lld are both %s %s; keep one", name,
                           (long long)(a->line < b->line ? a->line : b->line),
                           (long long)(a->line < b->line ? b->line : a->line), a->task, a->id);
    }
    return STATUS_OK;
}

Status item_scores_parse(ItemScores *out, const StrBuf *text, const char *name, Err *err)
{
    *out = (ItemScores){0};
    for (TextLine line = lines_of(text->data, text->size); lines_next(&line);)
        TRY(add_line(out, &line, name, err));
    if (out->count == 0)
        return err_set(err, "%s has no questions; 'cambium eval --save-items' writes them", name);
    qsort(out->items, (size_t)out->count, sizeof *out->items, by_task_and_id);
    return check_unique(out, name, err);
}

Status item_scores_read(ItemScores *out, const char *path, Err *err)
{
    *out = (ItemScores){0};
    StrBuf text = {0};
    Status status = file_read(path, 0, &text, err);
    if (status == STATUS_OK)
        status = item_scores_parse(out, &text, path, err);
    strbuf_clear(&text);
    return status;
}
