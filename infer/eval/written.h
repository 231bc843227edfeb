/* What a model writes as an answer: one line. */
#ifndef CAMBIUM_INFER_EVAL_WRITTEN_H
#define CAMBIUM_INFER_EVAL_WRITTEN_H

#include "core/text/tokenizer.h"

/* Which tokens end an answer: line ends and control tokens. (V), owned by the caller. */
bool *line_ends_new(const Tokenizer *tokenizer);

/* The first line of what was written, without blanks around it; bytes that are no character (the
 * end may cut one) become U+FFFD. The caller frees. */
char *written_line(const Tokenizer *tokenizer, const IdList *written);

#endif
