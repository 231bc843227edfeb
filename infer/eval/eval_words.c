#include "infer/eval/eval_words.h"

const Verb *const eval_words[] = {&verb_eval_score, &verb_eval_compare, NULL};
