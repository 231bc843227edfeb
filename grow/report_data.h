/* What run folders hold, read for a report: curves, stages and samples of their metrics.jsonl (the
 * lines are described in train/metrics.h). */
#ifndef CAMBIUM_GROW_REPORT_DATA_H
#define CAMBIUM_GROW_REPORT_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/file.h"

/* What a curve is drawn over, counted from the beginning of the run. */
typedef enum ReportAxis { REPORT_TOKENS, REPORT_FLOPS, REPORT_AXES } ReportAxis;

typedef struct ReportPoint {
    double at[REPORT_AXES];
    double value;
} ReportPoint;

/* The training loss (nats per token), or bits per byte of one validation text. */
typedef struct ReportCurve {
    char *text; /* name of the pack that was validated on; "": not said; NULL: training loss */
    ReportPoint *points; /* in the order of the file */
    int64_t count;
    int64_t capacity;
} ReportCurve;

/* A number that no line gave is NaN. */
typedef struct ReportStage {
    int64_t number; /* from 1 */
    char *train;    /* what was trained; NULL: not said */
    double blocks;  /* added by the stage */
    double layers;
    double params_total;
    double params_active;
    double params_frozen;
    double begin[REPORT_AXES];
    double end[REPORT_AXES];
    double last_loss, last_bpb; /* bits per byte: of all validation text together */
    double speed_sum;           /* of the tokens per second of `speed_count` lines */
    int64_t speed_count;
} ReportStage;

typedef struct ReportSample {
    int64_t stage;
    double tokens;
    char *prompt;
    char *text;
} ReportSample;

/* What the run has read of a pack, by the last line that says it. */
typedef struct ReportSource {
    char *name;
    double tokens;                    /* of the training split */
    double read, seen, never, epochs; /* as in train/metrics.h */
} ReportSource;

typedef struct ReportRun {
    char *name; /* the folder as it was given */
    ReportSource *sources;
    int64_t n_sources, sources_capacity;
    ReportCurve loss;
    ReportCurve *texts;
    int64_t n_texts, texts_capacity;
    ReportStage *stages;
    int64_t n_stages, stages_capacity;
    ReportSample *samples;
    int64_t n_samples, samples_capacity;
} ReportRun;

typedef struct Report {
    ReportRun *runs;
    int64_t n_runs;
    StringList texts; /* every text that a run was validated on */
} Report;

/* Share of a pack's tokens that were never read; NaN where that is not known. */
double report_never_read(const ReportSource *source);

/* Reads every folder. A missing folder, a folder without metrics and a broken line (named with file
 * and line) are errors; a last line that was cut short is left out with a remark. The caller clears
 * `out` in every case. */
Status report_read(Report *out, const StringList *folders, Err *err);
void report_clear(Report *report);

/* The run's bits per byte of `text`, or its training loss (NULL); NULL when it has none. */
const ReportCurve *report_curve(const ReportRun *run, const char *text);

#endif
