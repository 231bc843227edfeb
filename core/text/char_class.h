/* Classes of characters, as the regular expressions of tokenizers know them. */
#ifndef CAMBIUM_CORE_TEXT_CHAR_CLASS_H
#define CAMBIUM_CORE_TEXT_CHAR_CLASS_H

#include <stdbool.h>
#include <stdint.h>

bool char_is_space(uint32_t code); /* Unicode's White_Space: \s */
bool char_is_word(uint32_t code);  /* letters, marks, digits, connectors, joiners: \w (UTS 18) */

/* The length of the white space that a text ends with, and that it begins with. */
int64_t char_spaces_behind(const char *text, int64_t bytes);
int64_t char_spaces_before(const char *text, int64_t bytes);

/* Whether the text ends, and begins, with a character of a word. */
bool char_word_behind(const char *text, int64_t bytes);
bool char_word_before(const char *text, int64_t bytes);

#endif
