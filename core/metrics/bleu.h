/* BLEU (Papineni et al., 2002) as sacrebleu 2.6.0 computes it. A corpus score is a function of the
 * sums of what is counted in each segment, so segments may be counted in any order and drawn anew.
 */
#ifndef CAMBIUM_CORE_METRICS_BLEU_H
#define CAMBIUM_CORE_METRICS_BLEU_H

#include "core/metrics/mt_tokenize.h"

enum { BLEU_ORDER = 4, BLEU_STATS = 2 + 2 * BLEU_ORDER };

/* What an order without a match counts (Chen and Cherry, 2014, methods 3, 1 and 2). */
typedef enum BleuSmoothing {
    BLEU_SMOOTHING_EXP,   /* half of the order below that had none, beginning with a half */
    BLEU_SMOOTHING_FLOOR, /* `smooth_value` matches */
    BLEU_SMOOTHING_ADD_K, /* `smooth_value` more matches and n-grams in orders above 1 */
    BLEU_SMOOTHING_NONE,
} BleuSmoothing;

typedef struct BleuOptions {
    MtTokenizer tokenizer;
    bool lowercase;
    BleuSmoothing smoothing;
    double smooth_value; /* floor: usually 0.1; add-k: 1 */
    bool
        effective_order; /* leave out orders that the text is too short for: for single sentences */
} BleuOptions;

typedef struct BleuScore {
    double score; /* 0 to 100 */
    double precisions[BLEU_ORDER];
    double brevity_penalty;
    int64_t hyp_words, ref_words; /* ref: of the reference nearest in length, shorter if equal */
} BleuScore;

Status bleu_smoothing_parse(const char *name, BleuSmoothing *out, Err *err);
double bleu_smoothing_default(BleuSmoothing smoothing); /* the usual smooth_value */

/* stats (BLEU_STATS): words of the hypothesis and of the reference, matches by order, n-grams of
 * the hypothesis by order. */
void bleu_count(const BleuOptions *options, Segment hyp, const Segment *refs, int n_refs,
                double *stats);

/* `stats`: sums over segments. */
BleuScore bleu_score(const BleuOptions *options, const double *stats);

/* Appends "BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0". */
void bleu_signature(const BleuOptions *options, int n_refs, StrBuf *out);

#endif
