/* The names of special tokens, in the order of their ids; the first four are padding, beginning and
 * end of a text, and unknown. All our vocabularies start with these. */
#ifndef CAMBIUM_EMBED_SPECIAL_NAMES_H
#define CAMBIUM_EMBED_SPECIAL_NAMES_H

enum { SPECIAL_NAMES = 23 };
extern const char *const special_names[SPECIAL_NAMES];

#endif
