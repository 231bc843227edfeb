/* Oniguruma's patterns, which tokenizers are published with, as PCRE2. */
#ifndef CAMBIUM_CORE_TEXT_REGEX_H
#define CAMBIUM_CORE_TEXT_REGEX_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

typedef struct Regex Regex;
typedef struct RegexWork RegexWork; /* belongs to one thread */

/* Names of scripts: the script alone, as Oniguruma has it, or with its extensions, as PCRE2 has it.
 */
typedef enum RegexScripts { SCRIPTS_ALONE, SCRIPTS_EXTENDED } RegexScripts;

/* NULL, and a sentence with the place, when the pattern does not compile, or means something that
 * PCRE2 cannot say. */
Regex *regex_new(const char *pattern, size_t length, RegexScripts scripts, Err *err);
/* Whether \\p{...} names a script in it. */
bool regex_names_script(const char *pattern);
/* The text itself, whatever its characters. */
Regex *regex_new_literal(const char *text, Err *err);
void regex_free(Regex *regex);
bool regex_matches_nothing(const Regex *regex); /* the empty text is among its matches */

RegexWork *regex_work_new(void);
void regex_work_free(RegexWork *work);

/* The stretches of a text, in order: matches, and what lies between them. */
typedef struct RegexScan {
    const Regex *regex;
    RegexWork *work;
    const char *text;
    int64_t bytes, done; /* done: up to where stretches were told */
    int64_t from, last;  /* where the next match is looked for; the end of the last one */
    int64_t begin, end;  /* a match that was found and not told yet; begin < 0: none */
    bool over;
} RegexScan;

/* The text is valid UTF-8. */
void regex_scan_start(RegexScan *scan, const Regex *regex, RegexWork *work, const char *text,
                      int64_t bytes);
/* The next stretch, and whether it is a match; false: there is none. A match may be empty. A
 * pattern that exceeds its match limit takes the rest as one stretch, with a warning. */
bool regex_scan_next(RegexScan *scan, int64_t *begin, int64_t *end, bool *is_match);

#endif
