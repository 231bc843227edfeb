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
    char *written;         /* TASK_TRANSLATE: the line; owned */
    double chrf;           /* and what it is worth, 0 to 1 */
    bool cut;              /* the prompt did not fit and lost its beginning */
    /* The author's protocol, and of the above `cut` alone: which replies were right. */
    bool replies[AUTHOR_REPEATS];
} Outcome;

typedef struct AnswerOptions {
    const Tokenizer *tokenizer;
    int64_t context;  /* tokens that the model sees at most */
    ItemsFile *items; /* every answer goes there; NULL: nowhere */
    int64_t first;    /* lines of other tasks that come before this one's */
    int64_t seed;     /* of what the author's protocol draws */
} AnswerOptions;

/* Releases what the outcomes own. */
void outcomes_clear(Outcome *outcomes, int64_t n);

/* The choice with the largest log-probability, or the largest per byte. (lm-evaluation-harness
 * divides by characters: the same for answers in ASCII.) */
int64_t prompt_choice(const Question *question, const Prompt *prompt, bool per_byte);

/* Between 0 and 1: right or wrong; of a translation, chrF of the line; in the author's protocol,
 * the share of right replies. */
double outcome_score(const TaskRun *run, const Outcome *outcome);

/* Asks all questions of a task; outcomes (questions in the order of the groups), caller's memory,
 * all zero; outcomes_clear() them, also when this fails.
 * Lines that the items file had are taken over, so that the rest alone is asked. */
Status answer_task(const TaskRun *run, Scorer *scorer, const AnswerOptions *options,
                   Outcome *outcomes, Err *err);

#endif
