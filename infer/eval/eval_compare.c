/* `cambium eval compare`: whether one model is better than another on the same questions. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/metrics/stats.h"
#include "infer/eval/eval_words.h"
#include "infer/eval/item_scores.h"

typedef struct CompareSettings {
    int64_t resamples, seed;
    bool json;
} CompareSettings;

#define AT(field) offsetof(CompareSettings, field)

static const Option compare_options[] = {
    {"resamples", OPTION_INT, AT(resamples), "N", "10000", "draws of the bootstrap", NULL, 0, NULL},
    {"seed", OPTION_INT, AT(seed), "N", "1", "of the bootstrap's draws", NULL, 0, NULL},
    {"json", OPTION_FLAG, AT(json), NULL, NULL, "print JSON", NULL, 0, NULL},
    {0},
};

/* The questions that both files have, in the order of task and id. */
typedef struct Pairs {
    const ItemScore **items[2]; /* (n): borrowed */
    int64_t n;
    int64_t alone[2]; /* questions that the other file lacks */
} Pairs;

static void pairs_clear(Pairs *pairs)
{
    free(pairs->items[0]);
    free(pairs->items[1]);
}

static void pairs_init(Pairs *pairs, const ItemScores files[2])
{
    *pairs = (Pairs){0};
    int64_t most = files[0].count < files[1].count ? files[0].count : files[1].count;
    for (int f = 0; f < 2; f++)
        pairs->items[f] = xcalloc((size_t)most, sizeof **pairs->items);
    int64_t at[2] = {0, 0};
    while (at[0] < files[0].count && at[1] < files[1].count) {
        const ItemScore *a = &files[0].items[at[0]], *b = &files[1].items[at[1]];
        int order = item_score_order(a, b);
        if (order == 0) {
            pairs->items[0][pairs->n] = a;
            pairs->items[1][pairs->n++] = b;
        }
        at[0] += order <= 0;
        at[1] += order >= 0;
    }
    for (int f = 0; f < 2; f++)
        pairs->alone[f] = files[f].count - pairs->n;
}

/* What is known of the pairs of one task, or of all. */
typedef struct Comparison {
    const char *task;
    int64_t n;
    double mean[2], error[2];
    Interval difference; /* of the second less the first */
    double p;
    int64_t only[2]; /* right in just this file, of the questions with right and wrong answers */
    int64_t n_judged;
    double p_mcnemar;
} Comparison;

static void count_right(const Pairs *pairs, int64_t begin, int64_t end, Comparison *out)
{
    for (int64_t i = begin; i < end; i++) {
        int a = pairs->items[0][i]->correct, b = pairs->items[1][i]->correct;
        if (a < 0 || b < 0)
            continue;
        out->n_judged++;
        out->only[0] += a > b;
        out->only[1] += b > a;
    }
    out->p_mcnemar = mcnemar_exact(out->only[0], out->only[1]);
}

static Comparison compare(const CompareSettings *s, const Pairs *pairs, int64_t begin, int64_t end,
                          const char *task)
{
    Comparison out = {.task = task, .n = end - begin};
    double *values = xcalloc((size_t)out.n, sizeof *values);
    double *differences = xcalloc((size_t)out.n, sizeof *differences);
    double *drawn = xcalloc((size_t)s->resamples, sizeof *drawn);
    for (int f = 0; f < 2; f++) {
        for (int64_t i = 0; i < out.n; i++) {
            values[i] = pairs->items[f][begin + i]->score;
            differences[i] += f == 0 ? -values[i] : values[i];
        }
        out.mean[f] = stats_mean(values, out.n);
        out.error[f] = stats_standard_error(values, out.n);
    }
    /* The mean of differences is the difference of means, draw for draw. */
    Bootstrap bootstrap = {s->resamples, (uint64_t)s->seed};
    bootstrap_scores(&bootstrap, differences, out.n, 1, score_mean, NULL, drawn);
    out.p = bootstrap_p_value(drawn, s->resamples, stats_mean(differences, out.n));
    out.difference = bootstrap_interval(drawn, s->resamples);
    count_right(pairs, begin, end, &out);
    free(values);
    free(differences);
    free(drawn);
    return out;
}

static void print_head(const ItemScores files[2], const StringList *paths)
{
    for (int f = 0; f < 2; f++)
        printf("%c = %s (%s)\n", 'A' + f, paths->items[f], files[f].model);
    printf("%-18s %7s  %-13s  %-13s  %7s  %-18s %7s  %6s %6s %8s\n", "task", "n", "A", "B", "B - A",
           "95 % interval", "p", "only A", "only B", "McNemar");
}

static void print_comparison(const Comparison *c)
{
    char texts[3][64];
    for (int f = 0; f < 2; f++)
        snprintf(texts[f], sizeof texts[f], "%.2f +- %.2f", 100 * c->mean[f], 100 * c->error[f]);
    snprintf(texts[2], sizeof texts[2], "[%+.2f, %+.2f]", 100 * c->difference.low,
             100 * c->difference.high);
    printf("%-18s %7lld  %-13s  %-13s  %+7.2f  %-18s %7.4f", c->task, (long long)c->n, texts[0],
           texts[1], 100 * (c->mean[1] - c->mean[0]), texts[2], c->p);
    if (c->n_judged > 0)
        printf("  %6lld %6lld %8.2g\n", (long long)c->only[0], (long long)c->only[1], c->p_mcnemar);
    else
        printf("  %6s %6s %8s\n", "-", "-", "-");
}

static json_t *comparison_json(const Comparison *c)
{
    json_t *json =
        json_pack("{s:s, s:I, s:[f, f], s:[f, f], s:f, s:[f, f], s:f}", "task", c->task, "n",
                  (json_int_t)c->n, "means", c->mean[0], c->mean[1], "standard_errors", c->error[0],
                  c->error[1], "difference", c->mean[1] - c->mean[0], "interval", c->difference.low,
                  c->difference.high, "p", c->p);
    if (c->n_judged > 0)
        json_object_set_new(json, "mcnemar",
                            json_pack("{s:I, s:I, s:I, s:f}", "n", (json_int_t)c->n_judged,
                                      "only_a", (json_int_t)c->only[0], "only_b",
                                      (json_int_t)c->only[1], "p", c->p_mcnemar));
    return json;
}

static void show(const CompareSettings *s, const Comparison *comparison, json_t *list)
{
    if (s->json)
        json_array_append_new(list, comparison_json(comparison));
    else
        print_comparison(comparison);
}

/* A row for each task, and one for all questions where there are several tasks. */
static void compare_tasks(const CompareSettings *s, const Pairs *pairs, json_t *list)
{
    int64_t begin = 0;
    while (begin < pairs->n) {
        const char *task = pairs->items[0][begin]->task;
        int64_t end = begin;
        while (end < pairs->n && strcmp(pairs->items[0][end]->task, task) == 0)
            end++;
        Comparison one = compare(s, pairs, begin, end, task);
        show(s, &one, list);
        if (begin == 0 && end == pairs->n)
            return;
        begin = end;
    }
    Comparison all = compare(s, pairs, 0, pairs->n, "all questions");
    show(s, &all, list);
}

static Status compare_files(const CompareSettings *s, const ItemScores files[2],
                            const StringList *paths, Err *err)
{
    Pairs pairs;
    pairs_init(&pairs, files);
    if (pairs.n == 0) {
        pairs_clear(&pairs);
        return err_set(err,
                       "%s and %s have no question in common; evaluate both models on the same "
                       "tasks",
                       paths->items[0], paths->items[1]);
    }
    for (int f = 0; f < 2; f++)
        if (pairs.alone[f] > 0)
            log_warn("%lld questions are in %s alone and do not count", (long long)pairs.alone[f],
                     paths->items[f]);
    json_t *list = s->json ? json_array() : NULL;
    if (!s->json)
        print_head(files, paths);
    compare_tasks(s, &pairs, list);
    if (s->json) {
        json_t *json = json_pack("{s:[s, s], s:I, s:I, s:o}", "models", files[0].model,
                                 files[1].model, "resamples", (json_int_t)s->resamples, "seed",
                                 (json_int_t)s->seed, "tasks", list);
        char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        puts(text);
        free(text);
        json_decref(json);
    }
    pairs_clear(&pairs);
    return STATUS_OK;
}

static Status compare_run(const void *settings, const StringList *paths, Err *err)
{
    const CompareSettings *s = settings;
    if (s->resamples < 1 || s->resamples > 10000000)
        return err_set(err, "--resamples takes 1 to 10000000");
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
    .details =
        "Compares two files of --save-items, question by question. A +- is one standard error "
        "over questions; the interval of the difference and p are from a paired bootstrap; "
        "McNemar's test (exact) regards the questions that just one of both got right.",
    .examples =
        {
            "eval compare small.items.jsonl grown.items.jsonl",
        },
    .options = compare_options,
    .settings_size = sizeof(CompareSettings),
    .run = compare_run,
};
