#include "infer/eval/score_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/io/json_put.h"

static double line_score(const Measure *m, int64_t line)
{
    return corpus_metric_score(&m->metric, m->stats[0] + line * m->width);
}

static void print_sentences(const ScoreRun *run)
{
    for (int m = 0; m < run->n_measures; m++)
        printf("%s%s", m > 0 ? "\t" : "", run->measures[m].name);
    putchar('\n');
    for (int64_t line = 0; line < run->lines; line++) {
        for (int m = 0; m < run->n_measures; m++)
            printf("%s%.4f", m > 0 ? "\t" : "", line_score(&run->measures[m], line));
        putchar('\n');
    }
}

static void put_interval(StrBuf *row, Interval interval, bool sign)
{
    char text[64];
    if (isnan(interval.low))
        snprintf(text, sizeof text, "-");
    else
        snprintf(text, sizeof text, sign ? "[%+.2f, %+.2f]" : "[%.2f, %.2f]", interval.low,
                 interval.high);
    strbuf_printf(row, "  %-18s", text);
}

/* Without the blanks behind the last column. */
static void print_row(StrBuf *row)
{
    while (row->size > 0 && row->data[row->size - 1] == ' ')
        row->size--;
    printf("%.*s\n", (int)row->size, row->data);
    strbuf_reset(row);
}

static void put_head(const ScoreRun *run, StrBuf *row)
{
    bool two = run->n_systems > 1;
    strbuf_printf(row, "%-8s", "metric");
    for (int i = 0; i < run->n_systems; i++) {
        strbuf_printf(row, "  %7s", !two ? "score" : i == 0 ? "A" : "B");
        if (run->draws)
            strbuf_printf(row, "  %-18s", "95 % interval");
    }
    if (two)
        strbuf_printf(row, "  %7s  %-18s  %7s", "B - A", "95 % interval", "p");
}

static void put_scores(const ScoreRun *run, const Measure *m, StrBuf *row)
{
    strbuf_printf(row, "%-8s", m->name);
    for (int i = 0; i < run->n_systems; i++) {
        strbuf_printf(row, "  %7.2f", m->score[i]);
        if (run->draws)
            put_interval(row, m->interval[i], false);
    }
    if (run->n_systems > 1) {
        strbuf_printf(row, "  %+7.2f", m->score[1] - m->score[0]);
        put_interval(row, m->difference_interval, true);
        if (isnan(m->p))
            strbuf_printf(row, "  %7s", "-");
        else
            strbuf_printf(row, "  %7.4f", m->p);
    }
}

/* What makes a score comparable, and the parts of BLEU. */
static void print_signature(const ScoreRun *run, const Measure *m)
{
    puts(m->signature);
    for (int i = 0; i < run->n_systems && m->metric.kind == METRIC_BLEU; i++) {
        BleuScore b = bleu_score(&m->metric.bleu, m->sums[i]);
        printf("  precisions %.1f/%.1f/%.1f/%.1f, brevity penalty %.3f, %lld words for %lld\n",
               b.precisions[0], b.precisions[1], b.precisions[2], b.precisions[3],
               b.brevity_penalty, (long long)b.hyp_words, (long long)b.ref_words);
    }
}

static void print_scores(const ScoreRun *run)
{
    StrBuf row = {0};
    for (int i = 0; i < run->n_systems && run->n_systems > 1; i++)
        printf("%c = %s\n", 'A' + i, run->paths->items[i]);
    put_head(run, &row);
    print_row(&row);
    for (int k = 0; k < run->n_measures; k++) {
        put_scores(run, &run->measures[k], &row);
        print_row(&row);
    }
    putchar('\n');
    for (int k = 0; k < run->n_measures; k++)
        print_signature(run, &run->measures[k]);
    strbuf_clear(&row);
}

static json_t *interval_json(Interval interval)
{
    return json_pack("[o, o]", json_number(interval.low), json_number(interval.high));
}

static json_t *system_json(const ScoreRun *run, const Measure *m, int i)
{
    json_t *json = json_pack("{s:o, s:f}", "hypotheses", json_name(run->paths->items[i]), "score",
                             m->score[i]);
    if (run->draws)
        json_object_set_new(json, "interval", interval_json(m->interval[i]));
    if (m->metric.kind == METRIC_BLEU) {
        BleuScore b = bleu_score(&m->metric.bleu, m->sums[i]);
        json_object_set_new(json, "precisions",
                            json_pack("[f, f, f, f]", b.precisions[0], b.precisions[1],
                                      b.precisions[2], b.precisions[3]));
        json_object_set_new(json, "brevity_penalty", json_real(b.brevity_penalty));
        json_object_set_new(json, "hyp_words", json_integer(b.hyp_words));
        json_object_set_new(json, "ref_words", json_integer(b.ref_words));
    } else if (m->metric.kind == METRIC_TER) {
        json_object_set_new(json, "edits", json_real(m->sums[i][0]));
        json_object_set_new(json, "ref_words", json_real(m->sums[i][1]));
    }
    if (run->sentences) {
        json_t *lines = json_array();
        for (int64_t line = 0; line < run->lines; line++)
            json_array_append_new(lines, json_real(line_score(m, line)));
        json_object_set_new(json, "lines", lines);
    }
    return json;
}

void score_report_json(const ScoreRun *run)
{
    json_t *list = json_array();
    for (int k = 0; k < run->n_measures; k++) {
        const Measure *m = &run->measures[k];
        json_t *json = json_pack("{s:s, s:s, s:I, s:[]}", "metric", m->name, "signature",
                                 m->signature, "lines", (json_int_t)run->lines, "systems");
        for (int i = 0; i < run->n_systems; i++)
            json_array_append_new(json_object_get(json, "systems"), system_json(run, m, i));
        if (run->n_systems > 1) {
            json_object_set_new(json, "difference", json_real(m->score[1] - m->score[0]));
            json_object_set_new(json, "interval", interval_json(m->difference_interval));
            json_object_set_new(json, "p", json_number(m->p));
        }
        if (run->draws) {
            json_object_set_new(json, "resamples", json_integer(run->bootstrap.resamples));
            json_object_set_new(json, "seed", json_integer((json_int_t)run->bootstrap.seed));
        }
        json_array_append_new(list, json);
    }
    char *text = json_dumps(list, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    puts(text);
    free(text);
    json_decref(list);
}

void score_report_print(const ScoreRun *run)
{
    if (run->sentences)
        print_sentences(run);
    else
        print_scores(run);
}
