/* What a model wrote as the answer to a question of SQuAD, and what it is worth. */
#ifndef CAMBIUM_INFER_EVAL_SQUAD_ANSWER_H
#define CAMBIUM_INFER_EVAL_SQUAD_ANSWER_H

#include "core/metrics/squad_score.h"
#include "core/text/tokenizer.h"
#include "infer/eval/continuation.h"
#include "infer/eval/squad.h"
#include "infer/eval/task.h"

enum { SQUAD_TOKENS = 48 }; /* of an answer, at most; half of the context where that is less */

/* The answer in what was written: its first line; "" where it says that there is none. The caller
 * frees. */
char *squad_answer_text(const Task *task, const Tokenizer *tokenizer, const IdList *written);

/* `no_answer`: probability that the model gives to having none. */
SquadAnswer squad_judge(const Task *task, const Question *question, const char *answer,
                        double no_answer);

#endif
