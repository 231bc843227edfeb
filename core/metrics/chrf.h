/* chrF (Popovic, 2015) and chrF++ (Popovic, 2017) as sacrebleu 2.6.0 computes them: an F score,
 * recall counting beta times as much as precision, over n-grams of characters and of words. */
#ifndef CAMBIUM_CORE_METRICS_CHRF_H
#define CAMBIUM_CORE_METRICS_CHRF_H

#include "core/metrics/symbols.h"

enum { CHRF_ORDER_MAX = 8, CHRF_STATS_MAX = 3 * CHRF_ORDER_MAX };

typedef struct ChrfOptions {
    int char_order; /* 6; char_order + word_order is at most CHRF_ORDER_MAX */
    int word_order; /* 0: chrF; 2: chrF++ */
    int beta;       /* 2 */
    bool lowercase;
    bool whitespace;    /* n-grams of characters contain the spaces */
    bool eps_smoothing; /* mean of the orders' F scores, as the first implementations had it,
                           instead of the F score of the mean precision and recall */
} ChrfOptions;

static inline int chrf_stats(const ChrfOptions *options)
{
    return 3 * (options->char_order + options->word_order);
}

/* stats (chrf_stats): for each order the n-grams of the hypothesis, of the reference, and in both;
 * of the reference that gives the best score. */
void chrf_count(const ChrfOptions *options, Segment hyp, const Segment *refs, int n_refs,
                double *stats);

/* 0 to 100; `stats`: sums over segments. */
double chrf_score(const ChrfOptions *options, const double *stats);

/* Appends "chrF2++|nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:2.6.0". */
void chrf_signature(const ChrfOptions *options, int n_refs, StrBuf *out);

#endif
