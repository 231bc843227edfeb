#include "infer/eval/translation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/inputs.h"
#include "core/base/mem.h"
#include "core/metrics/corpus_metric.h"
#include "infer/eval/data_text.h"
#include "infer/eval/segment_file.h"

const char *const translation_metrics[TRANSLATION_METRICS] = {"bleu", "chrf", "ter"};

static const struct {
    const char *code, *name;
    MtTokenizer tokenizer; /* of BLEU */
} languages[] = {
    {"en", "English", MT_TOKENIZER_13A},
    {"ru", "Russian", MT_TOKENIZER_13A},
    {"zh", "Chinese", MT_TOKENIZER_ZH},
};

enum { LANGUAGES = sizeof languages / sizeof *languages, CODE = 2 };

static int language_of(const char *code)
{
    for (int i = 0; i < LANGUAGES; i++)
        if (strncmp(code, languages[i].code, CODE) == 0)
            return i;
    return -1;
}

bool translation_has_pair(const char *pair)
{
    return strlen(pair) == 2 * CODE + 1 && pair[CODE] == '-' && language_of(pair) >= 0 &&
           language_of(pair + CODE + 1) >= 0 && strncmp(pair, pair + CODE + 1, CODE) != 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

static Status add_questions(QuestionList *out, const char *pair, const SegmentFile files[2],
                            const char *const names[2], Err *err)
{
    const char *from = languages[language_of(pair)].name;
    const char *to = languages[language_of(pair + CODE + 1)].name;
    if (files[0].count != files[1].count)
        return err_set(err, "%s has %lld lines and %s has %lld; line for line they belong together",
                       names[0], (long long)files[0].count, names[1], (long long)files[1].count);
    for (int64_t i = 0; i < files[0].count; i++) {
        Segment source = files[0].segments[i], target = files[1].segments[i];
        if (source.bytes == 0 || target.bytes == 0)
            return err_set(err, "%s:%lld: the line is empty; remove it there and in %s",
                           names[target.bytes == 0], (long long)(i + 1), names[source.bytes == 0]);
        char id[24];
        snprintf(id, sizeof id, "%lld", (long long)i);
        char *context =
            xasprintf("%s phrase: %.*s\n%s phrase:", from, (int)source.bytes, source.text, to);
        char *reference = xstrndup(target.text, (size_t)target.bytes);
        question_add_choice(question_list_add(out, id, context), reference);
        free(reference);
        free(context);
    }
    return STATUS_OK;
}

Status translation_parse(QuestionList *out, const char *pair, const char *const names[2],
                         StrBuf texts[2], Err *err)
{
    SegmentFile files[2] = {0};
    Status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++)
        if ((status = data_text_check(names[i], &texts[i], err)) == STATUS_OK)
            status = segment_file_parse(&files[i], &texts[i], names[i], err);
    if (status == STATUS_OK)
        status = add_questions(out, pair, files, names, err);
    for (int i = 0; i < 2; i++)
        segment_file_clear(&files[i]);
    return status;
}

Status translation_read(QuestionList *out, const char *source, const char *pair, Err *err)
{
    size_t stem = strlen(source) - CODE;
    char *target = xasprintf("%.*s%s", (int)stem, source, pair + CODE + 1);
    StrBuf texts[2] = {0};
    inputs_add(source);
    inputs_add(target);
    Status status = file_read(source, 0, &texts[0], err);
    if (status == STATUS_OK)
        status = file_read(target, 0, &texts[1], err);
    if (status == STATUS_OK)
        status = translation_parse(out, pair, (const char *[2]){source, target}, texts, err);
    strbuf_clear(&texts[0]);
    strbuf_clear(&texts[1]);
    free(target);
    return status;
}

/* ---- scores ---------------------------------------------------------------------------------- */

static Segment segment_of(const char *text)
{
    return (Segment){text, (int64_t)strlen(text)};
}

double translation_line_score(const char *written, const char *reference)
{
    CorpusMetric chrf;
    double counts[CHRF_STATS_MAX];
    Err err;
    CHECK(corpus_metric_parse("chrf", &chrf, &err) == STATUS_OK, "%s", err.text);
    Segment wanted = segment_of(reference);
    chrf_count(&chrf.chrf, segment_of(written), &wanted, 1, counts);
    return chrf_score(&chrf.chrf, counts) / 100.0;
}

static Status score_with(CorpusFigure *out, const CorpusMetric *metric, const Corpus *corpus,
                         Err *err)
{
    static const Bootstrap bootstrap = {.resamples = 1000, .seed = 12345};
    int width = corpus_metric_width(metric);
    double *counts = xcalloc((size_t)(corpus->n * width), sizeof *counts);
    double *draws = xcalloc((size_t)bootstrap.resamples, sizeof *draws);
    Status status = corpus_metric_count(metric, corpus, counts, err);
    if (status == STATUS_OK) {
        double sums[CORPUS_STATS_MAX];
        corpus_metric_sum(metric, counts, corpus->n, sums);
        out->score = corpus_metric_score(metric, sums);
        corpus_metric_draw(metric, counts, corpus->n, &bootstrap, draws);
        out->interval = bootstrap_interval(draws, bootstrap.resamples);
        if (corpus->n == 1)
            out->interval = (Interval){(double)NAN, (double)NAN};
    }
    free(draws);
    free(counts);
    StrBuf signature = {0};
    corpus_metric_signature(metric, corpus->n_refs, &signature);
    out->signature = strbuf_detach(&signature);
    return status;
}

Status translation_score(TranslationScores *out, const char *pair, char *const *written,
                         const char *const *references, int64_t n, Err *err)
{
    *out = (TranslationScores){0};
    Segment *hyps = xcalloc((size_t)n, sizeof *hyps), *refs = xcalloc((size_t)n, sizeof *refs);
    for (int64_t i = 0; i < n; i++) {
        hyps[i] = segment_of(written[i]);
        refs[i] = segment_of(references[i]);
    }
    Corpus corpus = {hyps, refs, n, 1};
    Status status = STATUS_OK;
    for (int m = 0; m < TRANSLATION_METRICS && status == STATUS_OK; m++) {
        CorpusMetric metric;
        status = corpus_metric_parse(translation_metrics[m], &metric, err);
        if (metric.kind == METRIC_BLEU)
            metric.bleu.tokenizer = languages[language_of(pair + CODE + 1)].tokenizer;
        if (status == STATUS_OK)
            status = score_with(&out->figures[m], &metric, &corpus, err);
    }
    free(hyps);
    free(refs);
    return status;
}

void translation_scores_clear(TranslationScores *scores)
{
    for (int m = 0; m < TRANSLATION_METRICS; m++)
        free(scores->figures[m].signature);
    *scores = (TranslationScores){0};
}
