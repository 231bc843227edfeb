/* Data sets of questions as JSON lines: an object with `query`, `choices` and `gold`, or (last
 * words) with `context` and `continuation`. So the llm-foundry collection has them. */
#ifndef CAMBIUM_INFER_EVAL_CHOICE_FILE_H
#define CAMBIUM_INFER_EVAL_CHOICE_FILE_H

#include "infer/eval/question.h"

/* Brings a question, as it is in the file, into the form of the task's prompt. Fails when it is not
 * of the task. */
typedef Status QuestionForm(Question *question, Err *err);

QuestionForm form_question_answer; /* ARC: an "Answer:" below the question */
QuestionForm form_as_it_is;        /* OpenBookQA: a text that the answer ends; last words */
QuestionForm form_letters;         /* CommonsenseQA: answers listed in the question */
QuestionForm form_passage;         /* BoolQ: the passage without its heading */
QuestionForm form_connected;       /* COPA: clauses joined by "because" or "therefore" */

Status choice_file_read(QuestionList *out, const char *path, QuestionForm *form, Err *err);
/* The same of the text of a file that errors call `name`. */
Status choice_file_parse(QuestionList *out, const char *name, const StrBuf *text,
                         QuestionForm *form, Err *err);

#endif
