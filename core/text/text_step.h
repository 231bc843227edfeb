/* Normalizers and pre-tokenizers as Hugging Face's files describe them: JSON objects with a type.
 * A list of steps is kept as the text of a JSON array, so that what was read is written again. */
#ifndef CAMBIUM_CORE_TEXT_TEXT_STEP_H
#define CAMBIUM_CORE_TEXT_TEXT_STEP_H

#include <jansson.h>

#include "core/base/strbuf.h"
#include "core/text/regex.h"

/* U+2581, which stands for a space in SentencePiece's vocabularies. */
#define TEXT_METASPACE "\xE2\x96\x81"

/* GPT-2's pre-tokenizer pattern, which ByteLevel applies unless told otherwise. */
extern const char text_gpt2_pattern[];

/* The array that the text holds; `role` names it in the error. The caller owns it. */
Status text_steps_load(const char *steps, const char *role, json_t **out, Err *err);

const char *text_step_type(const json_t *step);
bool text_step_flag(const json_t *step, const char *name, bool standard);
bool text_step_is(const json_t *step, const char *name, const char *text);

/* The step's "pattern", a regular expression or a text as it is. */
Regex *text_step_pattern(const json_t *step, Err *err);

/* Appends the text with `by` for each `what`, which is not empty. */
void text_step_replace(StrBuf *out, const char *text, int64_t bytes, const char *what,
                       const char *by);

/* Appends the text with U+2581 for each space, and the reverse. */
void text_put_metaspace(StrBuf *out, const char *text, int64_t bytes);
void text_put_spaces(StrBuf *out, const char *text, int64_t bytes);

/* What a vocabulary's surface stands for goes to `out` where that is other bytes than its own, else
 * `out` is empty. True when it is one byte: every text with that byte becomes the token. */
bool text_surface_differs(const char *surface, int64_t bytes, bool byte_level, bool metaspace,
                          StrBuf *out);

#endif
