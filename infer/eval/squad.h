/* SQuAD 1.1 and 2.0 and XQuAD in their official JSON form: paragraphs, and questions whose answers
 * are pieces of them. */
#ifndef CAMBIUM_INFER_EVAL_SQUAD_H
#define CAMBIUM_INFER_EVAL_SQUAD_H

#include "infer/eval/question.h"

/* What stands for the answer, and what a model shall write, where the paragraph does not tell. */
extern const char squad_no_answer[];

/* What stands before the pieces of a prompt, in the language that it is in. */
typedef struct SquadForm {
    const char *title; /* NULL: an article's title is left out */
    const char *paragraph, *question, *answer;
    const char *gap; /* behind every piece */
} SquadForm;

/* As lm-evaluation-harness asks: SQuAD 2.0, and 1.1 likewise; XQuAD in its three languages here. */
extern const SquadForm squad_form, xquad_form_en, xquad_form_ru, xquad_form_zh;
/* As the author's protocol does. */
extern const SquadForm squad_form_author;

/* Adds a group for each paragraph, whose text is the group's prefix. A question's choices are the
 * reference answers; none where the paragraph does not tell. */
Status squad_read(QuestionGroups *out, const char *path, const SquadForm *form, Err *err);
/* The same of a file's text, which errors call `name`. */
Status squad_parse(QuestionGroups *out, const char *name, const StrBuf *text, const SquadForm *form,
                   Err *err);

/* Makes solved examples of `shots` paragraphs, the first ones or, by a `seed` other than 0, drawn
 * ones, and puts them before all others, which alone are asked about from then on. An example is
 * the paragraph, its first question and the first reference; every second one is a question that
 * its paragraph does not answer, where it has such. Fails when there are too few paragraphs; `name`
 * is the task's. */
Status squad_take_shots(QuestionGroups *groups, int64_t shots, int64_t seed, const char *name,
                        Err *err);

#endif
