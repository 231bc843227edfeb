/* What `cambium eval -o` measured, for a report's page: scores with 95 % intervals, and bits per
 * byte. */
#ifndef CAMBIUM_GROW_REPORT_SCORES_H
#define CAMBIUM_GROW_REPORT_SCORES_H

#include <stdbool.h>

#include "core/metrics/stats.h"
#include "grow/report_models.h"

/* Bits per byte of the tokens that have from `from` to 2 from - 1 tokens before them. */
typedef struct ReportPlace {
    int64_t from;
    double bits;
} ReportPlace;

typedef struct ReportScore {
    int64_t model;
    char *task;          /* of bits per byte: the text */
    char *measure;       /* "accuracy", "exact match", "F1", "BLEU", "bits per byte" */
    char *part;          /* a category of the task; NULL: all of it */
    bool is_bits;        /* bits per byte; else a share, 0 to 1, of TER also above */
    bool less_is_better; /* bits per byte, TER */
    bool author;         /* sampled by the author's protocol */
    double value;
    Interval range;    /* 95 %; NaN: none */
    double chance;     /* NaN: none */
    int64_t questions; /* 0 for bits per byte */
    int64_t cut;       /* of them, whose prompt did not fit; 0 for a category, which does not say */
    int64_t shots;     /* solved examples before each question; -1: not said, or bits per byte */
    int64_t layers;    /* of the model; 0: not said */
    ReportPlace *places;
    int64_t n_places;
} ReportScore;

typedef struct ReportScores {
    ReportScore *items; /* in the order of the files */
    int64_t count, capacity;
    ReportModels models;
} ReportScores;

/* Copies the texts. The result is valid until the next one. */
ReportScore *report_scores_add(ReportScores *out, const ReportScore *score);
void report_scores_clear(ReportScores *scores);

/* Whether both stand in one figure: the same measure of the same task or text, of all of it or of
 * its categories, after as many solved examples. */
bool report_scores_alike(const ReportScore *a, const ReportScore *b);

/* What the figure shows: "accuracy, 5 shots", "bits per byte, less is better". The caller frees. */
char *report_scores_measure(const ReportScore *score);

#endif
