/* SQuAD 1.1 and 2.0 and XQuAD in their official JSON form: paragraphs, and questions whose answers
 * are pieces of them. */
#ifndef CAMBIUM_INFER_EVAL_SQUAD_H
#define CAMBIUM_INFER_EVAL_SQUAD_H

#include "infer/eval/question.h"

/* Adds a group for each paragraph, whose text is the group's prefix. A question's choices are the
 * reference answers; none where the paragraph does not tell. At most `limit` questions (0: all). */
Status squad_read(QuestionGroups *out, const char *path, EvalProtocol protocol, int64_t limit,
                  Err *err);
/* The same of a file's text, which errors call `name`. */
Status squad_parse(QuestionGroups *out, const char *name, const StrBuf *text, EvalProtocol protocol,
                   int64_t limit, Err *err);

#endif
