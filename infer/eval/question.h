/* Questions of data sets, whatever file they came from. */
#ifndef CAMBIUM_INFER_EVAL_QUESTION_H
#define CAMBIUM_INFER_EVAL_QUESTION_H

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/strbuf.h"

/* How questions are asked and judged. */
typedef enum EvalProtocol {
    PROTOCOL_LOGPROB, /* as lm-evaluation-harness does it */
    PROTOCOL_AUTHOR,  /* as the growing-transformers line published it: author.h */
} EvalProtocol;

const char *protocol_name(EvalProtocol protocol);

/* Plain data, owned by its list. */
typedef struct Question {
    char *id;       /* of its own within the task */
    char *context;  /* what stands before the answer */
    char **choices; /* (n_choices): the answers, without the space before them */
    int64_t n_choices;
    int64_t gold; /* the right one */
} Question;

typedef struct QuestionList {
    Question *items;
    int64_t count, capacity;
} QuestionList;

/* Adds a question without choices; `id` and `context` are copied. The result is valid until the
 * next one. */
Question *question_list_add(QuestionList *list, const char *id, const char *context);
void question_add_choice(Question *question, const char *choice);
/* Appends the question as it is asked, with its answer: a solved example. */
void question_put_solved(StrBuf *out, const Question *question, const char *answer);
/* Takes question `index` out of the list and releases it. */
void question_list_drop(QuestionList *list, int64_t index);
/* Keeps the first `count`. */
void question_list_cut(QuestionList *list, int64_t count);
void question_list_clear(QuestionList *list);

/* Questions that are asked with the same text before them: a subject, or all of a task. */
typedef struct QuestionGroup {
    char *name;     /* "anatomy"; NULL for a task without groups */
    char *category; /* "stem", or NULL */
    char *prefix;   /* the text before every question: description and solved examples */
    QuestionList questions;
} QuestionGroup;

typedef struct QuestionGroups {
    QuestionGroup *items;
    int64_t count, capacity;
} QuestionGroups;

QuestionGroup *question_groups_add(QuestionGroups *groups, const char *name, const char *category);
/* Takes group `index` with its questions out and releases it. */
void question_groups_drop(QuestionGroups *groups, int64_t index);
/* Keeps the first `count` questions; groups that have none then are dropped. */
void question_groups_cut(QuestionGroups *groups, int64_t count);
void question_groups_clear(QuestionGroups *groups);
int64_t question_groups_total(const QuestionGroups *groups);
/* Of the question without what its group puts before it, and of its answers; or of them alone. */
Sha256 question_hash(const Question *question, bool answers_only);
/* Of everything a model is asked and judged by. */
Sha256 question_groups_hash(const QuestionGroups *groups);

#endif
