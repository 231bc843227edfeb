#include "infer/eval/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/io/json_put.h"
#include "core/metrics/stats.h"

static void add(Tally *tally, const TaskRun *run, const Outcome *outcome)
{
    double score = outcome_score(run, outcome);
    tally->score += score;
    tally->squares += score * score;
    tally->n++;
    tally->correct_per_byte += outcome->correct_per_byte;
    tally->cut += outcome->cut;
    tally->logprob += outcome->logprob;
}

static void add_all(Tally *tally, const Tally *other)
{
    tally->n += other->n;
    tally->score += other->score;
    tally->squares += other->squares;
    tally->correct_per_byte += other->correct_per_byte;
    tally->cut += other->cut;
    tally->logprob += other->logprob;
}

static void add_squad(TaskResult *result, const Outcome *outcomes)
{
    int64_t n = question_groups_total(&result->run->groups);
    SquadAnswer *answers = xmalloc((size_t)n * sizeof *answers);
    double *f1 = xmalloc((size_t)n * sizeof *f1);
    for (int64_t i = 0; i < n; i++) {
        answers[i] = outcomes[i].squad;
        f1[i] = answers[i].score.f1;
    }
    result->squad = squad_totals(answers, n, INFINITY);
    result->squad_best = squad_best_thresholds(answers, n);
    result->f1_error = 100.0 * stats_standard_error(f1, n);
    free(f1);
    free(answers);
}

/* Of the accuracies that each repeat would have had alone. */
static double repeat_sigma(const TaskRun *run, const Outcome *outcomes)
{
    int64_t n = question_groups_total(&run->groups);
    double accuracy[AUTHOR_REPEATS] = {0};
    for (int r = 0; r < AUTHOR_REPEATS; r++)
        for (int64_t i = 0; i < n; i++)
            accuracy[r] += outcomes[i].replies[r] / (double)n;
    return stats_standard_error(accuracy, AUTHOR_REPEATS) * sqrt(AUTHOR_REPEATS);
}

static Status add_translation(TaskResult *result, const Outcome *outcomes, Err *err)
{
    const QuestionList *list = &result->run->groups.items[0].questions;
    size_t n = (size_t)list->count;
    char **written = xcalloc(n, sizeof *written);
    const char **references = xcalloc(n, sizeof *references);
    for (size_t i = 0; i < n; i++) {
        written[i] = outcomes[i].written;
        references[i] = list->items[i].choices[list->items[i].gold];
    }
    Status status = translation_score(&result->translation, result->run->part, written, references,
                                      list->count, err);
    free(written);
    free(references);
    return status;
}

Status task_result_make(TaskResult *out, const TaskRun *run, const char *model,
                        const Outcome *outcomes, Err *err)
{
    const Outcome *next = outcomes;
    *out = (TaskResult){.run = run, .model = xstrdup(model)};
    out->groups = xcalloc((size_t)run->groups.count, sizeof *out->groups);
    for (int64_t g = 0; g < run->groups.count; g++) {
        for (int64_t q = 0; q < run->groups.items[g].questions.count; q++)
            add(&out->groups[g], run, next++);
        add_all(&out->all, &out->groups[g]);
    }
    if (run->protocol == PROTOCOL_AUTHOR)
        out->repeat_sigma = repeat_sigma(run, outcomes);
    else if (run->task->kind == TASK_SQUAD)
        add_squad(out, outcomes);
    else if (run->task->kind == TASK_TRANSLATE)
        return add_translation(out, outcomes, err);
    return STATUS_OK;
}

void task_result_clear(TaskResult *result)
{
    free(result->model);
    free(result->groups);
    translation_scores_clear(&result->translation);
    *result = (TaskResult){0};
}

double tally_accuracy(const Tally *tally)
{
    return tally->score / (double)tally->n;
}

double tally_error(const Tally *tally)
{
    return stats_error_of_sums(tally->score, tally->squares, tally->n);
}

static double per_byte_error(const Tally *tally)
{
    /* Right is 1, and so is its square. */
    double right = (double)tally->correct_per_byte;
    return stats_error_of_sums(right, right, tally->n);
}

static Interval tally_interval(const TaskRun *run, const Tally *tally)
{
    if (run->protocol == PROTOCOL_AUTHOR)
        return mean_interval(tally_accuracy(tally), tally_error(tally), tally->n);
    return wilson_interval((int64_t)tally->score, tally->n);
}

/* What guessing gives lies in the 95 % interval. The author's protocol gives that only to who
 * writes nothing but the letters; a guesser who does not has less, so all below is chance, too. (A
 * single question of ten draws has no interval: nothing speaks against chance.) */
static bool at_chance(const TaskRun *run, const Tally *tally, double chance)
{
    Interval range = tally_interval(run, tally);
    bool above = range.low > chance;
    bool below = range.high < chance && run->protocol != PROTOCOL_AUTHOR;
    return chance > 0.0 && !above && !below;
}

static bool is_of(const QuestionGroup *group, const char *category)
{
    return group->category && strcmp(group->category, category) == 0;
}

/* The category of a group, if it is the first one of it. */
static const char *new_category(const TaskRun *run, int64_t group)
{
    const char *category = run->groups.items[group].category;
    for (int64_t g = 0; g < group && category; g++)
        if (is_of(&run->groups.items[g], category))
            return NULL;
    return category;
}

static Tally category_tally(const TaskResult *result, const char *category)
{
    Tally tally = {0};
    for (int64_t g = 0; g < result->run->groups.count; g++)
        if (is_of(&result->run->groups.items[g], category))
            add_all(&tally, &result->groups[g]);
    return tally;
}

/* The mean of the groups' accuracies, however many questions each has. */
static double macro_accuracy(const TaskResult *result)
{
    double sum = 0.0;
    for (int64_t g = 0; g < result->run->groups.count; g++)
        sum += tally_accuracy(&result->groups[g]);
    return sum / (double)result->run->groups.count;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Nothing where there is no error to tell. */
static void add_error(json_t *row, const char *key, double error)
{
    if (!isnan(error))
        json_object_set_new(row, key, json_real(error));
}

static json_t *tally_json(const char *name, const Tally *tally)
{
    json_t *json = json_pack("{s:s, s:I, s:f}", "name", name, "questions", (json_int_t)tally->n,
                             "accuracy", tally_accuracy(tally));
    add_error(json, "stderr", tally_error(tally));
    return json;
}

static void add_groups(json_t *row, const TaskResult *result)
{
    json_t *groups = json_array(), *by_category = json_array();
    for (int64_t g = 0; g < result->run->groups.count; g++) {
        const QuestionGroup *group = &result->run->groups.items[g];
        const char *category = new_category(result->run, g);
        if (category) {
            Tally tally = category_tally(result, category);
            json_array_append_new(by_category, tally_json(category, &tally));
        }
        json_t *entry = tally_json(group->name, &result->groups[g]);
        if (group->category)
            json_object_set_new(entry, "category", json_string(group->category));
        json_array_append_new(groups, entry);
    }
    json_object_set_new(row, "macro_accuracy", json_real(macro_accuracy(result)));
    if (json_array_size(by_category) > 0)
        json_object_set(row, "categories", by_category);
    json_object_set_new(row, "groups", groups);
    json_decref(by_category);
}

/* In percent, as SQuAD's scorers print them. */
static void add_squad_json(json_t *row, const TaskResult *result)
{
    const SquadTotals *totals = &result->squad;
    json_object_set_new(row, "exact", json_real(totals->exact));
    json_object_set_new(row, "f1", json_real(totals->f1));
    add_error(row, "f1_stderr", result->f1_error);
    if (!task_has_unanswerable(result->run->task))
        return;
    const SquadThreshold *exact = &result->squad_best.exact, *f1 = &result->squad_best.f1;
    json_object_set_new(row, "answerable_exact", json_real(totals->answerable_exact));
    json_object_set_new(row, "answerable_f1", json_real(totals->answerable_f1));
    json_object_set_new(row, "unanswerable", json_real(totals->unanswerable));
    json_object_set_new(row, "best_exact", json_real(exact->percent));
    json_object_set_new(row, "best_exact_threshold", json_real(exact->threshold));
    json_object_set_new(row, "best_f1", json_real(f1->percent));
    json_object_set_new(row, "best_f1_threshold", json_real(f1->threshold));
}

/* {"bleu": {"score": ..., "interval": [low, high], "signature": ...}, ...} */
static void add_translation_json(json_t *row, const TaskResult *result)
{
    for (int m = 0; m < TRANSLATION_METRICS; m++) {
        const CorpusFigure *figure = &result->translation.figures[m];
        json_object_set_new(row, translation_metrics[m],
                            json_pack("{s:f, s:[o, o], s:s}", "score", figure->score, "interval",
                                      json_number(figure->interval.low),
                                      json_number(figure->interval.high), "signature",
                                      figure->signature));
    }
}

json_t *task_result_json(const TaskResult *result)
{
    const TaskRun *run = result->run;
    const Tally *all = &result->all;
    double chance = task_chance(run);
    bool author = run->protocol == PROTOCOL_AUTHOR;
    json_t *row = json_pack("{s:s, s:o, s:I, s:I, s:f}", "task", run->name, "model",
                            json_name(result->model), "questions", (json_int_t)all->n, "shots",
                            (json_int_t)run->shots, "accuracy", tally_accuracy(all));
    CHECK(row, "a result that is no JSON");
    add_error(row, "stderr", tally_error(all));
    json_object_set_new(row, "cut", json_integer(all->cut));
    json_object_set_new(row, "protocol", json_string(protocol_name(run->protocol)));
    if (result->layers)
        json_object_set_new(row, "layers", json_integer(result->layers));
    if (author) {
        json_object_set_new(row, "note", json_string(author_note));
        json_object_set_new(row, "repeats", json_integer(AUTHOR_REPEATS));
        json_object_set_new(row, "repeat_sigma", json_real(result->repeat_sigma));
    }
    if (run->task->kind == TASK_CHOICE) {
        json_object_set_new(row, "chance", json_real(chance));
        json_object_set_new(row, "at_chance", json_boolean(at_chance(run, all, chance)));
    }
    if (run->task->by_bytes) {
        double p = (double)all->correct_per_byte / (double)all->n;
        json_object_set_new(row, "accuracy_per_byte", json_real(p));
        add_error(row, "stderr_per_byte", per_byte_error(all));
    }
    if (task_is_greedy(run->task))
        json_object_set_new(row, "perplexity", json_real(exp(-all->logprob / (double)all->n)));
    if (run->task->kind == TASK_SQUAD && !author)
        add_squad_json(row, result);
    if (run->task->kind == TASK_TRANSLATE)
        add_translation_json(row, result);
    if (run->groups.items[0].name)
        add_groups(row, result);
    return row;
}

/* ---- a table for people ---------------------------------------------------------------------- */

enum { NAME_WIDTH = 40 };

/* A score between 0 and 1 in percent, with its standard error where there is one. */
static void put_score(StrBuf *out, double score, double error)
{
    strbuf_printf(out, "%.1f", 100.0 * score);
    if (!isnan(error))
        strbuf_printf(out, " ± %.1f", 100.0 * error);
    strbuf_puts(out, " %");
}

/* The same for a column: digits below digits. */
static void print_score(double score, double error)
{
    printf("%5.1f", 100.0 * score);
    if (isnan(error))
        printf("%7s %%", "");
    else
        printf(" ± %4.1f %%", 100.0 * error);
}

static void print_line(const TaskRun *run, int indent, const char *name, const char *shots,
                       const Tally *tally, double chance, const char *more)
{
    printf("%*s%-*s %5s %9lld  ", indent, "", NAME_WIDTH - indent, name, shots,
           (long long)tally->n);
    print_score(tally_accuracy(tally), tally_error(tally));
    if (chance > 0.0)
        printf("  %5.1f %%", 100.0 * chance);
    else
        printf("  %7s", "-");
    printf("%s%s\n", at_chance(run, tally, chance) ? "  at chance" : "", more);
}

static void print_category(const TaskResult *result, const char *category, double chance)
{
    Tally tally = category_tally(result, category);
    print_line(result->run, 2, category, "", &tally, chance, "");
    for (int64_t g = 0; g < result->run->groups.count; g++) {
        const QuestionGroup *group = &result->run->groups.items[g];
        if (is_of(group, category))
            print_line(result->run, 4, group->name, "", &result->groups[g], chance, "");
    }
}

static void print_result(const TaskResult *result)
{
    const TaskRun *run = result->run;
    const Tally *all = &result->all;
    bool grouped = run->groups.items[0].name != NULL;
    double chance = task_chance(run);
    StrBuf more = {0};
    char shots[24];
    strbuf_puts(&more, "");
    if (run->task->by_bytes) {
        strbuf_puts(&more, "  per byte ");
        put_score(&more, (double)all->correct_per_byte / (double)all->n, per_byte_error(all));
    }
    if (task_is_greedy(run->task))
        strbuf_printf(&more, "  perplexity %.2f", exp(-all->logprob / (double)all->n));
    if (run->protocol == PROTOCOL_AUTHOR)
        strbuf_printf(&more, "  %d repeats, σ %.2f %%", AUTHOR_REPEATS,
                      100.0 * result->repeat_sigma);
    else if (run->task->kind == TASK_SQUAD) {
        strbuf_puts(&more, "  exact match; F1 ");
        put_score(&more, result->squad.f1 / 100.0, result->f1_error / 100.0);
    }
    if (task_has_unanswerable(run->task) && run->protocol != PROTOCOL_AUTHOR)
        strbuf_printf(
            &more,
            " (answerable %.1f %%, unanswerable %.1f %%; at most %.1f %% by a threshold of "
            "%.2g)",
            result->squad.answerable_f1, result->squad.unanswerable, result->squad_best.f1.percent,
            result->squad_best.f1.threshold);
    if (run->task->kind == TASK_TRANSLATE) {
        strbuf_puts(&more, "  chrF of lines");
        for (int m = 0; m < TRANSLATION_METRICS; m++) {
            const CorpusFigure *figure = &result->translation.figures[m];
            strbuf_printf(&more, "; %.*s %.1f", (int)strcspn(figure->signature, "|"),
                          figure->signature, figure->score);
            if (!isnan(figure->interval.low))
                strbuf_printf(&more, " [%.1f, %.1f]", figure->interval.low, figure->interval.high);
        }
    }
    if (all->cut)
        strbuf_printf(&more, "  %lld cut", (long long)all->cut);
    if (grouped)
        strbuf_printf(&more, "  mean of groups %.1f %%", 100.0 * macro_accuracy(result));
    snprintf(shots, sizeof shots, "%lld", (long long)run->shots);
    print_line(run, 0, run->name, shots, all, chance, more.data);
    for (int64_t g = 0; g < run->groups.count && grouped; g++) {
        const char *category = new_category(run, g);
        if (category)
            print_category(result, category, chance);
        else if (!run->groups.items[g].category)
            print_line(run, 2, run->groups.items[g].name, "", &result->groups[g], chance, "");
    }
    strbuf_clear(&more);
}

void task_results_print(const TaskResult *results, int64_t n)
{
    bool author = false, cut = false;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(results[i].model, results[i - 1].model) != 0)
            printf("%-*s %5s %9s  %-14s  %s\n", NAME_WIDTH, results[i].model, "shots", "questions",
                   "accuracy", "chance");
        print_result(&results[i]);
        author |= results[i].run->protocol == PROTOCOL_AUTHOR;
        cut |= results[i].all.cut > 0;
    }
    if (cut)
        printf("(cut: questions whose prompt is longer than the context; its beginning is lost)\n");
    if (author)
        printf("(%s)\n", author_note);
}
