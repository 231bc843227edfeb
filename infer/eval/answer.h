/* A model's answers to the questions of a task. */
#ifndef CAMBIUM_INFER_EVAL_ANSWER_H
#define CAMBIUM_INFER_EVAL_ANSWER_H

#include "infer/eval/author.h"
#include "infer/eval/continuation.h"
#include "infer/eval/items.h"
#include "infer/eval/squad_answer.h"
#include "infer/eval/task.h"

typedef struct Outcome {
    bool correct;          /* the right answer has the largest log-probability */
    bool correct_per_byte; /* has it divided by the answer's bytes */
    double logprob;        /* of the right answer, in nats */
    SquadAnswer squad;     /* TASK_SQUAD, where `correct` is the exact match */
    /* The author's protocol, and nothing of the above: which replies were right. */
    bool replies[AUTHOR_REPEATS];
} Outcome;

typedef struct AnswerOptions {
    const Tokenizer *tokenizer;
    int64_t context;  /* tokens that the model sees at most */
    ItemsFile *items; /* every answer goes there; NULL: nowhere */
    int64_t first;    /* lines of other tasks that come before this one's */
    int64_t seed;     /* of what the author's protocol draws */
} AnswerOptions;

/* Between 0 and 1: right or wrong; in the author's protocol, the share of right replies. */
double outcome_score(const TaskRun *run, const Outcome *outcome);

/* Asks all questions of a task; outcomes (questions in the order of the groups), caller's memory.
 * Lines that the items file had are taken over, so that the rest alone is asked. */
Status answer_task(const TaskRun *run, Scorer *scorer, const AnswerOptions *options,
                   Outcome *outcomes, Err *err);

#endif
