/* What `cambium eval score` measured, and how it is printed. */
#ifndef CAMBIUM_INFER_EVAL_SCORE_REPORT_H
#define CAMBIUM_INFER_EVAL_SCORE_REPORT_H

#include "core/base/file.h"
#include "core/metrics/corpus_metric.h"
#include "core/metrics/stats.h"
#include "infer/eval/segment_file.h"

enum { METRICS_MAX = 8, SYSTEMS_MAX = 2 };

/* A metric over the systems. */
typedef struct Measure {
    CorpusMetric metric;
    char *name, *signature;
    int width;
    double *stats[SYSTEMS_MAX]; /* (lines, width) */
    double sums[SYSTEMS_MAX][CORPUS_STATS_MAX];
    double score[SYSTEMS_MAX];
    /* NaN where the lines say nothing of others: there is one, or the systems differ in the same
     * way however lines are drawn. */
    Interval interval[SYSTEMS_MAX];
    Interval difference_interval; /* of the second system less the first */
    double p;
} Measure;

typedef struct ScoreRun {
    const StringList *paths; /* of the systems */
    SegmentFile systems[SYSTEMS_MAX];
    int n_systems;
    Segment *refs; /* (lines, n_refs) */
    int n_refs;
    int64_t lines;
    bool sentences; /* a score for each line */
    bool draws;     /* intervals, and p where there are two systems */
    Bootstrap bootstrap;
    Measure measures[METRICS_MAX];
    int n_measures;
} ScoreRun;

/* On stdout: a table with the signatures below it, or a row for each line. */
void score_report_print(const ScoreRun *run);
void score_report_json(const ScoreRun *run);

#endif
