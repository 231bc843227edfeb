#include "grow/report_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/json_get.h"
#include "core/metrics/stats.h"
#include "grow/report_html.h"

/* In the units of the view box; bars stand right of their names. */
enum { WIDTH = 640, NAMES = 230, BAR = 26, COLOURS = 8 };

/* ---- reading --------------------------------------------------------------------------------- */

void report_scores_clear(ReportScores *scores)
{
    for (int64_t i = 0; i < scores->count; i++) {
        free(scores->items[i].task);
        free(scores->items[i].model);
        free(scores->items[i].part);
    }
    free(scores->items);
    *scores = (ReportScores){0};
}

/* The colour that the model has, or the next one. */
static int colour_of(ReportScores *scores, const char *model)
{
    for (int64_t i = 0; i < scores->count; i++)
        if (strcmp(scores->items[i].model, model) == 0)
            return scores->items[i].colour;
    return scores->n_models++ % COLOURS;
}

static Status add_score(ReportScores *out, ReportScore score, const json_t *row, const char *where,
                        Err *err)
{
    TRY(json_get_real(row, "accuracy", where, &score.share, err));
    TRY(json_get_real(row, "stderr", where, &score.error, err));
    if (!(score.share >= 0.0 && score.share <= 1.0 && score.error >= 0.0 && score.error <= 1.0))
        return err_set(err, "%s: 'accuracy' and 'stderr' are between 0 and 1", where);
    score.task = xstrdup(score.task);
    score.model = xstrdup(score.model);
    score.part = score.part ? xstrdup(score.part) : NULL;
    out->items = mem_grow(out->items, &out->capacity, out->count + 1, sizeof *out->items);
    out->items[out->count++] = score;
    return STATUS_OK;
}

static Status add_row(ReportScores *out, const char *file, const json_t *row, const char *where,
                      Err *err)
{
    const char *task, *model, *part;
    TRY(json_get_text(row, "task", where, &task, err));
    TRY(json_get_text(row, "model", where, &model, err));
    if (strcmp(task, "bpb") == 0)
        return STATUS_OK;
    /* Stages all end in model.h5: the file tells them apart. */
    char *name = xasprintf("%s (%s)", file_base_name(file), model);
    ReportScore score = {
        .task = (char *)(uintptr_t)task, .model = name, .chance = (double)NAN, .layers = 0};
    const json_t *categories = json_object_get(row, "categories");
    Status status = STATUS_OK;
    score.colour = colour_of(out, name);
    if (json_object_get(row, "chance"))
        status = json_get_real(row, "chance", where, &score.chance, err);
    if (status == STATUS_OK && json_object_get(row, "layers"))
        status = json_get_int(row, "layers", where, &score.layers, err);
    if (status == STATUS_OK)
        status = add_score(out, score, row, where, err);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(categories); i++) {
        const json_t *category = json_array_get(categories, i);
        status = json_get_text(category, "name", where, &part, err);
        score.part = (char *)(uintptr_t)part;
        if (status == STATUS_OK)
            status = add_score(out, score, category, where, err);
    }
    free(name);
    return status;
}

Status report_scores_read(ReportScores *out, const char *path, Err *err)
{
    StrBuf text = {0};
    json_error_t error;
    json_t *rows = NULL;
    Status status = file_read(path, 0, &text, err);
    if (status == STATUS_OK) {
        rows = json_loadb(text.data, (size_t)text.size, 0, &error);
        if (!rows)
            status = err_set(err, "%s:%d: not JSON: %s", path, error.line, error.text);
        else if (!json_is_array(rows))
            status = err_set(err, "%s is not a result of 'cambium eval -o'", path);
    }
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(rows); i++) {
        char *where = xasprintf("%s: [%zu]", path, i);
        status = add_row(out, path, json_array_get(rows, i), where, err);
        free(where);
    }
    json_decref(rows);
    strbuf_clear(&text);
    return status;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static double bar_x(double share)
{
    return NAMES + fmin(fmax(share, 0.0), 1.0) * (WIDTH - NAMES - 80);
}

static void draw_bar(StrBuf *out, const ReportScore *score, int64_t row)
{
    Interval range = normal_interval(score->share, score->error);
    double y = (double)(row * BAR), middle = y + BAR / 2.0;
    strbuf_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", NAMES - 8, middle + 4.5);
    html_text(out, score->part ? score->part : score->model);
    strbuf_printf(out,
                  "</text><rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" "
                  "fill=\"var(--c%d)\"><title>",
                  NAMES, y + 4, bar_x(score->share) - NAMES, BAR - 8, score->colour);
    html_text(out, score->model);
    strbuf_printf(out,
                  "</title></rect><path stroke=\"var(--ink)\" d=\"M%.1f %.1fH%.1f\"/><text "
                  "x=\"%.1f\" y=\"%.1f\">%.1f %%</text>\n",
                  bar_x(range.low), middle, bar_x(range.high), bar_x(range.high) + 6, middle + 4.5,
                  100.0 * score->share);
    if (!isnan(score->chance))
        strbuf_printf(out, "<path class=\"mark\" stroke=\"var(--ink)\" d=\"M%.1f %.1fV%.1f\"/>\n",
                      bar_x(score->chance), y, y + BAR);
}

static bool is_bar(const ReportScore *score, const char *task, bool part)
{
    return strcmp(score->task, task) == 0 && (score->part != NULL) == part;
}

static bool is_point(const ReportScore *score, const char *task)
{
    return is_bar(score, task, false) && score->layers > 0;
}

/* The bars of a task: of all of it, or of its categories. */
static void draw_task(const ReportScores *scores, const char *task, bool parts, StrBuf *out)
{
    int64_t rows = 0;
    for (int64_t i = 0; i < scores->count; i++)
        rows += is_bar(&scores->items[i], task, parts);
    if (rows == 0)
        return;
    strbuf_puts(out, "<figure><figcaption>");
    html_text(out, task);
    strbuf_printf(out, "%s</figcaption>\n<svg viewBox=\"0 0 %d %lld\" role=\"img\">\n",
                  parts ? " by category" : "", WIDTH, (long long)rows * BAR);
    int64_t row = 0;
    for (int64_t i = 0; i < scores->count; i++)
        if (is_bar(&scores->items[i], task, parts))
            draw_bar(out, &scores->items[i], row++);
    strbuf_puts(out, "</svg></figure>\n");
}

/* Points with their intervals over the number of layers. */
static void draw_depth(const ReportScores *scores, const char *task, StrBuf *out)
{
    enum { HEIGHT = 240, LEFT = 60, BOTTOM = 30 };
    int64_t most = 0, least = INT64_MAX;
    for (int64_t i = 0; i < scores->count; i++) {
        const ReportScore *score = &scores->items[i];
        if (!is_point(score, task))
            continue;
        most = score->layers > most ? score->layers : most;
        least = score->layers < least ? score->layers : least;
    }
    if (most <= least)
        return;
    strbuf_puts(out, "<figure><figcaption>");
    html_text(out, task);
    strbuf_printf(out, " against depth</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\">\n",
                  WIDTH, HEIGHT);
    for (int percent = 0; percent <= 100; percent += 25) {
        double y = (HEIGHT - BOTTOM - 10) * (1.0 - percent / 100.0) + 10;
        strbuf_printf(out,
                      "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                      "text-anchor=\"end\">%d %%</text>\n",
                      LEFT, y, WIDTH, LEFT - 8, y + 4.5, percent);
    }
    for (int64_t i = 0; i < scores->count; i++) {
        const ReportScore *score = &scores->items[i];
        if (!is_point(score, task))
            continue;
        double span = (double)(score->layers - least) / (double)(most - least);
        double x = LEFT + 30 + span * (WIDTH - LEFT - 60), scale = HEIGHT - BOTTOM - 10;
        Interval range = normal_interval(score->share, score->error);
        strbuf_printf(out, "<g fill=\"var(--c%d)\" stroke=\"var(--c%d)\"><title>", score->colour,
                      score->colour);
        html_text(out, score->model);
        strbuf_printf(
            out,
            "</title><circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/><path d=\"M%.1f "
            "%.1fV%.1f\"/></g><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%lld "
            "layers</text>\n",
            x, 10 + scale * (1.0 - score->share), x, 10 + scale * (1.0 - fmax(range.low, 0.0)),
            10 + scale * (1.0 - fmin(range.high, 1.0)), x, HEIGHT - 6, (long long)score->layers);
    }
    strbuf_puts(out, "</svg></figure>\n");
}

static bool is_first(const ReportScores *scores, int64_t index)
{
    for (int64_t i = 0; i < index; i++)
        if (strcmp(scores->items[i].task, scores->items[index].task) == 0)
            return false;
    return true;
}

void report_scores_page(const ReportScores *scores, StrBuf *out)
{
    if (scores->count == 0)
        return;
    strbuf_puts(out, "<h2>Scores</h2>\n<div class=\"charts\">\n");
    for (int64_t i = 0; i < scores->count; i++) {
        if (!is_first(scores, i))
            continue;
        draw_task(scores, scores->items[i].task, false, out);
        draw_task(scores, scores->items[i].task, true, out);
        draw_depth(scores, scores->items[i].task, out);
    }
    strbuf_puts(out, "</div>\n<p>Bars with 95 % intervals (1.96 standard errors over questions); "
                     "dashed: chance. Tasks of the author's protocol are named so, and are not "
                     "comparable with others.</p>\n");
}
