/* `cambium eval compare`: whether one model is better than another on the same questions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/json_put.h"
#include "core/metrics/stats.h"
#include "infer/eval/eval_words.h"
#include "infer/eval/item_pairs.h"

typedef struct CompareSettings {
    int64_t resamples, seed;
    bool groups, json;
} CompareSettings;

#define AT(field) offsetof(CompareSettings, field)

static const Option compare_options[] = {
    {"resamples", OPTION_INT, AT(resamples), "N", "10000", "draws of the bootstrap", NULL, 0, NULL},
    {"seed", OPTION_INT, AT(seed), "N", "1", "of the bootstrap's draws", NULL, 0, NULL},
    {"groups", OPTION_FLAG, AT(groups), NULL, NULL,
     "also a row for each subject of mmlu, and each depth of passkey and needle", NULL, 0, NULL},
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print JSON", NULL, 0, NULL},
    {0},
};

static const char all_questions[] = "all questions";

/* What is known of the pairs of one part, or of all. */
typedef struct Comparison {
    ItemPart part;
    int64_t n;
    double mean[2], error[2];
    /* Of the second less the first; NaN where the questions say nothing of others: a single one, or
     * all with the same difference. */
    Interval difference;
    double p;
    int64_t only[2]; /* right in just this file, of the questions with right and wrong answers */
    int64_t n_judged;
    double p_mcnemar;
} Comparison;

static void count_right(const ItemPairs *pairs, Comparison *out)
{
    for (int64_t i = 0; i < pairs->n; i++) {
        int a = pairs->items[0][i]->correct, b = pairs->items[1][i]->correct;
        if (a < 0 || b < 0)
            continue;
        out->n_judged++;
        out->only[0] += a > b;
        out->only[1] += b > a;
    }
    out->p_mcnemar = mcnemar_exact(out->only[0], out->only[1]);
}

static void draw_differences(const CompareSettings *s, const double *differences, Comparison *out)
{
    double *drawn = xcalloc((size_t)s->resamples, sizeof *drawn);
    /* The mean of differences is the difference of means, draw for draw. */
    Bootstrap bootstrap = {s->resamples, (uint64_t)s->seed};
    bootstrap_scores(&bootstrap, differences, out->n, 1, score_mean, NULL, drawn);
    if (!bootstrap_is_blind(drawn, s->resamples)) {
        out->p = bootstrap_p_value(drawn, s->resamples, stats_mean(differences, out->n));
        out->difference = bootstrap_interval(drawn, s->resamples);
    }
    free(drawn);
}

static Comparison compare(const CompareSettings *s, const ItemPairs *all, const ItemPart *part)
{
    ItemPairs pairs = item_pairs_of(all, part);
    Comparison out = {.part = *part, .n = pairs.n, .difference = {NAN, NAN}, .p = NAN};
    double *values = xcalloc((size_t)out.n, sizeof *values);
    double *differences = xcalloc((size_t)out.n, sizeof *differences);
    for (int f = 0; f < 2; f++) {
        for (int64_t i = 0; i < out.n; i++) {
            values[i] = pairs.items[f][i]->score;
            differences[i] += f == 0 ? -values[i] : values[i];
        }
        out.mean[f] = stats_mean(values, out.n);
        out.error[f] = stats_standard_error(values, out.n);
    }
    if (out.n > 1)
        draw_differences(s, differences, &out);
    count_right(&pairs, &out);
    free(values);
    free(differences);
    item_pairs_clear(&pairs);
    return out;
}

/* Room for the longest names of tasks and of the groups that are to be printed. */
static int name_width(const CompareSettings *s, const ItemParts *parts)
{
    int width = (int)strlen(all_questions);
    for (int64_t i = 0; i < parts->count; i++) {
        const ItemPart *part = &parts->items[i];
        const char *names[] = {part->task, part->category, s->groups ? part->group : NULL};
        for (int k = 0; k < 3; k++)
            if (names[k] && 2 * k + (int)strlen(names[k]) > width)
                width = 2 * k + (int)strlen(names[k]);
    }
    return width;
}

static void print_head(int width, const ItemScores files[2], const StringList *paths)
{
    for (int f = 0; f < 2; f++)
        printf("%c = %s (%s)\n", 'A' + f, paths->items[f], files[f].model);
    printf("%-*s %7s  %-15s  %-15s  %7s  %-18s %7s  %6s %6s %8s\n", width, "task", "n", "A", "B",
           "B - A", "95 % interval", "p", "only A", "only B", "McNemar");
}

static void print_comparison(int width, const Comparison *c)
{
    char texts[3][64];
    const ItemPart *part = &c->part;
    int indent = part->group && part->category ? 4 : part->group || part->category ? 2 : 0;
    const char *name = part->group      ? part->group
                       : part->category ? part->category
                       : part->task     ? part->task
                                        : all_questions;
    for (int f = 0; f < 2; f++)
        snprintf(texts[f], sizeof texts[f], c->n > 1 ? "%.2f +- %.2f" : "%.2f", 100 * c->mean[f],
                 100 * c->error[f]);
    snprintf(texts[2], sizeof texts[2], "[%+.2f, %+.2f]", 100 * c->difference.low,
             100 * c->difference.high);
    printf("%*s%-*s %7lld  %-15s  %-15s  %+7.2f", indent, "", width - indent, name, (long long)c->n,
           texts[0], texts[1], 100 * (c->mean[1] - c->mean[0]));
    if (isnan(c->p))
        printf("  %-18s %7s", "-", "-");
    else
        printf("  %-18s %7.4f", texts[2], c->p);
    if (c->n_judged > 0)
        printf("  %6lld %6lld %8.2g\n", (long long)c->only[0], (long long)c->only[1], c->p_mcnemar);
    else
        printf("  %6s %6s %8s\n", "-", "-", "-");
}

static json_t *comparison_json(const Comparison *c)
{
    const ItemPart *part = &c->part;
    json_t *json =
        json_pack("{s:s, s:s*, s:s*, s:I}", "task", part->task ? part->task : all_questions,
                  "category", part->category, "group", part->group, "n", (json_int_t)c->n);
    json_object_set_new(json, "means", json_pack("[f, f]", c->mean[0], c->mean[1]));
    json_object_set_new(json, "standard_errors",
                        json_pack("[o, o]", json_number(c->error[0]), json_number(c->error[1])));
    json_object_set_new(json, "difference", json_real(c->mean[1] - c->mean[0]));
    json_object_set_new(
        json, "interval",
        json_pack("[o, o]", json_number(c->difference.low), json_number(c->difference.high)));
    json_object_set_new(json, "p", json_number(c->p));
    if (c->n_judged > 0)
        json_object_set_new(json, "mcnemar",
                            json_pack("{s:I, s:I, s:I, s:f}", "n", (json_int_t)c->n_judged,
                                      "only_a", (json_int_t)c->only[0], "only_b",
                                      (json_int_t)c->only[1], "p", c->p_mcnemar));
    return json;
}

/* Where the comparisons go. */
typedef struct Table {
    const CompareSettings *settings;
    const ItemPairs *pairs;
    const ItemParts *parts;
    int width;    /* of the names */
    json_t *list; /* NULL: printed */
} Table;

static void show(const Table *table, const ItemPart *part)
{
    Comparison comparison = compare(table->settings, table->pairs, part);
    if (table->list)
        json_array_append_new(table->list, comparison_json(&comparison));
    else
        print_comparison(table->width, &comparison);
}

static bool same_task(const ItemPart *a, const ItemPart *b)
{
    return strcmp(a->task, b->task) == 0;
}

typedef bool SameFn(const ItemPart *a, const ItemPart *b);

static bool is_first(const ItemParts *parts, int64_t i, SameFn *same)
{
    for (int64_t k = 0; k < i; k++)
        if (same(&parts->items[k], &parts->items[i]))
            return false;
    return true;
}

/* A category (groups without one are the task's own) and, if asked for, its groups. */
static void show_category(const Table *table, const ItemPart *first)
{
    if (first->category)
        show(table, &(ItemPart){.task = first->task, .category = first->category});
    for (int64_t i = 0; i < table->parts->count && table->settings->groups; i++) {
        const ItemPart *part = &table->parts->items[i];
        if (part->group && item_parts_share_category(part, first))
            show(table, part);
    }
}

/* A row for each task and its categories, and one for all questions where there are several
 * tasks. */
static void show_tasks(const Table *table)
{
    const ItemParts *parts = table->parts;
    bool several = false;
    for (int64_t t = 0; t < parts->count; t++) {
        if (!is_first(parts, t, same_task))
            continue;
        several |= t > 0;
        show(table, &(ItemPart){.task = parts->items[t].task});
        for (int64_t c = t; c < parts->count; c++)
            if (same_task(&parts->items[c], &parts->items[t]) &&
                is_first(parts, c, item_parts_share_category))
                show_category(table, &parts->items[c]);
    }
    if (several)
        show(table, &(ItemPart){0});
}

/* Numbers of questions, such as MMLU's, mean other questions in another split or another file. */
static Status check_pairs(const ItemPairs *pairs, const StringList *paths, Err *err)
{
    if (pairs->n == 0)
        return err_set(err,
                       "%s and %s have no question in common; evaluate both models on the same "
                       "tasks",
                       paths->items[0], paths->items[1]);
    for (int64_t i = 0; i < pairs->n; i++) {
        const ItemScore *a = pairs->items[0][i], *b = pairs->items[1][i];
        if (a->question && b->question && strcmp(a->question, b->question) != 0)
            return err_set(err,
                           "%s:%lld and %s:%lld are different questions, both %s %s; run 'cambium "
                           "eval' of both models with the same --data, --split and --seed",
                           paths->items[0], (long long)a->line, paths->items[1], (long long)b->line,
                           a->task, a->id);
    }
    return STATUS_OK;
}

static Status compare_files(const CompareSettings *s, const ItemScores files[2],
                            const StringList *paths, Err *err)
{
    ItemPairs pairs = item_pairs_new(files);
    Status status = check_pairs(&pairs, paths, err);
    if (status != STATUS_OK) {
        item_pairs_clear(&pairs);
        return status;
    }
    for (int f = 0; f < 2; f++)
        if (pairs.alone[f] > 0)
            log_warn("%lld questions are in %s alone and do not count", (long long)pairs.alone[f],
                     paths->items[f]);
    ItemParts parts = item_parts_new(&pairs);
    Table table = {s, &pairs, &parts, name_width(s, &parts), s->json ? json_array() : NULL};
    if (!s->json)
        print_head(table.width, files, paths);
    show_tasks(&table);
    if (s->json) {
        json_t *json = json_pack("{s:[s, s], s:I, s:I, s:o}", "models", files[0].model,
                                 files[1].model, "resamples", (json_int_t)s->resamples, "seed",
                                 (json_int_t)s->seed, "tasks", table.list);
        char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        puts(text);
        free(text);
        json_decref(json);
    }
    free(parts.items);
    item_pairs_clear(&pairs);
    return STATUS_OK;
}

static Status compare_run(const void *settings, const StringList *paths, Err *err)
{
    const CompareSettings *s = settings;
    if (s->resamples < 1 || s->resamples > 10000000)
        return err_usage(err, "--resamples takes 1 to 10000000");
    ItemScores files[2] = {{0}, {0}};
    Status status = item_scores_read(&files[0], paths->items[0], err);
    if (status == STATUS_OK)
        status = item_scores_read(&files[1], paths->items[1], err);
    if (status == STATUS_OK)
        status = compare_files(s, files, paths, err);
    item_scores_clear(&files[0]);
    item_scores_clear(&files[1]);
    return status;
}

const Verb verb_eval_compare = {
    .name = "eval compare",
    .summary = "tell whether one model is better than another on the same questions",
    .positionals = "ITEMS_A ITEMS_B",
    .positionals_min = 2,
    .positionals_max = 2,
    .details = "Compares two files of 'cambium eval --save-items', question by question, by task "
               "and by category (of "
               "mmlu; lengths of passkey and needle). A +- is one standard error "
               "over questions; the interval of the difference and p are from a paired bootstrap; "
               "McNemar's test (exact) regards the questions that just one of both got right.",
    .examples =
        {
            "eval compare small.items.jsonl grown.items.jsonl",
            "eval compare small.items.jsonl grown.items.jsonl --groups",
        },
    .options = compare_options,
    .settings_size = sizeof(CompareSettings),
    .run = compare_run,
};
