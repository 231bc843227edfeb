/* MMLU (Hendrycks et al., 2021) as its authors publish it: folders dev, val and test with a file
 * SUBJECT_SPLIT.csv for each of the subjects; no header; question, four answers, the right letter.
 */
#ifndef CAMBIUM_INFER_EVAL_MMLU_H
#define CAMBIUM_INFER_EVAL_MMLU_H

#include "infer/eval/question.h"

/* "stem", "humanities", "social_sciences" or "other", as the authors group their 57 subjects
 * (lm-evaluation-harness counts anatomy as stem); NULL for a name that is not among them. */
const char *mmlu_category(const char *subject);
/* Whether `name` is a category or a subject. */
bool mmlu_has_part(const char *name);

/* Adds one group for each subject of the split, in the order of their names; `part` (NULL: all)
 * names a subject or a category. A group's prefix is the sentence that introduces its subject; the
 * author's protocol has none. */
Status mmlu_read(QuestionGroups *out, const char *folder, const char *split, const char *part,
                 EvalProtocol protocol, Err *err);
/* The solved examples (split "dev") of one subject. */
Status mmlu_read_shots(QuestionList *out, const char *folder, const char *subject, Err *err);

/* Questions of one file's text, which errors call `name`. */
Status mmlu_parse(QuestionList *out, const char *name, const StrBuf *text, EvalProtocol protocol,
                  Err *err);

#endif
