#include "grow/report_models.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "grow/report_html.h"

enum { COLOURS = 8, TURNS = 4 };

int64_t report_models_add(ReportModels *models, const char *file, const char *name)
{
    for (int64_t i = models->count - 1; i >= 0; i--)
        if (strcmp(models->items[i].file, file) == 0 && strcmp(models->items[i].name, name) == 0)
            return i;
    models->items =
        mem_grow(models->items, &models->capacity, models->count + 1, sizeof *models->items);
    models->items[models->count] = (ReportModel){.file = xstrdup(file), .name = xstrdup(name)};
    return models->count++;
}

void report_models_clear(ReportModels *models)
{
    for (int64_t i = 0; i < models->count; i++) {
        free(models->items[i].file);
        free(models->items[i].name);
        free(models->items[i].label);
        free(models->items[i].series);
    }
    free(models->items);
    *models = (ReportModels){0};
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* Where the path's last `parts` parts begin. */
static const char *path_end(const char *path, int parts)
{
    const char *at = path + strlen(path);
    while (at > path && (at[-1] != '/' || --parts > 0))
        at--;
    return at;
}

/* How many parts of their paths two files need to differ in; 0: they are one file. */
static int parts_apart(const char *a, const char *b)
{
    int parts = 1;
    if (strcmp(a, b) == 0)
        return 0;
    while (strcmp(path_end(a, parts), path_end(b, parts)) == 0)
        parts++;
    return parts;
}

static char *label_of(const ReportModels *models, const ReportModel *model)
{
    int parts = 0;
    for (int64_t i = 0; i < models->count; i++) {
        const ReportModel *other = &models->items[i];
        if (strcmp(other->name, model->name) != 0)
            continue;
        int apart = parts_apart(model->file, other->file);
        parts = apart > parts ? apart : parts;
    }
    if (parts == 0)
        return xstrdup(model->name);
    return xasprintf("%s: %s", path_end(model->file, parts), model->name);
}

/* ".h5" ends the names of models and is no number of theirs. */
static bool is_digit(const char *label, size_t at)
{
    bool suffix = at >= 2 && strncmp(label + at - 2, ".h5", 3) == 0;
    return isdigit((unsigned char)label[at]) && !suffix;
}

static char *series_of(const char *label)
{
    size_t end = strlen(label);
    while (end > 0 && !is_digit(label, end - 1))
        end--;
    size_t begin = end;
    while (begin > 0 && is_digit(label, begin - 1))
        begin--;
    return xasprintf("%.*s%s%s", (int)begin, label, begin < end ? "*" : "", label + end);
}

void report_models_label(ReportModels *models)
{
    for (int64_t i = 0; i < models->count; i++) {
        ReportModel *model = &models->items[i];
        free(model->label);
        free(model->series);
        model->label = label_of(models, model);
        model->series = series_of(model->label);
    }
}

/* ---- looks ----------------------------------------------------------------------------------- */

int report_look_colour(int64_t index)
{
    return (int)(index % COLOURS);
}

const char *report_look_class(int64_t index)
{
    static const char *const classes[TURNS] = {"", " turn1", " turn2", " turn3"};
    return classes[index / COLOURS % TURNS];
}

void report_look_name(StrBuf *out, int64_t index, const char *name)
{
    strbuf_printf(
        out,
        "<span class=\"name\"><span class=\"key%s\" style=\"background-color:var(--c%d)\">"
        "</span>",
        report_look_class(index), report_look_colour(index));
    html_text(out, name);
    strbuf_puts(out, "</span>");
}
