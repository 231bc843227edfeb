/* What a model's answers to a task come to. */
#ifndef CAMBIUM_INFER_EVAL_RESULT_H
#define CAMBIUM_INFER_EVAL_RESULT_H

#include <jansson.h>

#include "infer/eval/answer.h"
#include "infer/eval/translation.h"

/* Sums over questions. */
typedef struct Tally {
    int64_t n, correct_per_byte;
    int64_t cut;           /* whose prompt did not fit */
    double score, squares; /* scores between 0 and 1, and their squares */
    double logprob;        /* of the right answers */
} Tally;

typedef struct TaskResult {
    const TaskRun *run; /* borrowed */
    char *model;
    int64_t layers; /* of the model (of its first expert) */
    Tally all;
    Tally *groups; /* (groups of the run) */
    /* TASK_SQUAD: percentages with the model's own word on what has no answer, and with the best
     * threshold on its probability. */
    SquadTotals squad;
    SquadBest squad_best;
    double f1_error; /* standard error of the mean, in percent; NaN for one question */
    TranslationScores translation; /* TASK_TRANSLATE */
    double repeat_sigma;           /* the author's protocol: deviation of its repeats' accuracies */
} TaskResult;

/* From the outcomes in the order of the groups. STATUS_STOPPED when the user asks to stop. Clear
 * `out` also when this fails. */
Status task_result_make(TaskResult *out, const TaskRun *run, const char *model,
                        const Outcome *outcomes, Err *err);
void task_result_clear(TaskResult *result);

/* Mean score and its standard error over questions (NaN for one alone). */
double tally_accuracy(const Tally *tally);
double tally_error(const Tally *tally);

json_t *task_result_json(const TaskResult *result);
/* One table on stdout for results of several tasks. */
void task_results_print(const TaskResult *results, int64_t n);

#endif
