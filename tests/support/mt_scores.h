/* Files of golden scores of translations, one object a line: {"hyp": [...], "refs": [[...], ...],
 * "scores": {signature: number or list}}. The signature says how a score was made. */
#ifndef CAMBIUM_TESTS_SUPPORT_MT_SCORES_H
#define CAMBIUM_TESTS_SUPPORT_MT_SCORES_H

#include <jansson.h>

#include "core/metrics/corpus_metric.h"

/* Computes one score and compares; `want` is what the file has. */
typedef void MtScoreFn(const Corpus *corpus, const char *signature, const json_t *want);

/* Every score of the file whose signature begins so; returns how many there were. */
int mt_scores_each(const char *path, const char *prefix, MtScoreFn *fn);

/* The value of a field: mt_field("TER|case:lc|tok:tercom", "tok") is "tercom". Static memory. */
const char *mt_field(const char *signature, const char *name);

/* The sums over the corpus; caller's memory of the metric's width. */
void mt_sums(const CorpusMetric *metric, const Corpus *corpus, double *sums);

/* The metric calls itself what the file calls it. */
void assert_signature(const CorpusMetric *metric, const Corpus *corpus, const char *want);

/* Equal to the last digits that rounding leaves. */
void assert_near(double got, double want, const char *signature);

#endif
