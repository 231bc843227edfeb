/* What is asked twice: it is computed once, so that its scores are the same to the last bit
 * wherever it stands among the others. */
#ifndef CAMBIUM_INFER_EVAL_TWINS_H
#define CAMBIUM_INFER_EVAL_TWINS_H

#include "infer/eval/continuation.h"

/* twins[i] (n): the first prompt that asks what prompt i asks, i itself where it is the first or
 * lets something be written. The caller frees it. */
int64_t *prompt_twins(const Prompt *prompts, int64_t n);

/* The first of a prompt's texts that is the same as this one. */
int64_t text_twin(const Prompt *prompt, int64_t text);

#endif
