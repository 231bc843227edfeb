#include "core/metrics/corpus_metric.h"

#include <string.h>

#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/metrics/ter.h"

Status corpus_metric_parse(const char *name, CorpusMetric *out, Err *err)
{
    *out = (CorpusMetric){0};
    if (strcmp(name, "bleu") == 0) {
        out->kind = METRIC_BLEU;
    } else if (strcmp(name, "chrf") == 0 || strcmp(name, "chrf++") == 0) {
        out->kind = METRIC_CHRF;
        out->chrf = (ChrfOptions){
            .char_order = 6, .word_order = strcmp(name, "chrf") == 0 ? 0 : 2, .beta = 2};
    } else if (strcmp(name, "ter") == 0) {
        out->kind = METRIC_TER;
    } else {
        return err_set(err, "no metric '%s'; there are bleu, chrf, chrf++ and ter", name);
    }
    return STATUS_OK;
}

int corpus_metric_width(const CorpusMetric *metric)
{
    switch (metric->kind) {
    case METRIC_BLEU:
        return BLEU_STATS;
    case METRIC_CHRF:
        return chrf_stats(&metric->chrf);
    default:
        return TER_STATS;
    }
}

typedef struct CountWork {
    const CorpusMetric *metric;
    const Corpus *corpus;
    double *stats;
    int width;
    int64_t first; /* segment */
} CountWork;

static void count_segments(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const CountWork *work = context;
    const CorpusMetric *m = work->metric;
    int n_refs = work->corpus->n_refs;
    for (int64_t i = work->first + begin; i < work->first + end; i++) {
        Segment hyp = work->corpus->hyps[i];
        const Segment *refs = work->corpus->refs + i * n_refs;
        double *stats = work->stats + i * work->width;
        if (m->kind == METRIC_BLEU)
            bleu_count(&m->bleu, hyp, refs, n_refs, stats);
        else if (m->kind == METRIC_CHRF)
            chrf_count(&m->chrf, hyp, refs, n_refs, stats);
        else
            ter_count(&m->ter, hyp, refs, n_refs, stats);
    }
}

Status corpus_metric_count(const CorpusMetric *metric, const Corpus *corpus, double *stats,
                           Err *err)
{
    enum { STEP = 256 }; /* segments between two looks at the clock and at the user */
    CountWork work = {metric, corpus, stats, corpus_metric_width(metric), 0};
    Progress progress;
    progress_start(&progress, "segment", corpus->n);
    while (work.first < corpus->n && !stop_requested()) {
        int64_t left = corpus->n - work.first, n = left < STEP ? left : STEP;
        parallel_dynamic(n, 4, count_segments, &work);
        work.first += n;
        progress_update(&progress, work.first, NULL);
    }
    progress_end(&progress);
    if (work.first < corpus->n) {
        err_set(err, "stopped");
        return STATUS_STOPPED;
    }
    return STATUS_OK;
}

double corpus_metric_score(const CorpusMetric *metric, const double *sums)
{
    switch (metric->kind) {
    case METRIC_BLEU:
        return bleu_score(&metric->bleu, sums).score;
    case METRIC_CHRF:
        return chrf_score(&metric->chrf, sums);
    default:
        return ter_score(sums);
    }
}

/* A ScoreFn. */
static double score_of(const void *metric, const double *sums, int64_t n)
{
    (void)n;
    return corpus_metric_score(metric, sums);
}

void corpus_metric_sum(const CorpusMetric *metric, const double *stats, int64_t n, double *sums)
{
    int width = corpus_metric_width(metric);
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (int64_t i = 0; i < n * width; i++)
        sums[i % width] += stats[i];
}

void corpus_metric_draw(const CorpusMetric *metric, const double *stats, int64_t n,
                        const Bootstrap *bootstrap, double *scores)
{
    bootstrap_scores(bootstrap, stats, n, corpus_metric_width(metric), score_of, metric, scores);
}

void corpus_metric_signature(const CorpusMetric *metric, int n_refs, StrBuf *out)
{
    switch (metric->kind) {
    case METRIC_BLEU:
        bleu_signature(&metric->bleu, n_refs, out);
        return;
    case METRIC_CHRF:
        chrf_signature(&metric->chrf, n_refs, out);
        return;
    case METRIC_TER:
        ter_signature(&metric->ter, n_refs, out);
        return;
    }
}
