/* A vocabulary of all bytes, tokens of several characters that JSON is cut by, and an end token. */
#ifndef CAMBIUM_TESTS_SUPPORT_BYTE_VOCABULARY_H
#define CAMBIUM_TESTS_SUPPORT_BYTE_VOCABULARY_H

#include "core/text/tokenizer.h"

Tokenizer *byte_vocabulary(void); /* aborts on failure; the caller frees */

#endif
