/* The evaluation that the growing-transformers line published, for comparison with its figures and
 * nothing else: no solved examples, and answers that are drawn from the model's distribution
 * (temperature 1, all tokens), ten times for each question. MMLU: one token, whose first character
 * that is no blank must be the letter, so that a blank alone is always wrong. SQuAD: of
 * the questions whose first answer has at most 8 characters, 256; as many tokens are drawn as the
 * answer has characters (so its length is given away), and holding it anywhere is enough. */
#ifndef CAMBIUM_INFER_EVAL_AUTHOR_H
#define CAMBIUM_INFER_EVAL_AUTHOR_H

#include "core/base/rng.h"
#include "core/text/tokenizer.h"
#include "infer/eval/task.h"

enum {
    AUTHOR_REPEATS = 10,
    AUTHOR_QUESTIONS = 256, /* of SQuAD, at most */
    AUTHOR_CHARACTERS = 8,  /* of an answer to them, at most */
    AUTHOR_TOKENS = 100,    /* of a reply, at most */
};

/* What every output of these scores says. */
extern const char author_note[];

/* Makes the run one of this protocol: no shots, and a name that tells. Fails for a task that it
 * does not have and when `shots` are asked for. */
Status author_check(TaskRun *run, int64_t shots, Err *err);

/* Keeps the part of SQuAD that is asked, drawn by the seed, at most `limit` questions (0: all of
 * it), in the order of the file, each with its first answer alone. */
void author_select(QuestionGroups *groups, int64_t limit, int64_t seed);

/* Prompts that a question takes: one, from whose row all replies of a single token are drawn, or
 * one for each reply. */
int64_t author_prompts(const Task *task);
/* Tokens of each reply. */
int64_t author_tokens(const Task *task, const Question *question);

/* What is drawn after one prompt. */
typedef struct AuthorDraw {
    Rng rng;
    int64_t draws; /* at every token */
    IdList ids;    /* all that were drawn; owned */
} AuthorDraw;

/* For prompt `index` of the question that `id` names; the same seed draws the same. */
void author_draw_init(AuthorDraw *draw, const Task *task, const char *id, int64_t index,
                      int64_t seed);
/* A PickToken; the context is an AuthorDraw. */
int32_t author_pick(void *context, const float *logprobs, int64_t V);

/* Reply `repeat` in what was drawn after the question's prompts. The caller frees. */
char *author_reply(const Task *task, const Tokenizer *tokenizer, const AuthorDraw *draws,
                   int64_t repeat);
bool author_is_right(const Task *task, const Question *question, const char *reply);

#endif
