/* Texts of templates: building them while remembering who wrote what, and what Python's str does.
 * Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_TEXT_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_TEXT_H

#include "core/text/jinja/jinja_value.h"

typedef struct JinjaBuild {
    JinjaWork *work;
    JinjaRoom *room;
    int64_t size, chars, n_plain;
    int64_t borrowed; /* spans that other texts use too: they stay as they are */
} JinjaBuild;

/* An empty text to add to; `first` not NULL: begins with it, in place where that can be. */
JinjaBuild build_new(JinjaWork *work, const JinjaText *first);
void build_bytes(JinjaBuild *build, const char *text, int64_t bytes, bool plain);
void build_puts(JinjaBuild *build, const char *text, bool plain);
void build_code(JinjaBuild *build, uint32_t code, bool plain);
/* Bytes [begin, end) of a text, with what is known of them. */
void build_slice(JinjaBuild *build, const JinjaText *text, int64_t begin, int64_t end);
void build_text(JinjaBuild *build, const JinjaText *text);
void build_spaces(JinjaBuild *build, int64_t count);
JinjaText *build_done(JinjaBuild *build);

JinjaText *text_of(JinjaWork *work, const char *text, int64_t bytes, bool plain);
JinjaValue text_value(JinjaWork *work, const char *text); /* the template's own */
/* The bytes [begin, end) as a text of their own. */
JinjaText *text_slice(JinjaWork *work, const JinjaText *text, int64_t begin, int64_t end);
/* Whether the byte was not the template's; for a walk with rising `at`, *span begins at 0. */
bool text_plain_at(const JinjaText *text, int64_t at, int64_t *span);

/* The character at byte `at`: its length; *code is above all characters for a byte that is none. */
int text_next(const JinjaText *text, int64_t at, uint32_t *code);
/* The byte where character `index` (0 to chars) begins. */
int64_t text_byte_of(JinjaWork *work, const JinjaText *text, int64_t index);
/* How many characters there are before this byte. */
int64_t text_char_of(const JinjaText *text, int64_t byte);
/* The first place of `part` in [from, to), or the last (`last`); -1: none. */
int64_t text_find(JinjaWork *work, const JinjaText *text, const JinjaText *part, int64_t from,
                  int64_t to, bool last);
bool text_same(const JinjaText *a, const JinjaText *b);
bool text_is(const JinjaText *text, const char *other);
int text_compare(const JinjaText *a, const JinjaText *b);

bool jinja_code_is_space(uint32_t code);
bool jinja_code_is_line_end(uint32_t code);
bool jinja_code_is_word(uint32_t code); /* \w */
bool jinja_code_is_printable(uint32_t code);
bool jinja_code_is_alpha(uint32_t code);
bool jinja_code_is_decimal(uint32_t code);
bool jinja_code_is_digit(uint32_t code);
bool jinja_code_is_numeric(uint32_t code);
bool jinja_code_is_upper(uint32_t code);
bool jinja_code_is_lower(uint32_t code);
bool jinja_code_is_title(uint32_t code);

typedef enum TextCase {
    CASE_LOWER,
    CASE_UPPER,
    CASE_TITLE, /* every letter as the first of a word */
    CASE_WORDS, /* the first of every run of letters so, the others lower */
    CASE_SWAP,
    CASE_FOLD,
} TextCase;
/* Adds characters [begin, end) (bytes) in another case. */
void build_case(JinjaBuild *build, const JinjaText *text, int64_t begin, int64_t end, TextCase how);
JinjaText *text_case(JinjaWork *work, const JinjaText *text, TextCase how);

/* Python's strip: white space, or the characters of `set`. */
JinjaText *text_strip(JinjaWork *work, const JinjaText *text, const JinjaText *set, bool left,
                      bool right);
/* Every `old` by `new`, at most `count` times (negative: all). */
JinjaText *text_replace(JinjaWork *work, const JinjaText *text, const JinjaText *old,
                        const JinjaText *new, int64_t count);
/* The lines; `ends`: with their ends. */
JinjaList *text_lines(JinjaWork *work, const JinjaText *text, bool ends);
JinjaText *text_pad(JinjaWork *work, const JinjaText *text, int64_t left, int64_t right,
                    const JinjaText *fill);

#endif
