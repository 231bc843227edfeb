/* Answers as lines of the items file, and back. */
#ifndef CAMBIUM_INFER_EVAL_ANSWER_ITEM_H
#define CAMBIUM_INFER_EVAL_ANSWER_ITEM_H

#include <jansson.h>

#include "infer/eval/answer.h"

/* Of a question within its task: "anatomy/12". The caller frees. */
char *item_id(const QuestionGroup *group, const Question *question);

/* Items hold all that the result is made of, and what a reader wants to see of it. The caller owns
 * them. */
json_t *choice_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                    const Prompt *prompt, const Outcome *outcome);
json_t *squad_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                   const char *answer, const Outcome *outcome);
json_t *translation_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                         const Outcome *outcome);
json_t *author_item(const TaskRun *run, const QuestionGroup *group, const Question *question,
                    char *const *replies, const Outcome *outcome);

/* The outcome that an item holds; false when it is not one of the task. */
bool outcome_of_item(const TaskRun *run, const Question *question, const json_t *line,
                     Outcome *out);

#endif
