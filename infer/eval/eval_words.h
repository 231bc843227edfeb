/* The verbs of two words that begin with eval: they need no model. */
#ifndef CAMBIUM_INFER_EVAL_EVAL_WORDS_H
#define CAMBIUM_INFER_EVAL_EVAL_WORDS_H

#include "core/cli/options.h"

extern const Verb verb_eval_score;   /* eval_score.c */
extern const Verb verb_eval_compare; /* eval_compare.c */

extern const Verb *const eval_words[]; /* both, and NULL */

#endif
