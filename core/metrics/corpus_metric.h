/* The corpus metrics behind one face: what is counted in a segment, the score of sums of counts,
 * and the signature that lets a score be compared. */
#ifndef CAMBIUM_CORE_METRICS_CORPUS_METRIC_H
#define CAMBIUM_CORE_METRICS_CORPUS_METRIC_H

#include "core/metrics/bleu.h"
#include "core/metrics/chrf.h"
#include "core/metrics/stats.h"

enum { CORPUS_STATS_MAX = CHRF_STATS_MAX }; /* the most numbers per segment */

typedef enum CorpusMetricKind { METRIC_BLEU, METRIC_CHRF, METRIC_TER } CorpusMetricKind;

typedef struct CorpusMetric {
    CorpusMetricKind kind;
    union {
        BleuOptions bleu;
        ChrfOptions chrf;
        TercomOptions ter;
    };
} CorpusMetric;

/* The hypotheses of one system and their references. Borrowed. */
typedef struct Corpus {
    const Segment *hyps; /* (n) */
    const Segment *refs; /* (n, n_refs) */
    int64_t n;
    int n_refs; /* at least 1 */
} Corpus;

/* "bleu", "chrf", "chrf++" or "ter", with the usual options. */
Status corpus_metric_parse(const char *name, CorpusMetric *out, Err *err);

int corpus_metric_width(const CorpusMetric *metric); /* numbers per segment */

/* Fills stats (n, width); in parallel, shows progress where it takes long. Stops when the user asks
 * to. */
Status corpus_metric_count(const CorpusMetric *metric, const Corpus *corpus, double *stats,
                           Err *err);

/* The score of sums (width). */
double corpus_metric_score(const CorpusMetric *metric, const double *sums);
/* sums (width, at most CORPUS_STATS_MAX) of stats (n, width). */
void corpus_metric_sum(const CorpusMetric *metric, const double *stats, int64_t n, double *sums);
/* The scores of draws of the segments: scores (resamples), caller's memory. */
void corpus_metric_draw(const CorpusMetric *metric, const double *stats, int64_t n,
                        const Bootstrap *bootstrap, double *scores);

void corpus_metric_signature(const CorpusMetric *metric, int n_refs, StrBuf *out);

#endif
