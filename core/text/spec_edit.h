/* Building a TokenizerSpec token by token. */
#ifndef CAMBIUM_CORE_TEXT_SPEC_EDIT_H
#define CAMBIUM_CORE_TEXT_SPEC_EDIT_H

#include "core/base/strbuf.h"
#include "core/text/tokenizer.h"

typedef struct SpecEdit {
    TokenizerSpec *spec; /* its counts are right after each call, its arrays may move */
    StrBuf text;
    int64_t offset_capacity, type_capacity, merge_capacity;
} SpecEdit;

/* Starts on an empty spec: everything zero, ids of special tokens -1, merges by rank. */
void spec_edit_begin(SpecEdit *edit, TokenizerSpec *spec);
int32_t spec_edit_token(SpecEdit *edit, const char *text, int64_t bytes, TokenType type);
void spec_edit_merge(SpecEdit *edit, int32_t left, int32_t right, int32_t result);
/* Hands the text over; the spec is whole from here on. */
void spec_edit_end(SpecEdit *edit);

#endif
